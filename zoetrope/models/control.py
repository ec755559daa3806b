"""Clips that control a cascade's videos: files, videos and arrays, for the inputs of its stages."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from zoetrope.cascade.spec import StageSpec
from zoetrope.cascade.start import UNTOLD_RATE, Fit
from zoetrope.config import unknown
from zoetrope.config.errors import shown
from zoetrope.inputs import ControlClip, Input
from zoetrope.shapes import VideoShape
from zoetrope.video import SAME_RATE, Video, probe, rate_to_read, read
from zoetrope.video.naming import sequence_pattern
from zoetrope.wording import counted


def control_clips(
    stages: Sequence[StageSpec], control: Any = None, *, source: Any = None, scale: Any = None, fit: Fit = "exact"
) -> dict[str, ControlClip]:
    """The values of the controls of these stages, by name.

    `control` shows controls, such as edges, white on black; from `source` they are computed. Each is a picture or a
    clip - a `Video`, an array (H, W), (H, W, 3) or (F, H, W, 3) of uint8, or a file - or a mapping of names to such,
    where the model has several. `scale` is how strongly they act, a number or a mapping of names to numbers.

    "exact" requires as many frames as the videos have, or one, at their rate, and their size or a multiple of it.
    "crop" resizes a clip until it covers the size and cuts out its middle, and takes the first frames of a longer one,
    of a file at the videos' rate.

    Raises ValueError that names the control and says what would be right.
    """
    places = {each.name: (each, stage) for stage in reversed(stages) for each in stage.inputs if each.aligned}
    shown, derived = (_by_name(name, value, places) for name, value in (("control", control), ("control_from", source)))
    if twice := sorted(shown.keys() & derived.keys()):
        raise ValueError(f"control: expected {twice[0]!r} once, got it in control_from too")
    strengths = _by_name("control_scale", scale, shown | derived) if scale is not None else {}
    found = dict[str, ControlClip]()
    for values, derive in ((shown, False), (derived, True)):
        for name, value in values.items():
            where = f"{'control_from' if derive else 'control'} {name}" + _file_named(value)
            stage = places[name][1]
            try:
                video = _video(value, stage.shape, fit)
                strength = _number(strengths.get(name, 1.0))
                clip = ControlClip(video=video, derive=derive, scale=strength, crop=fit == "crop")
                _expect_fit(name, clip, stages)
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from None
            found[name] = clip
    return found


def _by_name(what: str, value: Any, names: Mapping[str, Any]) -> dict[str, Any]:
    """The value of each name; a lone one is that of the only name, a lone scale that of all."""
    if value is None:
        return {}
    if not names:
        legal = "a clip that it is about" if what == "control_scale" else "none, for the model reads no control"
        raise ValueError(f"{what}: expected {legal}; `zoetrope train controlnet` trains controls of a model")
    if isinstance(value, Mapping):
        for name in value:
            if name not in names:
                raise ValueError(f"{what}: " + unknown("control", name, names))
        return dict(value)
    if what == "control_scale":
        return dict.fromkeys(names, value)
    if len(names) > 1:
        raise ValueError(f"{what}: the model has several controls; say which one, {' or '.join(sorted(names))}")
    return {next(iter(names)): value}


def _file_named(value: Any) -> str:
    return f"={os.fspath(value)}" if isinstance(value, str | os.PathLike) else ""


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise ValueError(f"scale: expected a number, got {value!r}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"scale: expected a number, got {shown(value)}") from None


def _expect_fit(name: str, clip: ControlClip, stages: Sequence[StageSpec]) -> None:
    """Raise ValueError unless the clip fits every stage that has this control."""
    for stage in stages:
        each: Input | None = stage.input(name)
        if each is None:
            continue
        try:
            each.fitted(clip, stage.shape)
        except ValueError as error:
            raise ValueError(f"{error} (stage {stage.name!r} makes {stage.made})") from None


def _video(value: Any, shape: VideoShape, fit: Fit) -> Tensor:
    """The clip (3, F, H, W) in [-1, 1], at its own size."""
    if isinstance(value, str | os.PathLike):
        return _read(value, shape, fit).to_tensor()
    if isinstance(value, Video):
        if len(value.frames) > 1:
            _expect_rate(value.fps, shape)
        return value.to_tensor()
    frames = np.asarray(value)
    if frames.dtype == bool:
        frames = frames.astype(np.uint8) * 255
    if frames.ndim == 2:
        frames = np.stack([frames] * 3, -1)
    frames = frames[None] if frames.ndim == 3 else frames
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape:
        got = f"{frames.shape} {frames.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
        raise ValueError(f"expected a picture (H, W, 3) uint8, several, a Video or a file, got {got}")
    return Video(frames, shape.fps).to_tensor()


def _read(path: Any, shape: VideoShape, fit: Fit) -> Video:
    """A picture, or a clip with all its frames; by "crop" those that there are at the shape's rate."""
    info = probe(path)
    if info.still:
        return read(path, frames=1)
    untold = sequence_pattern(path) and info.fps == UNTOLD_RATE
    if fit == "crop":
        video = read(path, fps=rate_to_read(info, shape.fps, shape.frames), frames=shape.frames)
    else:
        if info.frames != shape.frames:
            wanted, got = counted(shape.frames, "frame"), counted(info.frames, "frame")
            more = "; the fit 'crop' (--fit crop) takes the first" if info.frames > shape.frames else ""
            raise ValueError(f"expected {wanted}, or one picture for all, got {got}{more}")
        if not untold and shape.frames > 1:
            _expect_rate(info.fps, shape)
        video = read(path, fps=shape.fps if untold else None, frames=shape.frames)
    if len(video.frames) < shape.frames:
        raise ValueError(f"expected {counted(shape.frames, 'frame')}, got {counted(len(video.frames), 'frame')}")
    return video


def _expect_rate(fps: float, shape: VideoShape) -> None:
    if abs(fps - shape.fps) > SAME_RATE * shape.fps:
        raise ValueError(f"expected {shape.fps:g} frames a second, got {fps:g}")
