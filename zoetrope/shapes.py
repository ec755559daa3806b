"""Shapes of videos, boxes in them, and a check of tensors' shapes.

Dimension letters used in every docstring of this package:
B batch, C channels, F frames, H height, W width, L text tokens, D features.
Videos are always (B, C, F, H, W); an image is a video with F = 1.
"""

import math
from typing import Annotated, NamedTuple, Self

from pydantic import Field
from torch import Tensor

from zoetrope.config import Config

MOST_FRAMES = 10_000_000
"""Of a video."""
FramesPerSecond = Annotated[float, Field(gt=0, le=1_000_000)]


class VideoShape(Config):
    """The grid of a video.

    Attributes:
        frames: how many pictures.
        height: of each, in pixels.
        width: of each, in pixels.
        fps: frames a second.
    """

    frames: Annotated[int, Field(ge=1, le=MOST_FRAMES)]
    height: Annotated[int, Field(ge=1, le=131_072)]
    width: Annotated[int, Field(ge=1, le=131_072)]
    fps: FramesPerSecond

    def __str__(self) -> str:
        return f"{self.frames}x{self.height}x{self.width}@{self.fps:g}fps"

    @property
    def seconds(self) -> float:
        """How long the video lasts."""
        return self.frames / self.fps

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Frames, height, width."""
        return self.frames, self.height, self.width


class Window(NamedTuple):
    """A box in a video: ranges of frames, rows and columns."""

    frames: range
    rows: range
    columns: range

    @classmethod
    def whole(cls, shape: VideoShape) -> Self:
        """All of a video."""
        return cls(range(shape.frames), range(shape.height), range(shape.width))

    @property
    def sizes(self) -> tuple[int, int, int]:
        """How many frames, rows and columns."""
        return len(self.frames), len(self.rows), len(self.columns)

    @property
    def volume(self) -> int:
        """Its number of pixels, over all frames."""
        return math.prod(self.sizes)

    def of(self, video: Tensor) -> Tensor:
        """This part of a video (..., F, H, W), a view."""
        frames, rows, columns = (slice(axis.start, axis.stop) for axis in self)
        return video[..., frames, rows, columns]

    def moved(self, outer: "Window") -> "Window":
        """The box that has these coordinates relative to `outer`; the inverse of `within`."""
        return Window(*(range(o.start + own.start, o.start + own.stop) for own, o in zip(self, outer, strict=True)))

    def within(self, outer: "Window") -> "Window":
        """The same box in coordinates relative to `outer`."""
        moved = (range(own.start - o.start, own.stop - o.start) for own, o in zip(self, outer, strict=True))
        return Window(*moved)


def expect_shape(name: str, x: Tensor, *shape: int | None) -> None:
    """Raise ValueError unless x has this shape; None matches any size."""
    if x.ndim != len(shape) or any(want not in (None, got) for want, got in zip(shape, x.shape, strict=True)):
        want = ", ".join("?" if size is None else str(size) for size in shape)
        raise ValueError(f"{name}: expected shape ({want}), got {tuple(x.shape)}")
