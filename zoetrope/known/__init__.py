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
from zoetrope.diffusion.denoise import Denoise, StepFunction, per_step
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.shapes import expect_shape

Draws = Callable[[str, Sequence[int]], Tensor]
"""(purpose, frames) -> standard normal noise of these frames (B, C, n, H, W), the same at every call.

The purpose is such as "start" or "known 3"."""


@dataclass(frozen=True)
class Known:
    """Frames of a stage's videos, or parts of frames, that are given, and do not change.

    Attributes:
        frames: which of them are known, at least in part, (F,) bool, the same for all videos.
        video: the videos, (B, C, F, H, W) in [-1, 1]; what is in their other frames does not matter. Or the n known
            frames alone, (B, C, n, H, W).
        low_res: what `zoetrope.video.resample.degrade` makes of the videos, (B, C, f, h, w) in [-1, 1], where that is
            known too, of all of their frames; for methods that are `in_space`.
        mask: which pixels of the n known frames are known, (n, H, W) bool, the same for all videos; None: all. For
            methods that are `in_part`.

    Raises ValueError for other shapes, and for frames that are not finite.
    """

    frames: Tensor
    video: Tensor
    low_res: Tensor | None = None
    mask: Tensor | None = None

    def __post_init__(self) -> None:
        if self.frames.dtype != torch.bool or self.frames.ndim != 1:
            raise ValueError(
                f"known.frames: expected bool, shape (F,), got {self.frames.dtype}, {tuple(self.frames.shape)}"
            )
        expect_shape("known.video", self.video, None, None, None if self._alone else len(self.frames), None, None)
        if not self.values.isfinite().all():
            raise ValueError("known.video: expected finite values in known frames, got NaN or infinity")
        if self.low_res is not None and not self.low_res.isfinite().all():
            raise ValueError("known.low_res: expected finite values, got NaN or infinity")
        if self.mask is not None:
            if self.mask.dtype != torch.bool:
                raise ValueError(f"known.mask: expected bool, got {self.mask.dtype}")
            expect_shape("known.mask", self.mask, len(self.places), *self.video.shape[3:])

    @cached_property
    def places(self) -> list[int]:
        """The numbers of the known frames, in order."""
        return [number for number, known in enumerate(self.frames.tolist()) if known]

    @cached_property
    def values(self) -> Tensor:
        """The known frames alone, (B, C, n, H, W)."""
        return self.video if self._alone else self.video[:, :, self.index]

    @cached_property
    def index(self) -> Tensor:
        """`places` (n,), where the video is: a list would be copied to a GPU again each time that it selects."""
        return torch.tensor(self.places, dtype=torch.long, device=self.video.device)

    @property
    def complete(self) -> bool:
        """Whether everything is known, so that nothing is left to make."""
        return len(self.places) == len(self.frames) and (self.mask is None or bool(self.mask.all()))

    def differences(self, video: Tensor) -> Tensor:
        """The known frames less those of a video (B, C, F, H, W), (B, C, n, H, W), 0 where nothing is known."""
        away = self.values.to(video) - video[:, :, self.index]
        return away if self.mask is None else away * self.mask

    @property
    def _alone(self) -> bool:
        return self.video.ndim == 5 and self.video.shape[2] == len(self.places)

    def select(self, rows: Tensor | slice) -> "Known":
        """What is known of some videos of the batch."""
        low_res = None if self.low_res is None else self.low_res[rows]
        return replace(self, video=self.video[rows], low_res=low_res)

    def to(self, device: torch.device, dtype: torch.dtype) -> "Known":
        """The same on a device."""
        low_res = None if self.low_res is None else self.low_res.to(device, dtype)
        mask = None if self.mask is None else self.mask.to(device)
        return Known(self.frames.to(device), self.video.to(device, dtype), low_res, mask)

    def check(self, count: int, channels: int, sizes: tuple[int, int, int]) -> None:
        """Raise ValueError unless it fits `count` videos of frames x height x width, and leaves something to make."""
        frames, height, width = sizes
        expect_shape("known.frames", self.frames, frames)
        expect_shape("known.video", self.video, count, channels, self.video.shape[2], height, width)
        if self.complete:
            raise ValueError(f"known.frames: expected a frame that is not known, got all {len(self.frames)}")
        if self.low_res is None:
            return
        expect_shape("known.low_res", self.low_res, count, channels, None, None, None)
        for axis, large, small in zip(("frames", "height", "width"), sizes, self.low_res.shape[2:], strict=True):
            if large % small:
                raise ValueError(f"known.low_res: {axis}: expected a divisor of {large}, got {small}")

    def put_into(self, video: Tensor, values: Tensor | None = None) -> Tensor:
        """The video (B, C, F, H, W) with the known frames in it, or with `values` (B, C, n, H, W) in their places.

        It is changed in place, and only where it is known.
        """
        own = (self.values if values is None else values).to(video)
        if self.mask is not None:
            own = torch.where(self.mask, own, video[:, :, self.index])
        video[:, :, self.index] = own
        return video

    def level(self, known: NoiseLevel, level: NoiseLevel) -> NoiseLevel:
        """`known`, (B,), in the known frames, and `level`, (B,) or (B, F), in the others: (B, F)."""
        count = len(self.frames)
        return NoiseLevel.where(self.frames.to(level.logsnr.device), known.expand(count), level.expand(count))


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a method is to make agree with known frames.

    Attributes:
        stage: its name.
        known: the frames, on the device of z.
        levels: (B,) that the stage steps through, from noise to data.
        noise: of the stage's videos, to draw from.
        reduced: videos (B, C, F, H, W) -> what `Known.low_res` is of them, differentiable; where that is known.
    """

    stage: str
    known: Known
    levels: Sequence[NoiseLevel]
    noise: Draws
    reduced: Callable[[Tensor], Tensor] | None = None

    @cached_property
    def _steps(self) -> StepFunction:
        return per_step(self.levels, range(len(self.levels)))

    def step(self, level: NoiseLevel) -> int:
        """The number of the step that starts at a level, from 0; where frames differ, that of the cleanest."""
        step = self._steps(level)
        return int(step.max()) if isinstance(step, Tensor) else int(step)


class Method(Kind, ABC):
    """How a stage is made to agree with known frames; its parameters are its fields.

    Attributes:
        holds: whether z holds the known frames as they are, at the level of clean data, from the start.
        differentiates: whether the denoiser that it is given must have gradients.
        in_space: whether it also takes a known video of lower resolution, `Known.low_res`.
        in_part: whether it also takes frames of which only some pixels are known, `Known.mask`.
    """

    folder: ClassVar[str] = "zoetrope.known"
    holds: ClassVar[bool] = False
    differentiates: ClassVar[bool] = False
    in_space: ClassVar[bool] = False
    in_part: ClassVar[bool] = False

    @abstractmethod
    def denoiser(self, denoise: Denoise, task: Task) -> Denoise:
        """A denoiser that knows the frames, from one (z, level) -> x_hat of whole videos that does not.

        `denoise` is guided, but not clipped or thresholded: that is done after it, and known frames are put into x_hat
        in the end.
        """


def keeping_known(denoise: Denoise, known: Known) -> Denoise:
    """Put the known frames into x_hat, in place, exactly as they were given."""
    return lambda z, level: known.put_into(denoise(z, level))
