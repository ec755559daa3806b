"""DDIM inversion: from a video to the noise that DDIM makes it of [Song et al. 2021, arXiv:2010.02502, Sec. 4.3].

DDIM follows an ordinary differential equation, which can be followed in both directions. A step backwards takes the
estimate of the noise where it begins, as a step forwards does, which begins at its other end. So the round trip returns
the video up to an error of O(1 / N) for N steps.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.process import onward
from zoetrope.diffusion.tensors import expand_like


def inverted(denoise: Denoise, x: Tensor, levels: Sequence[NoiseLevel]) -> Iterator[Tensor]:
    """The z (B, C, F, H, W) of a video x at every level before the last one, from the cleanest to the noisiest.

    `levels` are the sampler's, from the noisiest to the one of x, which counts as clean. `denoise` should not be
    guided: where guidance pushes z away from its course, the way back is another one. No noise can be estimated from x
    itself, so the first step takes the estimate at the level where it ends, for alpha x.

    Raises ValueError for fewer than two levels.
    """
    if len(levels) < 2:
        raise ValueError(f"levels: expected at least two, from noise to the video, got {len(levels)}")
    level = levels[-2]
    with torch.no_grad():
        mean = expand_like(level.alpha, x) * x
        # sigma eps_hat is what x_hat leaves of alpha x.
        z = 2 * mean - expand_like(level.alpha, x) * denoise(mean, level)
    return _from_there(denoise, z, levels[:-1])


def _from_there(denoise: Denoise, z: Tensor, levels: Sequence[NoiseLevel]) -> Iterator[Tensor]:
    yield z
    yield from raised(denoise, z, levels)


def raised(denoise: Denoise, z: Tensor, levels: Sequence[NoiseLevel]) -> Iterator[Tensor]:
    """z (B, ...) at every level before the last one, which is its own and has noise, up to the noisiest.

    z_t = alpha_t x_hat + sigma_t eps_hat, both read off z_s at its own level, s < t.
    """
    for level_s, level_t in pairwise(reversed(levels)):
        with torch.no_grad():
            z = onward(z, denoise(z, level_s), level_s, level_t)
        yield z
