"""Noise-conditioning augmentation: super-resolution that knows how noisy its input is.

[Ho et al. 2022, arXiv:2210.02303, Sec. 2.5; Ho et al. 2021, arXiv:2106.15282, Sec. 4]
"""

import torch
from torch import Tensor

from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.process import diffuse


def augment(low_res: Tensor, eps: Tensor, logsnr: Tensor) -> Tensor:
    """low_res (B, C, F, H, W), already on the stage's grid, diffused to noise level logsnr (B,)."""
    return diffuse(low_res, eps, NoiseLevel.variance_preserving(logsnr))


def augmentation_logsnr(u: Tensor) -> Tensor:
    """logsnr (B,) of the augmentation in training, for uniform u (B,): cosine schedule, without its very ends."""
    angle = (0.005 + 0.99 * u.double()) * (torch.pi / 2)
    return -2 * torch.log(torch.tan(angle))
