"""Heun's second-order method [Karras et al. 2022, arXiv:2206.00364, Alg. 1], along the angle arctan(sigma / alpha)."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.prediction import eps_from_x, v_from, v_from_x, x_from
from zoetrope.diffusion.process import by_frames, diffuse
from zoetrope.diffusion.transition import replaced, transitions
from zoetrope.samplers import Noise, Sampler, Step


class Heun(Sampler):
    """Deterministic; two denoiser calls per step, one in the last.

    Along the angle dz = v dangle, so the trapezoid rule averages two values of v: from x_hat and eps_hat at this level
    and at the next, both evaluated at this level. Karras et al. average eps along sigma / alpha, which falls by four
    orders of magnitude in the first step from a logsnr of -20; the angle changes evenly.
    """

    def __call__(self, denoise: Denoise, z: Tensor, levels: Sequence[NoiseLevel], *, noise: Noise) -> Iterator[Step]:
        last = len(levels) - 2
        for index, step in enumerate(transitions(levels)):
            with torch.no_grad():
                x_hat = step.denoised(denoise, z)
                shares = (*step.level_t, *step.level_s)
                z_s = replaced(by_frames(_first, z, x_hat, shares=shares), step.held, z)
                if index < last:
                    mean = by_frames(_second, z, x_hat, z_s, denoise(z_s, levels[index + 1]), shares=shares)
                    z_s = replaced(replaced(mean, step.held, z), step.arriving, x_hat)
                    del mean
                z = z_s
            yield Step(z, x_hat)
            del x_hat, z_s


def _first(z: Tensor, x_hat: Tensor, *levels: Tensor) -> Tensor:
    """The step with this level's v; levels are alpha, sigma and logsnr of t and of s."""
    level_t, level_s = NoiseLevel(*levels[:3]), NoiseLevel(*levels[3:])
    return diffuse(x_hat, eps_from_x(x_hat, z, level_t), level_s)


def _second(z: Tensor, x_hat: Tensor, z_s: Tensor, x_next: Tensor, *levels: Tensor) -> Tensor:
    """The step with the mean of this level's v and the v of x_next at z_s."""
    level_t, level_s = NoiseLevel(*levels[:3]), NoiseLevel(*levels[3:])
    v_next = v_from(x_next, eps_from_x(x_next, z_s, level_s), level_t)
    return _first(z, x_from("v", (v_from_x(x_hat, z, level_t) + v_next) / 2, z, level_t), *levels)
