"""Routines, one per file: how a stage goes from noise to its video.

To add one, add a file with a frozen value that subclasses `Routine`. A routine gets a stage that is ready to run, and
knows neither the network nor its memory layout.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from zoetrope.config import Kind
from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.known import Known
from zoetrope.samplers import Sampler, Step


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A stage that is ready to run.

    Attributes:
        denoise: (z, level) -> x_hat of whole videos (B, C, F, H, W), guided and thresholded.
        levels: from the noisiest to the cleanest, one more than there are steps: (B,), or (B, F) where frames are held.
        noise: purpose ("start", "step 3", ...) -> standard normal noise (B, C, F, H, W), the same at every call.
        sampler: the solver that steps from noise to data.
        held: frames that z holds as they are; all levels are clean there.
    """

    denoise: Denoise
    levels: Sequence[NoiseLevel]
    noise: Callable[[str], Tensor]
    sampler: Sampler
    held: Known | None = None

    def start(self) -> Tensor:
        """z before the first step: noise, and the frames that it holds."""
        z = self.noise("start")
        return z if self.held is None else self.held.put_into(z.clone())


class Routine(Kind, ABC):
    """How a stage runs from start to end; its parameters are its fields."""

    folder: ClassVar[str] = "zoetrope.routines"

    def length(self, steps: int) -> int:
        """How many steps it yields for a stage with `steps` sampling steps."""
        return steps

    @abstractmethod
    def __call__(self, ready: Ready) -> Iterator[Step]:
        """Yield the steps; the x_hat of the last one is the stage's video."""
