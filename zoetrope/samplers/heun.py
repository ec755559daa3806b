"""Heun's second-order method [Karras et al. 2022, arXiv:2206.00364, Alg. 1], for any alpha and sigma."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.prediction import eps_from_x
from zoetrope.diffusion.process import diffuse
from zoetrope.diffusion.schedule import NoiseLevel
from zoetrope.samplers import Noise, Sampler, Step
from zoetrope.shapes import expand_like


class Heun(Sampler):
    """Deterministic; two denoiser calls per step, one in the last.

    In units z / alpha and sigma / alpha every process is dz = eps dsigma, so the trapezoid rule averages eps.
    """

    @torch.no_grad()
    def __call__(self, denoise: Denoise, z: Tensor, levels: Sequence[NoiseLevel], *, noise: Noise) -> Iterator[Step]:
        last = len(levels) - 2
        for index, (level_t, level_s) in enumerate(pairwise(levels)):
            x_hat = denoise(z, level_t)
            eps = eps_from_x(x_hat, z, level_t)
            z_s = diffuse(x_hat, eps, level_s)
            if index < last:
                eps = (eps + eps_from_x(denoise(z_s, level_s), z_s, level_s)) / 2
                ratio = level_s.alpha / level_t.alpha
                z_s = expand_like(ratio, z) * z + expand_like(level_s.sigma - ratio * level_t.sigma, z) * eps
            z = z_s
            yield Step(z, x_hat)
