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
from zoetrope.layers.attention import Looks
from zoetrope.samplers import Sampler, Step


def _whole_alone(frames: Sequence[int]) -> Denoise:
    raise ValueError(
        "routine: expected one that evaluates whole videos, such as straight, for a long video is in parts"
    )


def _unchanged(denoise: Denoise) -> Denoise:
    return denoise


def _as_it_is(video: Tensor) -> Tensor:
    return video


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A stage that is ready to run.

    Attributes:
        denoise: (z, level) -> x_hat of whole videos (B, C, F, H, W), guided and thresholded.
        levels: from the noisiest to the cleanest, one more than there are steps: (B,), or (B, F) where frames are held.
        noise: purpose ("start", "step 3", ...) -> standard normal noise (B, C, F, H, W), the same at every call.
        sampler: the solver that steps from noise to data.
        held: frames that z holds as they are; all levels are clean there.
        part: the numbers of some frames, in any order -> their denoiser: for it they are the whole video. It is guided,
            and still lacks the threshold, which is for whole videos; for routines that are `in_parts`.
        threshold: denoiser -> the same with the stage's threshold.
        keep: x_hat of whole videos -> the same with what is known of them as it is, in place: a sampler whose sample is
            z leaves noise in it.
    """

    denoise: Denoise
    levels: Sequence[NoiseLevel]
    noise: Callable[[str], Tensor]
    sampler: Sampler
    held: Known | None = None
    part: Callable[[Sequence[int]], Denoise] = _whole_alone
    threshold: Callable[[Denoise], Denoise] = _unchanged
    keep: Callable[[Tensor], Tensor] = _as_it_is

    def start(self) -> Tensor:
        """z before the first step: noise, and the frames that it holds."""
        z = self.noise("start")
        return z if self.held is None else self.held.put_into(z.clone())

    def steps(self, denoise: Denoise, z: Tensor, first: int = 0) -> Iterator[Step]:
        """The sampler's steps from the level of number `first`, where z is, to the last, with the noise of each."""
        return self.sampler(denoise, z, self.levels[first:], noise=lambda n: self.noise(f"step {first + n}"))


class Routine(Kind, ABC):
    """How a stage runs from start to end; its parameters are its fields.

    Attributes:
        looks: the frames that spatial attention should look at in a network of single pictures, so that they agree, see
            `zoetrope.layers.attention.SpatialAttention`; None: the routine needs nothing of the kind.
        in_parts: whether it evaluates parts of videos, `Ready.part`: there are no windows and no known frames then.
        even: whether all steps but the last take the same work: plans then run two of them instead of all.
    """

    folder: ClassVar[str] = "zoetrope.routines"
    looks: ClassVar[Looks | None] = None
    in_parts: ClassVar[bool] = False
    even: ClassVar[bool] = False

    def length(self, steps: int) -> int:
        """How many steps it yields for a stage with `steps` sampling steps."""
        return steps

    def seen(self, frames: int) -> int:
        """The most frames of a video of so many that the network sees at once."""
        return frames

    @abstractmethod
    def __call__(self, ready: Ready) -> Iterator[Step]:
        """Yield the steps; the x_hat of the last one is the stage's video."""
