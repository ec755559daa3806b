"""DDIM [Song et al. 2021, arXiv:2010.02502]."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.process import by_frames, onward
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
                move = partial(by_frames, partial(onward, level_t=level_t, level_s=level_s), z, x_hat, into=z)
                last = level_s is levels[-1]
                z = z if last else move()
            yield Step(move if last else z, x_hat)
            del move, x_hat
