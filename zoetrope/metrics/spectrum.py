"""The power of videos at each size of their structures: whether fine ones are as strong as they should be."""

from typing import NamedTuple

import torch
from torch import Tensor

from zoetrope.shapes import expect_shape


class Spectrum(NamedTuple):
    """Power by wavenumber.

    Attributes:
        wavenumber: of each ring, (K,) float64: how often a wave fits into the shorter side; 0 is the mean.
        power: of the waves in it, (B, C, F, K) float64, in squared units; its sum over K is the mean square of a frame.
        waves: how many waves, with their opposites, are in each ring, (K,) int64.
    """

    wavenumber: Tensor
    power: Tensor
    waves: Tensor


def spectrum(videos: Tensor) -> Spectrum:
    """The radially summed power spectrum of every frame of videos (B, C, F, H, W).

    Ring k has the waves whose wavenumber rounds to k. Frames are taken as periodic: for others, the jump from one edge
    to the opposite one adds power at all wavenumbers. Raises ValueError for another shape.
    """
    expect_shape("videos", videos, None, None, None, None, None)
    height, width = videos.shape[3:]
    side = min(height, width)
    rows, columns = (torch.fft.fftfreq(size, 1 / size, dtype=torch.float64) * side / size for size in (height, width))
    ring = torch.hypot(rows[:, None], columns[None]).round().long().flatten().to(videos.device)
    power = (torch.fft.fft2(videos.double()) / (height * width)).abs().square().flatten(3)
    count = int(ring.max()) + 1
    summed = torch.zeros(*power.shape[:3], count, dtype=torch.float64, device=videos.device).index_add_(3, ring, power)
    waves = torch.bincount(ring, minlength=count)
    return Spectrum(torch.arange(count, dtype=torch.float64, device=videos.device), summed, waves)


def spectral_ratio(made: Tensor, truth: Tensor) -> Tensor:
    """The power of made videos over that of true ones, (C, F, K) float64, both means over the videos: 1 is perfect.

    Below 1 at high wavenumbers, videos are blurred. Raises ValueError for frames of different sizes.
    """
    if made.shape[1:] != truth.shape[1:]:
        got = f"{tuple(made.shape)} and {tuple(truth.shape)}"
        raise ValueError(f"two sets of videos: expected one shape (C, F, H, W), got {got}")
    return spectrum(made).power.mean(0) / spectrum(truth).power.mean(0)
