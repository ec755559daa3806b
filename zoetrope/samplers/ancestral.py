"""Ancestral sampling with log-interpolated variance [Ho et al. 2022, arXiv:2210.02303, Sec. 2.1]."""

from collections.abc import Iterator, Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.process import posterior, power_ratio, transition_variance
from zoetrope.diffusion.tensors import expand_like
from zoetrope.diffusion.transition import Transition, transitions
from zoetrope.samplers import Noise, Sampler, Step


class Ancestral(Sampler):
    """Stochastic; one denoiser call per step; the last step adds no noise.

    Attributes:
        gamma: 0 adds the variance of q(z_s | z_t, x), 1 that of q(z_t | z_s); log-interpolated between. Where levels do
            not preserve variance the latter is scaled as from z_t to z_s: it remains that of z_s given z_t for data of
            unit variance.
    """

    gamma: Annotated[float, Field(ge=0, le=1)] = 0.3

    def __call__(self, denoise: Denoise, z: Tensor, levels: Sequence[NoiseLevel], *, noise: Noise) -> Iterator[Step]:
        last = len(levels) - 2
        for index, step in enumerate(transitions(levels)):
            with torch.no_grad():
                x_hat = step.denoised(denoise, z)
                z, std = ancestor(z, x_hat, step, self.gamma)
                if index < last:
                    z.addcmul_(expand_like(std, z), noise(index))
            yield Step(z, x_hat)
            del x_hat


def ancestor(z: Tensor, x_hat: Tensor, step: Transition, gamma: float) -> tuple[Tensor, Tensor]:
    """The mean of z_s (B, ...) and the standard deviation of its noise, like the levels, 0 for frames that arrive."""
    mean, small = posterior(z, x_hat, step.level_s, step.level_t)
    large = power_ratio(step.level_s, step.level_t) * transition_variance(step.level_s, step.level_t)
    std = (small ** (1 - gamma) * large**gamma).sqrt()
    return mean, torch.where(small > 0, std, 0)  # no noise where the posterior variance is 0, whatever gamma
