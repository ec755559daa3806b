"""Structural similarity of frames [Wang et al. 2004, "Image quality assessment: from error visibility to structural
similarity"]."""

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from zoetrope.metrics.psnr import RANGE, expect_pair

WINDOW, SIGMA = 11, 1.5
K1, K2 = 0.01, 0.03


def ssim(made: Tensor, truth: Tensor, data_range: float = RANGE) -> Tensor:
    """The similarity (B, F), at most 1, of every frame of two videos (B, C, F, H, W).

    Local means, variances and covariance are weighed by a Gaussian window of 11 x 11 pixels and deviation 1.5, as
    those of a population; the index is averaged over the channels and over the places where the window lies wholly
    inside the frame. `data_range` is the distance from black to white. Raises ValueError for videos of different
    shapes and for frames that are smaller than the window.
    """
    expect_pair(made, truth)
    if min(made.shape[3:]) < WINDOW:
        raise ValueError(f"ssim: expected frames of at least {WINDOW}x{WINDOW} pixels, got {tuple(made.shape[3:])}")
    if not data_range > 0:
        raise ValueError(f"data_range: expected a positive number, got {data_range}")
    return torch.stack([_frames(made[:, :, k], truth[:, :, k], data_range) for k in range(made.shape[2])], 1)


def _frames(made: Tensor, truth: Tensor, data_range: float) -> Tensor:
    """The similarity (B,) of pictures (B, C, H, W)."""
    # In units of the range: variances are differences of squares, and stay small numbers for any range.
    x, y = made.double() / data_range, truth.double() / data_range
    mean_x, mean_y, xx, yy, xy = (_blurred(value) for value in (x, y, x * x, y * y, x * y))
    variance_x, variance_y, covariance = xx - mean_x**2, yy - mean_y**2, xy - mean_x * mean_y
    light = (2 * mean_x * mean_y + K1**2) / (mean_x**2 + mean_y**2 + K1**2)
    structure = (2 * covariance + K2**2) / (variance_x + variance_y + K2**2)
    return (light * structure).mean((1, 2, 3))


def _blurred(pictures: Tensor) -> Tensor:
    """Gaussian means (B, C, H - 10, W - 10) of pictures (B, C, H, W)."""
    reach = torch.arange(WINDOW, dtype=pictures.dtype, device=pictures.device) - WINDOW // 2
    weights = torch.exp(-(reach**2) / (2 * SIGMA**2))
    weights /= weights.sum()
    single = pictures.flatten(0, 1)[:, None]
    single = conv2d(conv2d(single, weights[None, None, :, None]), weights[None, None, None, :])
    return single.unflatten(0, pictures.shape[:2])[:, :, 0]
