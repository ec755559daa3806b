"""The stochastic sampler of distilled models [Ho et al. 2022, arXiv:2210.02303, Sec. 2.7; Meng et al. 2023].

Modelled on that of Karras et al. 2022 (arXiv:2206.00364): overshoot, then add noise to go back. Meng et al. is
arXiv:2210.03142.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.process import onward, renoise
from zoetrope.diffusion.transition import Transition, transitions
from zoetrope.samplers import Noise, Sampler, Step


class Stochastic(Sampler):
    """Each step is a DDIM step of twice its length, then fresh noise back to the level where it should end.

    One denoiser call per step; the last step has single length and adds no noise. For networks that were distilled for
    steps of double length, which lose nothing; others lose much quality at any number of steps.
    """

    def __call__(self, denoise: Denoise, z: Tensor, levels: Sequence[NoiseLevel], *, noise: Noise) -> Iterator[Step]:
        last = len(levels) - 2
        for index, step in enumerate(transitions(levels)):
            with torch.no_grad():
                x_hat = step.denoised(denoise, z)
                beyond = step.level_s if index == last else _beyond(step, levels[index + 2])
                move = partial(onward, z, x_hat, step.level_t, beyond, into=z)
                if index < last:
                    z = move()
                    z = renoise(z, noise(index), beyond, step.level_s, into=z)
            yield Step(z if index < last else move, x_hat)
            del move, x_hat


def _beyond(step: Transition, level: NoiseLevel) -> NoiseLevel:
    """The level before noise is added: one beyond the step's own, except for frames that arrive or are held."""
    for ends in (step.arriving, step.held):
        if ends is not None:
            level = NoiseLevel.where(ends, step.level_s, level)
    return level
