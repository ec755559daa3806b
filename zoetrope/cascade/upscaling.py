"""Upscaling any video: which stages run on it, and on which grids, at the video's own length and frame rate."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

from zoetrope.cascade.graph import expect_chain
from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.cascade.start import expect_start, nearest_stage
from zoetrope.config import unknown
from zoetrope.shapes import VideoShape
from zoetrope.video import SAME_RATE

UpscalingFit = Literal["exact", "crop", "own"]
NEAR = 64  # most rows or columns to crop to make a video fit


class Upscaling(NamedTuple):
    """How a video is enlarged.

    Attributes:
        entry: the stage whose output the video replaces.
        given: the shape of one segment of the video, the input of the first stage, at the video's own frame rate.
        stages: those that run, with the shapes that they make of such a segment.
    """

    entry: StageSpec
    given: VideoShape
    stages: tuple[StageSpec, ...]

    @property
    def frames(self) -> int:
        """How many frames each frame of the video becomes."""
        return self.stages[-1].shape.frames // self.given.frames


def upscaling(
    spec: CascadeSpec, own: VideoShape, *, after: str | None, until: str | None, fit: UpscalingFit, add_frames: bool
) -> Upscaling:
    """The stages that upscale a video of shape `own`; each keeps the video's frame rate or multiplies it.

    Stages that add pixels run; stages that add frames run only with `add_frames`, or if `until` names one. The video
    replaces the output of `after`, or of the stage that makes videos of its size; of several, the one with the highest
    frame rate that the video reaches. "crop" takes the nearest stage in size and rate, for a video that the caller
    resizes and crops to its size. "own" takes that stage and keeps the video's size.

    Raises ValueError for an unknown stage, if no stage is left to run, for a size that no stage makes, and for one
    that a network cannot process; it names the legal sizes and the nearest of them.
    """
    temporal = add_frames or (until is not None and spec.stage(until).kind == "tsr")
    entries = {stage.name: _following(spec, stage, until, temporal) for stage in _candidates(spec, after)}
    stages = [stage for stage in _candidates(spec, after) if entries[stage.name]]
    if not stages:
        raise ValueError(_nothing(spec, after, until, temporal))
    entry = _entry(stages, own, fit)
    if entry is None:
        raise ValueError(_expected(stages, own))
    expect_chain(entries[entry.name], "enlarging a video", latents=True)
    size = own if fit == "own" else entry.made
    given = VideoShape(frames=entry.made.frames, height=size.height, width=size.width, fps=own.fps)
    try:
        return Upscaling(entry, given, tuple(chain(entries[entry.name], given)))
    except ValueError as error:
        near = _smaller(entries[entry.name], entry.made, given) if fit == "own" else None
        raise ValueError(f"{error}; cut to {near} the video itself fits" if near else str(error)) from None


def _smaller(stages: Sequence[StageSpec], usual: VideoShape, given: VideoShape) -> str | None:
    """The nearest smaller size, HEIGHTxWIDTH, that the stages can process; None if none is within `NEAR`."""

    def fits(axis: str, size: int) -> bool:
        try:
            chain(stages, usual.with_(**{axis: size}))
        except ValueError:
            return False
        return True

    near = []
    for axis, most in (("height", given.height), ("width", given.width)):
        near += [size for size in range(most, max(0, most - NEAR), -1) if fits(axis, size)][:1]
    return f"{near[0]}x{near[1]}" if len(near) == 2 else None


def chain(stages: Sequence[StageSpec], given: VideoShape) -> list[StageSpec]:
    """The stages on other grids: each multiplies frames, height and width of its input by its usual factors.

    Raises ValueError, with the nearest legal size, for a grid that a stage's network cannot process.
    """
    made = []
    for stage in stages:
        shape = enlarged(stage, given)
        try:
            made.append(stage.on(stage.codec.latents(shape), given))
        except ValueError as error:
            reason = str(error).removeprefix(f"{type(stage).__name__}: ")
            raise ValueError(f"stage {stage.name!r}, which would make {shape}: {reason}") from None
        given = shape
    return made


def enlarged(stage: StageSpec, given: VideoShape) -> VideoShape:
    """The shape that a super-resolution stage makes of an input of another shape."""
    assert stage.source is not None
    times = {axis: getattr(stage.made, axis) // getattr(stage.source, axis) for axis in ("frames", "height", "width")}
    grown = {axis: factor * getattr(given, axis) for axis, factor in times.items()}
    return VideoShape(**grown, fps=given.fps * times["frames"])


def fit_named(name: str) -> UpscalingFit:
    """The fit of that name: "exact", "crop" or "own". Raises ValueError, with the nearest name, for any other."""
    for fit in get_args(UpscalingFit):
        if name == fit:
            return fit
    raise ValueError(unknown("fit", name, get_args(UpscalingFit)))


def _candidates(spec: CascadeSpec, after: str | None) -> tuple[StageSpec, ...]:
    if after is None:
        return spec.videos
    expect_start(spec, after)
    return (spec.stage(after),)


def _following(spec: CascadeSpec, entry: StageSpec, until: str | None, temporal: bool) -> list[StageSpec]:
    """The stages that run after `entry`, in order."""
    rest = spec.until(until)[len(spec.until(entry.name)) :]
    return [stage for stage in rest if not stage.makes_vectors and (temporal or stage.kind == "ssr")]


def _entry(stages: Sequence[StageSpec], own: VideoShape, fit: UpscalingFit) -> StageSpec | None:
    same = [stage for stage in stages if (stage.made.height, stage.made.width) == (own.height, own.width)]
    if same:
        slower = [stage for stage in same if stage.shape.fps <= own.fps * (1 + SAME_RATE)]
        return (slower or same[:1])[-1]
    return None if fit == "exact" else nearest_stage(stages, own)


def _nothing(spec: CascadeSpec, after: str | None, until: str | None, temporal: bool) -> str:
    """The message that no stage is left to run, and the option that would leave one."""
    last = spec.until(until)[-1].name
    where = f" after {after!r}" if after is not None else ""
    frames = [] if temporal else [s.name for e in _candidates(spec, after) for s in _following(spec, e, until, True)]
    hint = f"; --add-frames lets {frames[0]!r} run, which adds frames" if frames else ""
    return f"{spec.name}: no stage that adds pixels is left to run{where}: the last is {last!r}{hint}"


def _expected(stages: Sequence[StageSpec], own: VideoShape) -> str:
    """The message: which sizes are legal, which one was given, the nearest, and the remedies."""
    sizes = dict.fromkeys(f"{stage.made.height}x{stage.made.width}" for stage in stages)
    legal = " or ".join(f"{size} (what {_makers(stages, size)})" for size in sizes)
    near = nearest_stage(stages, own).made
    which = f"; the nearest is {near.height}x{near.width}" if len(sizes) > 1 else ""
    mends = f"; --fit crop resizes and crops it to {near.height}x{near.width}, --fit own enlarges it as it is"
    return f"expected a size of {legal}, got {own.height}x{own.width}{which}{mends}"


def _makers(stages: Sequence[StageSpec], size: str) -> str:
    names = [stage.name for stage in stages if f"{stage.made.height}x{stage.made.width}" == size]
    return f"{names[0]} makes" if len(names) == 1 else f"{' and '.join(names)} make"
