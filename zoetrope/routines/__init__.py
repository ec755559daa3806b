"""Routines, one a file: what a stage does from noise to its video. To add one, add a file with a value of `Routine`.

A routine is given a stage that is ready to run. It never knows which network that is, nor how it is laid out in memory.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from zoetrope.config import Kind
from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.samplers import Sampler, Step


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A stage that is ready to run.

    Attributes:
        denoise: (z, level) -> x_hat of whole videos (B, C, F, H, W), guided and thresholded as the stage is.
        levels: from the noisiest to the cleanest, one more than there are steps.
        noise: what it is for ("start", "step 3", ...) -> standard normal noise (B, C, F, H, W), always the same.
        sampler: the way from noise to data.
    """

    denoise: Denoise
    levels: Sequence[NoiseLevel]
    noise: Callable[[str], Tensor]
    sampler: Sampler


class Routine(Kind, ABC):
    """What a stage does from start to end; its parameters are its fields."""

    folder: ClassVar[str] = "zoetrope.routines"

    def length(self, steps: int) -> int:
        """How many steps it yields for a stage that is sampled in so many."""
        return steps

    @abstractmethod
    def __call__(self, ready: Ready) -> Iterator[Step]:
        """Yield a step at a time; the x_hat of the last one is the stage's video."""
