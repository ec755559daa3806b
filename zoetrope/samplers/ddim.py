"""DDIM [Song et al. 2021, arXiv:2010.02502]."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.process import onward
from zoetrope.diffusion.transition import replaced, transitions
from zoetrope.samplers import Noise, Sampler, Step


class DDIM(Sampler):
    """Deterministic; one denoiser call per step.

    z_s = alpha_s x_hat + sigma_s eps_hat, with eps_hat read off the (guided, thresholded) x_hat
    [Ho et al. 2022, arXiv:2210.02303, Sec. 2.1].

    Attributes:
        sample: what the sample is: the last "x_hat", or "z" at the last level, with the little noise that there is at
            the end of a discrete schedule, as in Stable Diffusion (`set_alpha_to_one` = false).
    """

    sample: Literal["x_hat", "z"] = "x_hat"

    @property
    def gives_x_hat(self) -> bool:
        """See `Sampler`."""
        return self.sample == "x_hat"

    def __call__(self, denoise: Denoise, z: Tensor, levels: Sequence[NoiseLevel], *, noise: Noise) -> Iterator[Step]:
        last = len(levels) - 2
        for index, step in enumerate(transitions(levels)):
            goes_on = index < last or not self.gives_x_hat
            level_s = step.level_s if self.gives_x_hat else levels[index + 1]  # of frames that arrive, not clean data
            with torch.no_grad():
                x_hat = step.denoised(denoise, z)
                move = partial(onward, z, x_hat, step.level_t, level_s, into=z)
                z = move() if goes_on else z
                if not self.gives_x_hat:
                    x_hat = z if index == last else replaced(x_hat, step.arriving, z)
            yield Step(z if goes_on else move, x_hat)
            del move, x_hat
