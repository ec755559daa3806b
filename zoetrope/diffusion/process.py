"""The forward process and its exact conditionals; s < t everywhere, so z_s is the cleaner of the two."""

import torch
from torch import Tensor

from zoetrope.diffusion.schedule import NoiseLevel
from zoetrope.shapes import expand_like


def diffuse(x: Tensor, eps: Tensor, level: NoiseLevel) -> Tensor:
    """z_t ~ q(z_t | x) with the noise given: alpha x + sigma eps, (B, ...).

    x is clean data in [-1, 1], eps standard normal noise of the same shape.
    """
    return expand_like(level.alpha, x) * x + expand_like(level.sigma, x) * eps


def transition_variance(level_s: NoiseLevel, level_t: NoiseLevel) -> Tensor:
    """sigma_{t|s}^2 = sigma_t^2 - (alpha_t / alpha_s)^2 sigma_s^2, (B,) [Kingma et al. 2021, arXiv:2107.00630]."""
    return -torch.expm1(level_t.logsnr - level_s.logsnr) * level_t.sigma**2


def renoise(z_s: Tensor, eps: Tensor, level_s: NoiseLevel, level_t: NoiseLevel) -> Tensor:
    """z_t ~ q(z_t | z_s): add exactly the noise that separates the two levels, (B, ...)."""
    ratio = level_t.alpha / level_s.alpha
    return expand_like(ratio, z_s) * z_s + expand_like(transition_variance(level_s, level_t).sqrt(), z_s) * eps


def posterior(z_t: Tensor, x: Tensor, level_s: NoiseLevel, level_t: NoiseLevel) -> tuple[Tensor, Tensor]:
    """Mean (B, ...) and variance (B,) of q(z_s | z_t, x) [Ho et al. 2022, arXiv:2210.02303, Sec. 2.1].

    With r = SNR(t) / SNR(s): mean = r (alpha_s / alpha_t) z_t + (1 - r) alpha_s x, variance = (1 - r) sigma_s^2.
    """
    r = torch.exp(level_t.logsnr - level_s.logsnr)
    one_minus_r = -torch.expm1(level_t.logsnr - level_s.logsnr)
    mean = expand_like(r * level_s.alpha / level_t.alpha, z_t) * z_t + expand_like(one_minus_r * level_s.alpha, z_t) * x
    return mean, one_minus_r * level_s.sigma**2
