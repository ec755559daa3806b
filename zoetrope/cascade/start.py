"""Start a cascade from a video in the place of what one of its stages makes: which stage that is, and what fits it."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
from torch import Tensor

from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.config import unknown
from zoetrope.shapes import VideoShape, expect_shape
from zoetrope.video import Info, Video, probe, read
from zoetrope.video.naming import sequence_pattern

Fit = Literal["exact", "crop"]
SAME_RATE = 0.01
"""Rates that differ by this share or less are the same: 23.976 pictures a second are 24."""
UNTOLD_RATE = 1.0
"""The rate of a picture that tells none."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """Videos in the place of what a stage makes: the stages after it run.

    Attributes:
        stage: the name of the stage that would have made them.
        video: one for each prompt, (B, C, F, H, W) in [-1, 1], of that stage's shape.
    """

    stage: str
    video: Tensor

    def check(self, spec: CascadeSpec, count: int) -> None:
        """Raise ValueError unless these are `count` videos of the stage's shape."""
        stage = spec.stage(self.stage)
        grid = stage.shape
        name = f"a start after {self.stage!r}"
        expect_shape(name, self.video, count, stage.network.channels, grid.frames, grid.height, grid.width)


class Footage(NamedTuple):
    """A file as a stage would have made it: the stage, the pictures, and the shape and seconds of the file itself."""

    stage: StageSpec
    video: Video
    own: VideoShape
    seconds: float

    def start(self) -> Start:
        """Start one video from it, which has to be one clip."""
        return Start(stage=self.stage.name, video=self.video.to_tensor()[None])


def stages_after(spec: CascadeSpec, start: str | None, until: str | None) -> tuple[StageSpec, ...]:
    """The stages that run from a start after that stage, or from noise for None, up to `until`.

    Without `until`, noise becomes what the cascade makes by default, and a given video all that it can become.
    Raises ValueError for an unknown stage, and where none is left to run.
    """
    if start is None:
        return spec.until(until or spec.default_until)
    stages = spec.until(until)
    before = spec.until(start)
    if len(before) >= len(stages):
        last = f"{spec.name} ends with it" if until is None else f"the last stage to run is {stages[-1].name!r}"
        raise ValueError(f"no stage is left to run after {start!r}: {last}")
    return stages[len(before) :]


def entries(spec: CascadeSpec, after: str | None, until: str | None) -> tuple[StageSpec, ...]:
    """The stages in whose place a video may come: `after`, or all that have one to run after them."""
    if after is not None:
        stages_after(spec, after, until)
        return (spec.stage(after),)
    stages = spec.until(until)[:-1]
    if not stages:
        only = spec.stages[0].name
        raise ValueError(f"{spec.name}: no stage makes a video from another, {only!r} is the only one to run")
    return stages


def start_from(spec: CascadeSpec, video: Video, *, after: str | None = None, until: str | None = None) -> Start:
    """Start one video of a cascade from `video`, which has the very shape of what a stage makes.

    Raises ValueError that lists the shapes that are legal and the nearest of them.
    """
    own = shape_of(video)
    stages = entries(spec, after, until)
    for stage in stages:
        if _size(stage.shape) == _size(own) and stage.shape.frames == own.frames and _same_rate(stage.shape, own):
            return Start(stage=stage.name, video=video.to_tensor()[None])
    raise ValueError(f"video: {_expected(stages, own, whole=False)}")


def read_start(
    path: str | Path,
    spec: CascadeSpec,
    *,
    after: str | None = None,
    until: str | None = None,
    fit: Fit = "exact",
    whole: bool = False,
) -> Footage:
    """Read a file at the size and frame rate of what a stage makes: one clip of it, or with `whole` all the file.

    The stage is `after`; or else the one whose size the file has, and of several the one with the highest rate that
    the file has as well, so that pictures may be left out but none is shown twice. "exact" wants the size, and for one
    clip the duration to half a picture. "crop" takes, where no size is that of the file, the nearest stage in size and
    rate, resizes until the pictures cover its size, cuts out their middle, and takes the beginning of a longer file.

    Raises ValueError for what cannot be read, for an unknown stage, and for a shape that no stage accepts: it lists the
    shapes that are legal, the nearest of them and what could be done.
    """
    stages = entries(spec, after, until)
    info = _described(path, stages, named=after is not None)
    own = VideoShape(frames=info.frames, height=info.height, width=info.width, fps=info.fps)
    stage = _chosen(stages, own, named=after is not None, fit=fit)
    if stage is None or (fit == "exact" and not whole and round(info.seconds * stage.shape.fps) != stage.shape.frames):
        raise ValueError(f"{path}: {_expected(stages, own, whole=whole)}")
    shape = stage.shape
    if not whole and round(info.seconds * shape.fps) < shape.frames:
        raise ValueError(f"{path}: expected {shape.seconds:.2f} s or more, got {info.seconds:.2f} s")
    frames = None if whole else shape.frames
    video = read(path, fps=shape.fps, frames=frames, size=_size(shape) if fit == "crop" else None)
    if frames is not None and len(video.frames) < frames:
        raise ValueError(f"{path}: damaged, decodes to {video.seconds:.2f} s of {info.seconds:.2f} s")
    return Footage(stage, video, own, info.seconds)


def clips(video: Video, shape: VideoShape) -> Iterator[tuple[Video, int]]:
    """A video of any length as clips of shape.frames pictures, and how many of them are its own.

    The last clip is filled up with its last picture.
    """
    for first in range(0, len(video.frames), shape.frames):
        own = video.frames[first : first + shape.frames]
        filling = np.repeat(own[-1:], shape.frames - len(own), axis=0)
        yield Video(np.concatenate([own, filling]), video.fps), len(own)


def shape_of(video: Video) -> VideoShape:
    """The grid of a video."""
    frames, height, width = video.frames.shape[:3]
    return VideoShape(frames=frames, height=height, width=width, fps=video.fps)


def fit_named(name: str) -> Fit:
    """The fit of that name, exact or crop. Raises ValueError, with the nearest name, for another."""
    for fit in get_args(Fit):
        if name == fit:
            return fit
    raise ValueError(unknown("fit", name, get_args(Fit)))


def _described(path: str | Path, stages: Sequence[StageSpec], *, named: bool) -> Info:
    """What the file says; a sequence of pictures that tell no rate has that of the stage, if one is named."""
    info = probe(path)
    if info.still:
        raise ValueError(f"{path}: expected a video, got one picture")
    if sequence_pattern(path) and info.fps == UNTOLD_RATE:
        if not named:
            raise ValueError(f"{path}: its pictures do not tell their frame rate; name the stage that they come after")
        rate = stages[0].shape.fps
        return replace(info, fps=rate, seconds=info.frames / rate)
    return info


def _chosen(stages: Sequence[StageSpec], own: VideoShape, *, named: bool, fit: Fit) -> StageSpec | None:
    fitting = [stage for stage in stages if _size(stage.shape) == _size(own)]
    if not named:
        fitting = [stage for stage in fitting if stage.shape.fps <= own.fps * (1 + SAME_RATE)]
    if fitting:
        return fitting[-1]
    return _nearest(stages, own) if fit == "crop" else None


def _nearest(stages: Sequence[StageSpec], own: VideoShape) -> StageSpec:
    """The stage from which the file is the fewest doublings of height, width and rate away; the later of two."""

    def distance(stage: StageSpec) -> float:
        ratios = (own.height / stage.shape.height, own.width / stage.shape.width, own.fps / stage.shape.fps)
        return sum(abs(math.log2(ratio)) for ratio in ratios)

    return min(reversed(stages), key=distance)


def _expected(stages: Sequence[StageSpec], own: VideoShape, *, whole: bool) -> str:
    """What is legal, what was given, which is nearest and what could be done."""

    def grid(shape: VideoShape) -> str:
        return f"{shape.height}x{shape.width}, {shape.fps:g} fps" if whole else str(shape)

    legal = ", or ".join(f"{grid(stage.shape)} (what {stage.name} makes)" for stage in stages)
    near = _nearest(stages, own).shape
    which = "" if len(stages) == 1 else f"; the nearest is {grid(near)}"
    mends = []
    if _size(near) != _size(own):
        mends.append(f"resized and cropped to {near.height}x{near.width}")
    if not whole and own.seconds * near.fps > near.frames + 0.5:
        mends.append(f"cut to {near.seconds:.2f} s")
    does = f"; the fit 'crop' takes it {' and '.join(mends)}" if mends else ""
    return f"expected {legal}, got {own}{which}{does}"


def _size(shape: VideoShape) -> tuple[int, int]:
    return shape.height, shape.width


def _same_rate(one: VideoShape, other: VideoShape) -> bool:
    return math.isclose(one.fps, other.fps, rel_tol=SAME_RATE)
