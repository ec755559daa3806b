"""Known frames, and methods, one per file, by which a stage makes the others agree with them.

To add one, add a file with a frozen value that subclasses `Method`. From a denoiser, a method makes one that knows the
frames. The x_hat of a known frame is the frame itself, whatever the method.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from zoetrope.config import Kind
from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.shapes import expect_shape

Draws = Callable[[str], Tensor]
"""Purpose ("start", "known 3", ...) -> standard normal noise (B, C, F, H, W), the same at every call."""


@dataclass(frozen=True)
class Known:
    """Frames of a stage's videos that are given, and do not change.

    Attributes:
        frames: which of them are known, (F,) bool, the same for all videos.
        video: the videos, (B, C, F, H, W) in [-1, 1]; what is in their other frames does not matter.

    Raises ValueError for other shapes, and for frames that are not finite.
    """

    frames: Tensor
    video: Tensor

    def __post_init__(self) -> None:
        if self.frames.dtype != torch.bool or self.frames.ndim != 1:
            raise ValueError(
                f"known.frames: expected bool, shape (F,), got {self.frames.dtype}, {tuple(self.frames.shape)}"
            )
        expect_shape("known.video", self.video, None, None, len(self.frames), None, None)
        if not self.values.isfinite().all():
            raise ValueError("known.video: expected finite values in known frames, got NaN or infinity")

    @cached_property
    def numbers(self) -> list[int]:
        """The numbers of the known frames, in order."""
        return [number for number, known in enumerate(self.frames.tolist()) if known]

    @cached_property
    def values(self) -> Tensor:
        """The known frames alone, (B, C, n, H, W)."""
        return self.video[:, :, self.numbers]

    def select(self, rows: Tensor | slice) -> "Known":
        """What is known of some videos of the batch."""
        return replace(self, video=self.video[rows])

    def to(self, device: torch.device, dtype: torch.dtype) -> "Known":
        """The same on a device."""
        return replace(self, frames=self.frames.to(device), video=self.video.to(device, dtype))

    def check(self, count: int, channels: int, sizes: tuple[int, int, int]) -> None:
        """Raise ValueError unless it fits `count` videos of frames x height x width, and leaves a frame to make."""
        expect_shape("known.video", self.video, count, channels, *sizes)
        if len(self.numbers) == len(self.frames):
            raise ValueError(f"known.frames: expected a frame that is not known, got all {len(self.frames)}")

    def put_into(self, video: Tensor, values: Tensor | None = None) -> Tensor:
        """The video (B, C, F, H, W) with the known frames in it, or with `values` (B, C, n, H, W) in their places.

        It is changed in place.
        """
        video[:, :, self.numbers] = (self.values if values is None else values).to(video)
        return video

    def level(self, known: NoiseLevel, level: NoiseLevel) -> NoiseLevel:
        """`known`, (B,), in the known frames, and `level`, (B,) or (B, F), in the others: (B, F)."""
        count = len(self.frames)
        return NoiseLevel.where(self.frames.to(level.logsnr.device), known.expand(count), level.expand(count))


class Method(Kind, ABC):
    """How a stage is made to agree with known frames; its parameters are its fields.

    Attributes:
        holds: whether z holds the known frames as they are, at the level of clean data, from the start.
        differentiates: whether the denoiser that it is given must have gradients.
    """

    folder: ClassVar[str] = "zoetrope.known"
    holds: ClassVar[bool] = False
    differentiates: ClassVar[bool] = False

    @abstractmethod
    def denoiser(self, denoise: Denoise, known: Known, levels: Sequence[NoiseLevel], noise: Draws) -> Denoise:
        """A denoiser that knows the frames.

        Args:
            denoise: (z, level) -> x_hat of whole videos, guided, not clipped or thresholded.
            known: the frames, on the device of z.
            levels: (B,) that the stage steps through, from noise to data.
            noise: of the stage's videos, to draw from.
        """


def keeping_known(denoise: Denoise, known: Known) -> Denoise:
    """Put the known frames into x_hat, in place, exactly as they were given."""
    return lambda z, level: known.put_into(denoise(z, level))
