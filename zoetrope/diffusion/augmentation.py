"""Noise-conditioning augmentation: super-resolution that is shown how good its input is.

[Ho et al. 2022, arXiv:2210.02303, Sec. 2.5; Ho et al. 2021, arXiv:2106.15282, Sec. 4]
"""

import torch
from torch import Tensor

from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.process import diffuse


def augment(low_res: Tensor, eps: Tensor, logsnr: Tensor) -> Tensor:
    """Noise-conditioning augmentation, after upsampling: the conditioning video at noise level logsnr (B,)."""
    return diffuse(low_res, eps, NoiseLevel.variance_preserving(logsnr))


def augmentation_logsnr(u: Tensor) -> Tensor:
    """The level (B,) of augmentation in training for uniform u (B,): time on the cosine schedule, kept off its ends."""
    angle = (0.005 + 0.99 * u.double()) * (torch.pi / 2)
    return -2 * torch.log(torch.tan(angle))
