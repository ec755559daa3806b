"""Requests beside the prompt: values for the inputs of a model's stages."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoetrope.cascade.noise import window_noise
from zoetrope.cascade.sample import Draw
from zoetrope.cascade.spec import StageSpec
from zoetrope.codecs import CodecNetwork
from zoetrope.conditioning import Conditioning
from zoetrope.config import unknown
from zoetrope.inputs import ControlClip, Extent, Input, Setting
from zoetrope.inputs.first_frame import NAME as FIRST_FRAME
from zoetrope.inputs.picture import NAME as PICTURE
from zoetrope.inputs.picture import picture_told
from zoetrope.inputs.region import REGION
from zoetrope.inputs.text import TEXT
from zoetrope.known import Known
from zoetrope.known.learnt import Learnt
from zoetrope.shapes import VideoShape, Window

_EACH = {"number": 1, "label": 1, "action": 3, "embedding": 2}
"""The axes of values that are given for each video, by what the data tell, and of embeddings of pictures."""
_PICTURES = (PICTURE, FIRST_FRAME)


def askable(stages: Sequence[StageSpec]) -> dict[str, Input]:
    """The inputs of these stages that take a value, by name: all but the text and other stages' videos."""
    every = (each for stage in stages for each in stage.inputs)
    return {each.name: each for each in every if each.name != TEXT and each.source is None}


def expect_askable(stages: Sequence[StageSpec], values: Mapping[str, Any], count: int = 1) -> None:
    """Raise ValueError, with the nearest name, for a value that no stage has an input for.

    Also for a value that an input of `count` videos refuses.
    """
    known = askable(stages)
    for name in values:
        if name not in known and not (name == PICTURE and FIRST_FRAME in known):
            raise ValueError("given: " + unknown("input", name, known))
    for stage in stages:
        for each in stage.inputs:
            if each.name in known and (value := told_by(each.name, values)) is not None:
                each.expect(value, stage.shape, count)


def of_batch(
    stages: Sequence[StageSpec], values: Mapping[str, Any], place: int, count: int, total: int
) -> dict[str, Any]:
    """The values of `count` videos from number `place` on, of `total`: parts of those that are given one for each.

    These are lists of numbers and labels, actions (B, F, K), and embeddings of pictures (B, D). Raises ValueError for
    more or fewer than `total`.
    """
    kinds = {each.name: kind for stage in stages for each in stage.inputs for kind in each.tells.values()}
    found = dict(values)
    for name, value in values.items():
        several = name == PICTURE and isinstance(value, Tensor) and len(value) > 1
        axes = _EACH.get("embedding" if several else kinds.get(name, ""))
        if axes is None or isinstance(value, str | bytes | os.PathLike) or _axes(value) != axes:
            continue
        if len(value) != total:
            raise ValueError(f"{name}: expected one for all, or one for each of {total} videos, got {len(value)}")
        found[name] = value[place : place + count]
    return found


def _axes(value: Any) -> int:
    try:
        return np.ndim(value)
    except ValueError:  # of a ragged list, which its input refuses
        return 0


def about_values(stages: Sequence[StageSpec], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values for records, as JSON: of a file, and of what JSON cannot hold, 16 letters identify what it gives."""
    every = ((each, stage.shape) for stage in stages for each in stage.inputs)
    fitting = {each.name: partial(each.fitted, shape=shape) for each, shape in every} | dict.fromkeys(_PICTURES, _shown)
    return {name: _told(value, fitting[name]) for name, value in values.items()}


def _told(value: Any, fitted: Callable[[Any], Any]) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    file = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if file is not None and not isinstance(given := fitted(value), str):
        return {"file": file, "id": _content_of(given)}
    try:
        json.dumps(value)
    except TypeError:
        return {"id": _content_of(fitted(value))}
    return value


def _shown(value: Any) -> Tensor:
    """The pixels of a picture that is asked for, or the embedding that stands for it."""
    return value if isinstance(value, Tensor) else picture_told(value)


def _content_of(given: Any) -> str:
    """16 letters that identify a tensor, numbers, or a clip that controls."""
    content = given.video if isinstance(given, ControlClip) else given
    how = f"{given.derive} {given.scale} {given.crop}" if isinstance(given, ControlClip) else ""
    if isinstance(content, Tensor):
        content = content.detach().cpu().contiguous().flatten().view(torch.uint8)
    return hashlib.blake2b(np.asarray(content).tobytes() + how.encode(), digest_size=8).hexdigest()


def conditioning_of(
    stage: StageSpec, values: Mapping[str, Any], count: int, known: Known | None = None, setting: Setting | None = None
) -> Conditioning:
    """The conditioning of a stage's network in `count` videos from these values; inputs without one are unknown.

    `known` is what is known of the stage's videos, for the inputs that it is told by. `setting` is the sampling that
    the values are for; None: without noise.

    Networks that were told in training when frames are seen are told here too: those that place frames by seconds, that
    were trained on several grids, or that learnt known frames and count positions in another rate than the stage's.

    Raises ValueError that names the input for an invalid value.
    """
    given = Conditioning()
    if stage.grids or stage.network.reads_seconds or _counts_otherwise(stage):
        seconds = torch.arange(stage.shape.frames) / stage.shape.fps
        given = Conditioning(times=seconds.expand(count, -1))
    extent = Extent(count, stage.shape.sizes, 0, 0, channels=stage.network.channels)
    told = {REGION: known, **values}
    setting = silent_setting(stage, count) if setting is None else setting
    for name, each in askable([stage]).items():
        value = told_by(name, told)
        value = each.usual(stage.shape) if value is None else value
        given = given | (each.unknown(extent) if value is None else each.answer(value, setting))
    return given


def _counts_otherwise(stage: StageSpec) -> bool:
    """Whether a network that learnt known frames, by their seconds, counts positions in another rate than its stage."""
    own = getattr(stage.network.inner, "fps", None)
    return isinstance(stage.sampling.known, Learnt) and stage.source is None and own not in (None, stage.shape.fps)


def told_by(name: str, values: Mapping[str, Any]) -> Any:
    """The value of an input. Videos begin with their picture, if no other is said and it is no mere embedding."""
    picture = values.get(PICTURE)
    if name != FIRST_FRAME or name in values or isinstance(picture, Tensor):
        return values.get(name)
    return picture


def setting_of(stage: StageSpec, draw: Draw, codec: Callable[[], CodecNetwork] | None) -> Setting:
    """The sampling of a stage, for the values that are requested of it; `codec` gives the codec of its latents."""

    def noise(purpose: str, shape: VideoShape, channels: int) -> torch.Tensor:
        what = f"{stage.name} {purpose}"
        return window_noise(draw.seed, draw.samples, what, shape, channels, Window.whole(shape), draw.scheme)

    def encode(videos: torch.Tensor) -> torch.Tensor:
        assert codec is not None  # a cascade of latents has one
        network = codec().to(draw.device)
        return network.encode(videos.to(draw.device).float())

    own = silent_setting(stage, len(draw.samples))
    return replace(own, noise=noise, encode=encode if stage.codec.encodes else own.encode)


def silent_setting(stage: StageSpec, count: int) -> Setting:
    """The sampling of so many videos without noise and without a codec."""

    def none(purpose: str, shape: VideoShape, channels: int) -> torch.Tensor:
        return torch.zeros(count, channels, *shape.sizes)

    return Setting(shape=stage.shape, made=stage.made, channels=stage.network.channels, count=count, noise=none)
