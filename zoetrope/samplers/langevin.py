"""Predictor and corrector: an ancestral step, then a Langevin step [Ho et al. 2022, arXiv:2204.03458, Sec. 2].

The corrector is that of Song et al. 2021 (arXiv:2011.13456) with a fixed step size.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.process import blend_by_frames
from zoetrope.diffusion.tensors import expand_like
from zoetrope.diffusion.transition import Transition, transitions
from zoetrope.samplers import CORRECTIONS, Noise, Sampler, Step
from zoetrope.samplers.ancestral import ancestor


class Langevin(Sampler):
    """Stochastic; two denoiser calls per step, one in the last, which adds no noise.

    After each step but the last, z <- z - (delta / 2) sigma eps_hat(z) + sqrt(delta) sigma noise at the step's end. It
    leaves the law of z at that level nearly as it is: where z is Gaussian with variance D, such steps settle at a
    variance of D / (1 - delta sigma^2 / (4 D)). Frames that do not move or have arrived are not corrected.

    Attributes:
        gamma: of the ancestral step, see `zoetrope.samplers.ancestral.Ancestral`.
        delta: the size of the correction, the paper's 0.1.
    """

    gamma: Annotated[float, Field(ge=0, le=1)] = 0.3
    delta: Annotated[float, Field(gt=0, le=1)] = 0.1

    def __call__(self, denoise: Denoise, z: Tensor, levels: Sequence[NoiseLevel], *, noise: Noise) -> Iterator[Step]:
        last = len(levels) - 2
        for index, step in enumerate(transitions(levels)):
            with torch.no_grad():
                x_hat = step.denoised(denoise, z)
                z, std = ancestor(z, x_hat, step, self.gamma)
                if index < last:
                    z.addcmul_(expand_like(std, z), noise(index))
                    z = self._corrected(z, denoise(z, levels[index + 1]), step)
                    std = self._size(step).sqrt() * step.level_s.sigma
                    z.addcmul_(expand_like(std, z), noise(CORRECTIONS + index))
            yield Step(z, x_hat)
            del x_hat

    def _corrected(self, z: Tensor, x_hat: Tensor, step: Transition) -> Tensor:
        """z - (delta / 2) sigma eps_hat, with sigma eps_hat = z - alpha x_hat."""
        half = self._size(step) / 2
        return blend_by_frames(1 - half, z, half * step.level_s.alpha, x_hat, into=z)

    def _size(self, step: Transition) -> Tensor:
        """delta like the levels, 0 for frames that are not corrected."""
        size = torch.full_like(step.level_s.sigma, self.delta)
        for still in (step.held, step.arriving):
            if still is not None:
                size = size.masked_fill(still, 0.0)
        return size
