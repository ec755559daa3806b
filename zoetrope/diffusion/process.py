"""The forward process and its exact conditionals; s < t everywhere, so z_s is the cleaner of the two.

Levels are (B,), or (B, F) where each frame of a video (B, C, F, H, W) has its own. Where level_s and level_t are the
same, each kernel from one to the other is the identity.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.tensors import blend

PIECE = 2**22  # values; temporaries of this size mostly stay in cache
ROUNDING = 1e-12  # of alpha^2 + sigma^2


def by_frames(
    function: Callable[..., Tensor], *videos: Tensor, shares: Sequence[Tensor] = (), into: Tensor | None = None
) -> Tensor:
    """An elementwise function of videos (B, C, F, H, W), computed a few frames at a time.

    Its temporaries stay small, however large the videos. All videos are converted to the dtype of the first. Where
    that pays, the result is written `into` one of the videos, which must be unused afterwards. After the videos the
    function gets the `shares`, (B,) or (B, F), cut to the same frames.
    """
    first = videos[0]
    if first.ndim < 3 or first.numel() <= PIECE:
        return function(*videos, *shares)
    out = torch.empty_like(first) if into is None else into
    count = max(1, PIECE * first.shape[2] // first.numel())
    for start in range(0, first.shape[2], count):
        piece, *parts = (video[:, :, start : start + count] for video in (out, *videos))
        some = (share if share.ndim == 1 else share[:, start : start + count] for share in shares)
        piece.copy_(function(*parts, *some))
    return out


def diffuse(x: Tensor, eps: Tensor, level: NoiseLevel) -> Tensor:
    """z_t ~ q(z_t | x) for this noise: alpha x + sigma eps, (B, ...).

    x is clean data in [-1, 1], eps standard normal noise of the same shape.
    """
    return blend(level.alpha, x, level.sigma, eps)


def ratio(a: Tensor, b: Tensor) -> Tensor:
    """a / b, and 1 where they are equal, 0 / 0 included."""
    return torch.where(a == b, 1, a / b)


def logsnr_change(level_t: NoiseLevel, level_s: NoiseLevel) -> Tensor:
    """The logsnr of level_s less that of level_t, 0 where they are equal, infinities included."""
    return torch.where(level_s.logsnr == level_t.logsnr, 0, level_s.logsnr - level_t.logsnr)


def transition_variance(level_s: NoiseLevel, level_t: NoiseLevel) -> Tensor:
    """sigma_{t|s}^2 = sigma_t^2 - (alpha_t / alpha_s)^2 sigma_s^2, like the levels [arXiv:2107.00630]."""
    return -torch.expm1(-logsnr_change(level_t, level_s)) * level_t.sigma**2


def power_ratio(level_s: NoiseLevel, level_t: NoiseLevel) -> Tensor:
    """The variance of z_s divided by that of z_t for data of unit variance, like the levels.

    Exactly 1 between levels that preserve variance.
    """
    made = (level_s.alpha**2 + level_s.sigma**2) / (level_t.alpha**2 + level_t.sigma**2)
    return torch.where((made - 1).abs() < ROUNDING, 1, made)


def renoise(
    z_s: Tensor, eps: Tensor, level_s: NoiseLevel, level_t: NoiseLevel, *, into: Tensor | None = None
) -> Tensor:
    """z_t ~ q(z_t | z_s): add exactly the noise that separates the two levels, (B, ...); `into` as for `by_frames`."""
    kept, std = ratio(level_t.alpha, level_s.alpha), transition_variance(level_s, level_t).sqrt()
    return blend_by_frames(kept, z_s, std, eps, into=into)


def onward(z: Tensor, x_hat: Tensor, level_t: NoiseLevel, level_s: NoiseLevel, *, into: Tensor | None = None) -> Tensor:
    """The DDIM step, z_s = alpha_s x_hat + sigma_s eps_hat (B, ...), with the eps_hat implied by z_t and x_hat."""
    kept = ratio(level_s.sigma, level_t.sigma)
    return blend_by_frames(kept, z, level_s.alpha - kept * level_t.alpha, x_hat, into=into)


def posterior(z_t: Tensor, x: Tensor, level_s: NoiseLevel, level_t: NoiseLevel) -> tuple[Tensor, Tensor]:
    """Mean (B, ...) and variance, like the levels, of q(z_s | z_t, x) [Ho et al. 2022, arXiv:2210.02303, Sec. 2.1].

    With r = SNR(t) / SNR(s): mean = r (alpha_s / alpha_t) z_t + (1 - r) alpha_s x, variance = (1 - r) sigma_s^2.
    """
    change = -logsnr_change(level_t, level_s)
    r, one_minus_r = torch.exp(change), -torch.expm1(change)
    z_share, x_share = r * level_s.alpha / level_t.alpha, one_minus_r * level_s.alpha
    return blend_by_frames(z_share, z_t, x_share, x), one_minus_r * level_s.sigma**2


def blend_by_frames(a: Tensor, x: Tensor, b: Tensor, y: Tensor, *, into: Tensor | None = None) -> Tensor:
    """a x + b y of videos (B, C, F, H, W) for coefficients a and b, (B,) or (B, F), a few frames at a time."""
    return by_frames(lambda x, y, a, b: blend(a, x, b, y), x, y, shares=(a, b), into=into)
