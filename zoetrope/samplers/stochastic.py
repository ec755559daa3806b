"""The stochastic sampler of distilled models [Ho et al. 2022, arXiv:2210.02303, Sec. 2.7; Meng et al. 2023].

After that of Karras et al. 2022 (arXiv:2206.00364): go too far, then some of the way back in noise. Meng et al. is
arXiv:2210.03142.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.process import by_frames, onward, renoise
from zoetrope.diffusion.schedule import NoiseLevel
from zoetrope.samplers import Noise, Sampler, Step


class Stochastic(Sampler):
    """Each step is a DDIM step of twice its length, then fresh noise back to where it should have ended.

    One denoiser call per step; the last step has its own length and adds no noise. For networks that were distilled to
    steps of that double length, which lose nothing by it: others lose much at any number of steps.
    """

    videos: ClassVar[int] = 3

    def __call__(self, denoise: Denoise, z: Tensor, levels: Sequence[NoiseLevel], *, noise: Noise) -> Iterator[Step]:
        last = len(levels) - 2
        for index, level_t in enumerate(levels[:-1]):
            with torch.no_grad():
                x_hat = denoise(z, level_t)
                beyond = levels[min(index + 2, last + 1)]
                move = partial(by_frames, partial(onward, level_t=level_t, level_s=beyond), z, x_hat, into=z)
                if index < last:
                    z = move()
                    z = by_frames(partial(renoise, level_s=beyond, level_t=levels[index + 1]), z, noise(index), into=z)
            yield Step(z if index < last else move, x_hat)
            del move, x_hat
