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


class Step:
    """One finished sampling step: the new state z (B, ...) and the clean estimate x_hat (B, ...) it came from.

    A z may be a function that makes it, once it is asked for: after the last step nobody needs one.
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
    """Walks from noise to data. Its parameters are its fields; all running state is local to the call.

    It drops what it has yielded as soon as it can: plans and budgets measure what it holds. Do not decorate it with
    `torch.no_grad`, whose wrapper keeps its arguments and the step before alive. The z of a step may be overwritten by
    the next.
    """

    folder: ClassVar[str] = "zoetrope.samplers"

    @abstractmethod
    def __call__(self, denoise: Denoise, z: Tensor, levels: Sequence[NoiseLevel], *, noise: Noise) -> Iterator[Step]:
        """Yield one Step for each pair of neighbouring levels. The last x_hat is the sample.

        Args:
            denoise: (z, level) -> x_hat.
            z: noise at levels[0], (B, ...). It is the sampler's from then on, to be overwritten.
            levels: from noisiest to cleanest, each (B,), or (B, F) where each frame of a video has its own. A frame
                whose level a step does not change keeps its z exactly. One that reaches the last of its levels early
                returns its x_hat then, and stays. `zoetrope.diffusion.transition.transitions` sees to both.
            noise: fresh noise for each step, by step number.
        """
