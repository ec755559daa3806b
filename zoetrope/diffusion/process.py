"""The forward process and its exact conditionals; s < t everywhere, so z_s is the cleaner of the two."""

from collections.abc import Callable

import torch
from torch import Tensor

from zoetrope.diffusion.schedule import NoiseLevel
from zoetrope.shapes import blend

PIECE = 2**22  # values; temporaries of this size stay in caches, or nearly so


def by_frames(function: Callable[..., Tensor], *videos: Tensor, into: Tensor | None = None) -> Tensor:
    """What a function of values gives for videos (B, C, F, H, W), computed a few frames at a time.

    So the temporaries of its arithmetic are small, however large the videos. All are of the first one's type. Where
    that pays, the result is written `into` one of the videos, which nobody else needs.
    """
    first = videos[0]
    if first.ndim < 3 or first.numel() <= PIECE:
        return function(*videos)
    out = torch.empty_like(first) if into is None else into
    count = max(1, PIECE * first.shape[2] // first.numel())
    for piece, *parts in zip(*(video.split(count, dim=2) for video in (out, *videos)), strict=True):
        piece.copy_(function(*parts))
    return out


def diffuse(x: Tensor, eps: Tensor, level: NoiseLevel) -> Tensor:
    """z_t ~ q(z_t | x) with the noise given: alpha x + sigma eps, (B, ...).

    x is clean data in [-1, 1], eps standard normal noise of the same shape.
    """
    return blend(level.alpha, x, level.sigma, eps)


def transition_variance(level_s: NoiseLevel, level_t: NoiseLevel) -> Tensor:
    """sigma_{t|s}^2 = sigma_t^2 - (alpha_t / alpha_s)^2 sigma_s^2, (B,) [Kingma et al. 2021, arXiv:2107.00630]."""
    return -torch.expm1(level_t.logsnr - level_s.logsnr) * level_t.sigma**2


def renoise(z_s: Tensor, eps: Tensor, level_s: NoiseLevel, level_t: NoiseLevel) -> Tensor:
    """z_t ~ q(z_t | z_s): add exactly the noise that separates the two levels, (B, ...)."""
    ratio = level_t.alpha / level_s.alpha
    return blend(ratio, z_s, transition_variance(level_s, level_t).sqrt(), eps)


def onward(z: Tensor, x_hat: Tensor, level_t: NoiseLevel, level_s: NoiseLevel) -> Tensor:
    """z_s of the same noise: alpha_s x_hat + sigma_s eps_hat, eps_hat being what x_hat leaves of z_t, (B, ...)."""
    kept = level_s.sigma / level_t.sigma
    return blend(kept, z, level_s.alpha - kept * level_t.alpha, x_hat)


def posterior(z_t: Tensor, x: Tensor, level_s: NoiseLevel, level_t: NoiseLevel) -> tuple[Tensor, Tensor]:
    """Mean (B, ...) and variance (B,) of q(z_s | z_t, x) [Ho et al. 2022, arXiv:2210.02303, Sec. 2.1].

    With r = SNR(t) / SNR(s): mean = r (alpha_s / alpha_t) z_t + (1 - r) alpha_s x, variance = (1 - r) sigma_s^2.
    """
    r = torch.exp(level_t.logsnr - level_s.logsnr)
    one_minus_r = -torch.expm1(level_t.logsnr - level_s.logsnr)
    z_share, x_share = r * level_s.alpha / level_t.alpha, one_minus_r * level_s.alpha

    return by_frames(lambda z_t, x: blend(z_share, z_t, x_share, x), z_t, x), one_minus_r * level_s.sigma**2
