"""Start a cascade from a video instead of one of its stages' output: which stage that is, and which videos fit."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
from torch import Tensor

from zoetrope.cascade.graph import with_vectors
from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.channels import RGB, are_rgb, difference, listed
from zoetrope.config import unknown
from zoetrope.fields import Fields, holds_values, read_values
from zoetrope.shapes import VideoShape, expect_shape
from zoetrope.video import SAME_RATE, Info, Video, probe, rate_to_read, read
from zoetrope.video.naming import sequence_pattern

Fit = Literal["exact", "crop"]
UNTOLD_RATE = 1.0
"""The frame rate of a picture without one."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """Videos that replace a stage's output: only the stages after it run.

    Attributes:
        stage: the name of the stage that would have made them.
        video: one for each prompt, (B, C, F, H, W) in [-1, 1], of that stage's shape.
    """

    stage: str
    video: Tensor

    def check(self, spec: CascadeSpec, count: int) -> None:
        """Raise ValueError unless these are `count` videos of the stage's shape."""
        stage = spec.stage(self.stage)
        grid = stage.made
        name = f"a start after {self.stage!r}"
        expect_shape(name, self.video, count, stage.channels, grid.frames, grid.height, grid.width)


class Footage(NamedTuple):
    """A file read as a stage's output: the stage, the frames, and the shape and seconds of the file itself."""

    stage: StageSpec
    video: Video
    own: VideoShape
    seconds: float

    def start(self) -> Start:
        """A start of one video from it; it must be a single clip."""
        return Start(stage=self.stage.name, video=self.video.to_tensor()[None])


def stages_after(
    spec: CascadeSpec, start: str | None, until: str | None, given: Collection[str] = ()
) -> tuple[StageSpec, ...]:
    """The stages that run from a start after that stage, or from noise for None, up to `until`.

    Without `until`, a start from noise ends at the cascade's default stage, and a start from a video at the last stage.
    Stages that make vectors run where another one reads them, unless its input is `given`, by name.
    Raises ValueError for an unknown stage, for a start after one that makes no videos, if no stage is left to run, and
    if one of them reads the video of a stage that neither runs nor is the start.
    """
    if start is None:
        return with_vectors(spec.stages, spec.until(until or spec.default_until), given)
    expect_start(spec, start)
    stages = spec.until(until)
    before = spec.until(start)
    if len(before) >= len(stages):
        last = f"{spec.name} ends with it" if until is None else f"the last stage to run is {stages[-1].name!r}"
        raise ValueError(f"no stage is left to run after {start!r}: {last}")
    if (unmade := _unmade(start, stages[len(before) :])) is not None:
        stage, of = unmade
        raise ValueError(f"after: expected {of!r}, whose video stage {stage.name!r} reads, got {start!r}")
    return with_vectors(spec.stages, stages[len(before) :], given)


def expect_start(spec: CascadeSpec, name: str) -> None:
    """Raise ValueError unless that stage makes videos, which others can replace."""
    if spec.stage(name).makes_vectors:
        legal = ", ".join(stage.name for stage in spec.videos) or "none"
        raise ValueError(f"after: expected a stage that makes videos ({legal}), got {name!r}, which makes vectors")


def _unmade(start: str, stages: Sequence[StageSpec]) -> tuple[StageSpec, str] | None:
    """A stage and the one whose video it reads, by name, if that one is neither the start nor among these stages."""
    there = {start, *(stage.name for stage in stages)}
    for stage in stages:
        for each in stage.inputs:
            if each.source is not None and each.stage is not None and each.stage not in there:
                return stage, each.stage
    return None


def entries(spec: CascadeSpec, after: str | None, until: str | None) -> tuple[StageSpec, ...]:
    """The stages whose output a video may replace: `after`, or all that are followed by others which need no more."""
    if after is not None:
        stages_after(spec, after, until)
        return (spec.stage(after),)
    every = spec.until(until)
    stages = tuple(
        stage
        for place, stage in enumerate(every[:-1], start=1)
        if not stage.makes_vectors and _unmade(stage.name, every[place:]) is None
    )
    if not stages:
        only = spec.until(until)[-1].name
        raise ValueError(f"{spec.name}: no stage makes a video from another, {only!r} is the only one to run")
    return stages


def start_from(spec: CascadeSpec, video: Video, *, after: str | None = None, until: str | None = None) -> Start:
    """Start one video of a cascade from `video`, which must have exactly the shape of a stage's output.

    Raises ValueError that lists the legal shapes and the nearest of them.
    """
    own = shape_of(video)
    mine = video.channels if isinstance(video, Fields) else RGB
    if (wrong := difference(spec.channels, mine)) is not None:
        raise ValueError(f"video: {wrong}")
    stages = entries(spec, after, until)
    for stage in stages:
        if _size(stage.made) == _size(own) and stage.made.frames == own.frames and _same_rate(stage.made, own):
            return Start(stage=stage.name, video=video.to_tensor()[None])
    raise ValueError(f"video: {_expected(stages, own)}")


def read_start(
    path: str | Path, spec: CascadeSpec, *, after: str | None = None, until: str | None = None, fit: Fit = "exact"
) -> Footage:
    """Read one clip of a file, at the size and frame rate of a stage's output.

    The stage is `after`, or the one that makes videos of the file's size. Of several it is the one with the highest
    frame rate that the file reaches, so that frames may be dropped but none is repeated. "exact" requires the size, and
    the duration to within half a frame. If no stage has the file's size, "crop" takes the nearest stage in size and
    rate, resizes frames until they cover its size, crops the centre, and takes the beginning of a longer file.

    Raises ValueError for an unreadable file, for an unknown stage, and for a shape that no stage accepts: it lists the
    legal shapes, the nearest of them and the remedies.
    """
    stages = entries(spec, after, until)
    if not are_rgb(spec.channels):
        return _read_values(path, spec, stages)
    info, own = probed(path, None if after is None else stages[0])
    stage = _chosen(stages, own, named=after is not None, fit=fit)
    if stage is None or (fit == "exact" and round(info.seconds * stage.shape.fps) != stage.shape.frames):
        raise ValueError(f"{path}: {_expected(stages, own)}")
    shape = stage.made
    if round(info.seconds * shape.fps) < shape.frames:
        raise ValueError(f"{path}: expected {shape.seconds:.2f} s or more, got {info.seconds:.2f} s")
    rate = rate_to_read(info, shape.fps, shape.frames)
    video = read(path, fps=rate, frames=shape.frames, size=_size(shape) if fit == "crop" else None)
    if len(video.frames) < shape.frames:
        raise ValueError(f"{path}: damaged, decodes to {video.seconds:.2f} s of {info.seconds:.2f} s")
    return Footage(stage, Video(video.frames, shape.fps), own, info.seconds)


def _read_values(path: str | Path, spec: CascadeSpec, stages: Sequence[StageSpec]) -> Footage:
    """A file of values in units as the output of the stage of its size, at that stage's rate."""
    if not holds_values(path):
        raise ValueError(
            f"{path}: expected a file of values, such as .npz, for {spec.name} makes {listed(spec.channels)}"
        )
    values = read_values(path, spec.channels)
    if not np.isfinite(values).all():
        raise ValueError(
            f"{path}: expected values everywhere, got {int((~np.isfinite(values)).sum())} that are not finite"
        )
    fitting = [stage for stage in stages if values.shape[1:] == stage.made.sizes]
    if not fitting:
        legal = ", or ".join(f"{stage.made.sizes} (what {stage.name} makes)" for stage in stages)
        raise ValueError(f"{path}: expected frames, rows and columns {legal}, got {values.shape[1:]}")
    stage = fitting[-1]
    video = Fields(values, spec.channels, stage.made.fps)
    return Footage(stage, video, stage.made, stage.made.seconds)


def probed(path: str | Path, stage: StageSpec | None) -> tuple[Info, VideoShape]:
    """A file's info and grid; an image sequence without a frame rate takes that of the stage.

    Raises ValueError for a single picture, and for a sequence without a frame rate if no stage is named.
    """
    info = probe(path)
    if info.still:
        raise ValueError(f"{path}: expected a video, got one picture")
    if sequence_pattern(path) and info.fps == UNTOLD_RATE:
        if stage is None:
            raise ValueError(f"{path}: its pictures do not tell their frame rate; name the stage that they come after")
        info = replace(info, fps=stage.shape.fps, seconds=info.frames / stage.shape.fps)
    return info, VideoShape(frames=info.frames, height=info.height, width=info.width, fps=info.fps)


def shape_of(video: Video) -> VideoShape:
    """The grid of a video."""
    frames, height, width = video.frames.shape[:3]
    return VideoShape(frames=frames, height=height, width=width, fps=video.fps)


def nearest_stage(stages: Sequence[StageSpec], own: VideoShape) -> StageSpec:
    """The stage nearest to a video, in doublings of height, width and frame rate; of equally near ones the last."""

    def distance(stage: StageSpec) -> float:
        ratios = (own.height / stage.made.height, own.width / stage.made.width, own.fps / stage.made.fps)
        return sum(abs(math.log2(ratio)) for ratio in ratios)

    return min(reversed(stages), key=distance)


def fit_named(name: str) -> Fit:
    """The fit of that name, "exact" or "crop". Raises ValueError, with the nearest name, for any other."""
    for fit in get_args(Fit):
        if name == fit:
            return fit
    raise ValueError(unknown("fit", name, get_args(Fit)))


def _chosen(stages: Sequence[StageSpec], own: VideoShape, *, named: bool, fit: Fit) -> StageSpec | None:
    fitting = [stage for stage in stages if _size(stage.made) == _size(own)]
    if not named:
        fitting = [stage for stage in fitting if stage.shape.fps <= own.fps * (1 + SAME_RATE)]
    if fitting:
        return fitting[-1]
    return nearest_stage(stages, own) if fit == "crop" else None


def _expected(stages: Sequence[StageSpec], own: VideoShape) -> str:
    """The message: which shapes are legal, which one was given, the nearest, and the remedies."""
    legal = ", or ".join(f"{stage.made} (what {stage.name} makes)" for stage in stages)
    near = nearest_stage(stages, own).made
    which = "" if len(stages) == 1 else f"; the nearest is {near}"
    mends = []
    if _size(near) != _size(own):
        mends.append(f"resized and cropped to {near.height}x{near.width}")
    if own.seconds * near.fps > near.frames + 0.5:
        mends.append(f"cut to {near.seconds:.2f} s")
    does = f"; the fit 'crop' takes it {' and '.join(mends)}" if mends else ""
    return f"expected {legal}, got {own}{which}{does}"


def _size(shape: VideoShape) -> tuple[int, int]:
    return shape.height, shape.width


def _same_rate(one: VideoShape, other: VideoShape) -> bool:
    return math.isclose(one.fps, other.fps, rel_tol=SAME_RATE)
