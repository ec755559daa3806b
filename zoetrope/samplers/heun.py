"""Heun's second-order method [Karras et al. 2022, arXiv:2206.00364, Alg. 1], along the angle arctan(sigma / alpha)."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor

from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.prediction import eps_from_x, v_from, v_from_x, x_from
from zoetrope.diffusion.process import by_frames, diffuse
from zoetrope.diffusion.schedule import NoiseLevel
from zoetrope.samplers import Noise, Sampler, Step


class Heun(Sampler):
    """Deterministic; two denoiser calls per step, one in the last.

    Along the angle dz = v dangle, so the trapezoid rule averages v: that of this step's x_hat and eps_hat, and that of
    the next level's, both read at this level. Karras et al. average eps along sigma / alpha, which falls by four orders
    of magnitude in the first step from a logsnr of -20; the angle moves evenly.
    """

    videos: ClassVar[int] = 5

    def __call__(self, denoise: Denoise, z: Tensor, levels: Sequence[NoiseLevel], *, noise: Noise) -> Iterator[Step]:
        last = len(levels) - 2
        for index, (level_t, level_s) in enumerate(pairwise(levels)):
            with torch.no_grad():
                x_hat = denoise(z, level_t)
                first, second = _steps(level_t, level_s)
                z_s = by_frames(first, z, x_hat)
                if index < last:
                    z_s = by_frames(second, z, x_hat, z_s, denoise(z_s, level_s))
                z = z_s
            yield Step(z, x_hat)
            del x_hat, z_s


def _steps(level_t: NoiseLevel, level_s: NoiseLevel) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """The step with this level's v, (z, x_hat) -> z_s, and with the mean v, (z, x_hat, z_s, its x_hat) -> z_s."""

    def first(z: Tensor, x_hat: Tensor) -> Tensor:
        return diffuse(x_hat, eps_from_x(x_hat, z, level_t), level_s)

    def second(z: Tensor, x_hat: Tensor, z_s: Tensor, x_next: Tensor) -> Tensor:
        v_next = v_from(x_next, eps_from_x(x_next, z_s, level_s), level_t)
        return first(z, x_from("v", (v_from_x(x_hat, z, level_t) + v_next) / 2, z, level_t))

    return first, second
