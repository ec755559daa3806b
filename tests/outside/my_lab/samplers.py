"""A sampler that forgets the noise and draws new noise at each level."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.tensors import expand_like
from zoetrope.samplers import Noise, Sampler, Step


class Anew(Sampler):
    """z_s = alpha_s x_hat + sigma_s times `share` of fresh noise."""

    share: float = 1.0

    def __call__(self, denoise: Denoise, z: Tensor, levels: Sequence[NoiseLevel], *, noise: Noise) -> Iterator[Step]:
        for number, level in enumerate(levels[:-1]):
            with torch.no_grad():
                x_hat = denoise(z, level)
                after = levels[number + 1]
                z = expand_like(after.alpha, x_hat) * x_hat
                if number < len(levels) - 2:
                    z = z + self.share * expand_like(after.sigma, z) * noise(number)
            yield Step(z, x_hat)
