"""Conditioning augmentation: super-resolution that is trained on noisy and on blurred input.

[Ho et al. 2022, arXiv:2210.02303, Sec. 2.5; Ho et al. 2021, arXiv:2106.15282, Sec. 4]
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.process import diffuse


def augment(low_res: Tensor, eps: Tensor, logsnr: Tensor) -> Tensor:
    """low_res (B, C, F, H, W), already on the stage's grid, diffused to noise level logsnr (B,)."""
    return diffuse(low_res, eps, NoiseLevel.variance_preserving(logsnr))


def augmentation_logsnr(u: Tensor) -> Tensor:
    """logsnr (B,) of the augmentation in training, for uniform u (B,): cosine schedule, without its very ends."""
    angle = (0.005 + 0.99 * u.double()) * (torch.pi / 2)
    return -2 * torch.log(torch.tan(angle))


BLUR_SIGMAS = (0.4, 0.6)
"""Least and largest standard deviation of the blur in training, in pixels of the low-resolution video."""


def blur(low_res: Tensor, sigma: Tensor) -> Tensor:
    """low_res (B, C, F, h, w), on its own grid, with each frame blurred by a Gaussian kernel of 3x3 pixels.

    sigma (B,) is the kernel's standard deviation in pixels; 0 leaves a video as it is. Beyond the edge frames
    are mirrored [Ho et al. 2021, arXiv:2106.15282, Sec. 4].
    """
    side = torch.exp(-0.5 / sigma.double().square())  # of the neighbour's weight to the middle's
    middle, side = (
        share.to(low_res)[:, None, None, None, None] for share in (1 / (1 + 2 * side), side / (1 + 2 * side))
    )
    for axis in (3, 4):
        if low_res.shape[axis] > 1:
            around = (0, 0, 1, 1) if axis == 3 else (1, 1, 0, 0)
            wide = pad(low_res.flatten(1, 2), around, mode="reflect").unflatten(1, low_res.shape[1:3])
            size = low_res.shape[axis]
            neighbours = wide.narrow(axis, 0, size) + wide.narrow(axis, 2, size)
            low_res = middle * low_res + side * neighbours
    return low_res


def blur_sigma(u: Tensor) -> Tensor:
    """sigma (B,) of the blur in training, for uniform u (B,)."""
    low, high = BLUR_SIGMAS
    return low + (high - low) * u
