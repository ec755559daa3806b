"""Windows that overlap, and together cover a video: what a network sees at once of a video larger than its clips."""

import math
from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from zoetrope.config import Config
from zoetrope.config.errors import shown
from zoetrope.shapes import VideoShape, Window

MOST_WINDOWS = 10_000
Length = Annotated[int, Field(ge=1, le=10_000_000)]


class Windows(Config):
    """How a video is covered by windows of one size.

    Along each axis they start in steps of the length without the overlap; the last one ends with the video, and so
    overlaps more. 80 frames by 16 with an overlap of 2 start at 0, 14, 28, 42, 56 and 64. An axis that is no longer
    than a window has one, as long as the axis.

    Attributes:
        frames: of a window; None: all of the video's.
        overlap: frames that neighbours share at least; with 0 they do not know of each other.
        height, width: of a window, in pixels; None: all of the video's.
        overlap_pixels: rows and columns that neighbours share at least.
    """

    frames: Length | None = None
    overlap: Annotated[int, Field(ge=0)] = 2
    height: Length | None = None
    width: Length | None = None
    overlap_pixels: Annotated[int, Field(ge=0)] = 8

    @model_validator(mode="after")
    def _cover(self) -> Self:
        if self.frames is not None and self.overlap >= self.frames:
            raise ValueError(f"overlap: expected fewer than the {self.frames} frames of a window, got {self.overlap}")
        for axis in ("height", "width"):
            length = getattr(self, axis)
            if length is not None and self.overlap_pixels >= length:
                raise ValueError(
                    f"overlap_pixels: expected fewer than the {axis} of a window, {length}, got {self.overlap_pixels}"
                )
        return self

    def seen(self, shape: VideoShape) -> VideoShape:
        """The grid of one window of a video; all windows have the same."""
        asked = {"frames": self.frames, "height": self.height, "width": self.width}
        return shape.with_(**{axis: min(own or 10**9, getattr(shape, axis)) for axis, own in asked.items()})

    def of(self, shape: VideoShape) -> list[Window]:
        """The windows of a video, the first frames first."""
        overlaps = (self.overlap, self.overlap_pixels, self.overlap_pixels)
        axes = [list(spans(*axis)) for axis in zip(shape.sizes, self.seen(shape).sizes, overlaps, strict=True)]
        return [Window(frames, rows, columns) for frames in axes[0] for rows in axes[1] for columns in axes[2]]

    def count(self, shape: VideoShape) -> int:
        """How many windows a video has."""
        overlaps = (self.overlap, self.overlap_pixels, self.overlap_pixels)
        axes = zip(shape.sizes, self.seen(shape).sizes, overlaps, strict=True)
        return math.prod(1 + -(-(size - length) // max(1, length - overlap)) for size, length, overlap in axes)

    def scaled(self, first: VideoShape, shape: VideoShape) -> Self:
        """For a video of `shape` the windows that last as long, and show as much, as these of a video of `first`."""
        frames, height, width = (new // old for new, old in zip(shape.sizes, first.sizes, strict=True))
        more: dict[str, Any] = {"overlap": self.overlap * frames, "overlap_pixels": self.overlap_pixels * height}
        for axis, times in (("frames", frames), ("height", height), ("width", width)):
            more[axis] = None if getattr(self, axis) is None else getattr(self, axis) * times
        return self.with_(**more)

    def check(self, shape: VideoShape, source: VideoShape | None) -> None:
        """Raise ValueError for too many windows of a video, or if they divide frames or pixels of its source's."""
        if (count := self.count(shape)) > MOST_WINDOWS:
            raise ValueError(f"windows: expected at most {MOST_WINDOWS:,} of {shape}, got {count:,}")
        if source is None:
            return
        overlaps = {"frames": "overlap", "height": "overlap_pixels", "width": "overlap_pixels"}
        for axis, overlap in overlaps.items():
            factor, length = getattr(shape, axis) // getattr(source, axis), getattr(self, axis)
            if length is None or length >= getattr(shape, axis):
                continue
            for name in (axis, overlap):
                got = getattr(self, name)
                if got % factor:
                    near = max(factor, round(got / factor) * factor)
                    raise ValueError(
                        f"windows.{name}: expected a multiple of {factor}, as the stage has {factor} times the {axis} "
                        f"of its source, such as {near}, got {got}"
                    )


def spans(size: int, length: int, overlap: int) -> Iterator[range]:
    """The parts of an axis that windows cover, from the first to the last."""
    length = min(size, length)
    step = max(1, length - overlap)
    for start in range(0, size - length, step):
        yield range(start, start + length)
    yield range(size - length, size)


def windows_told(value: Any) -> Windows | None:
    """Windows of so many frames: a number, (frames, overlap), text such as "16" or "16:2", or `Windows`; None: none.

    Raises ValueError for anything else.
    """
    if value is None or isinstance(value, Windows):
        return value
    parts = value.split(":") if isinstance(value, str) else list(value) if isinstance(value, tuple | list) else [value]
    wrong = ValueError(f"windows: expected frames, or frames:overlap, such as 16 or 16:2, got {shown(value)}")
    try:
        numbers = [int(part) for part in parts]
    except (TypeError, ValueError):
        raise wrong from None
    if len(numbers) not in (1, 2) or any(isinstance(part, bool | float) for part in parts):
        raise wrong
    given = dict(zip(("frames", "overlap"), numbers, strict=False))
    if len(numbers) == 1:
        given["overlap"] = min(2, max(0, numbers[0] - 1))
    try:
        return Windows.from_json(given)
    except ValueError as error:
        raise ValueError(f"windows: {error}") from None
