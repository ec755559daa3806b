"""Recipes of one system at several widths: imagen@0.25 is imagen with networks a quarter as wide."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from zoetrope.cascade.spec import StageSpec
from zoetrope.shapes import VideoShape

Row = TypeVar("Row")


def expect_width(width: float) -> None:
    """Raise ValueError unless `width` is a factor above 0 and at most 1."""
    if not 0 < width <= 1:
        raise ValueError(f"width: expected a factor above 0 and at most 1, such as 0.25, got {width:g}")


def narrowed(channels: int, width: float, step: int) -> int:
    """Channels times `width`, to the nearest multiple of `step`, and one step at least."""
    return max(step, round(channels * width / step) * step)


def chained(
    rows: Iterable[Row], stage: Callable[[Row, VideoShape | None, float], StageSpec], width: float
) -> tuple[StageSpec, ...]:
    """The stages of a cascade: `stage` makes each from its row, the shape before it (None: the first) and `width`.

    Raises ValueError for a factor `width` that is not above 0 and at most 1.
    """
    expect_width(width)
    stages: list[StageSpec] = []
    for row in rows:
        stages.append(stage(row, stages[-1].shape if stages else None, width))
    return tuple(stages)
