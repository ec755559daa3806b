"""DDIM [Song et al. 2021, arXiv:2010.02502]."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.prediction import eps_from_x
from zoetrope.diffusion.process import by_frames, diffuse
from zoetrope.diffusion.schedule import NoiseLevel
from zoetrope.samplers import Noise, Sampler, Step


class DDIM(Sampler):
    """Deterministic; one denoiser call per step.

    z_s = alpha_s x_hat + sigma_s eps_hat, with eps_hat read off the (guided, thresholded) x_hat
    [Ho et al. 2022, arXiv:2210.02303, Sec. 2.1].
    """

    def __call__(self, denoise: Denoise, z: Tensor, levels: Sequence[NoiseLevel], *, noise: Noise) -> Iterator[Step]:
        for level_t, level_s in pairwise(levels):
            with torch.no_grad():
                x_hat = denoise(z, level_t)
                z = by_frames(_step(level_t, level_s), z, x_hat, into=z)
            yield Step(z, x_hat)
            del x_hat


def _step(level_t: NoiseLevel, level_s: NoiseLevel) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda z, x_hat: diffuse(x_hat, eps_from_x(x_hat, z, level_t), level_s)
