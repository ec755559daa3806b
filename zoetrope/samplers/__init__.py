"""Samplers, one per file. To add one, add a file with a frozen value that subclasses `Sampler`."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from zoetrope.config import Kind
from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.level import NoiseLevel

Noise = Callable[[int], Tensor]
"""Step number -> standard normal noise like z; the only source of randomness that a sampler has."""
CORRECTIONS = 2**20
"""Where a step draws twice, its second noise has the number of the step plus this, which is beyond those of all steps.
"""


class Step:
    """One finished sampling step: the new state z (B, ...) and the clean estimate x_hat (B, ...) it came from.

    `z` may be a function that computes it on first access: after the last step it usually goes unused.
    """

    def __init__(self, z: Tensor | Callable[[], Tensor], x_hat: Tensor) -> None:
        self._z, self.x_hat = z, x_hat

    @property
    def z(self) -> Tensor:
        """The new state."""
        if not isinstance(self._z, Tensor):
            with torch.no_grad():
                self._z = self._z()
        return self._z


class Sampler(Kind, ABC):
    """Steps from noise to data. Its parameters are its fields; all running state is local to the call.

    Drop yielded tensors early: memory plans measure what a sampler holds. Do not decorate it with `torch.no_grad`: the
    wrapper keeps the arguments and the previous step alive. The next step may overwrite the z of a step.
    """

    folder: ClassVar[str] = "zoetrope.samplers"

    @property
    def gives_x_hat(self) -> bool:
        """Whether the sample is the last x_hat as it comes from the denoiser, which may then take the memory of z."""
        return True

    @abstractmethod
    def __call__(self, denoise: Denoise, z: Tensor, levels: Sequence[NoiseLevel], *, noise: Noise) -> Iterator[Step]:
        """Yield one Step for each pair of neighbouring levels. The last x_hat is the sample.

        Args:
            denoise: (z, level) -> x_hat.
            z: noise at levels[0], (B, ...). The sampler may overwrite it.
            levels: from noisiest to cleanest, each (B,), or (B, F) where each frame of a video has its own. A frame
                whose level does not change in a step keeps its z exactly. One that reaches its last level early
                becomes the sample then, and stays. `zoetrope.diffusion.transition.transitions` handles both.
            noise: fresh noise for each step, by step number; a second one by that plus `CORRECTIONS`.
        """
