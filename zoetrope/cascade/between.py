"""Stages that make the frames between another's, which they are given as known frames, and stages that share a network.

So one latent model takes a video from T to 4 T frames, and again to 16 T [Blattmann et al. 2023, arXiv:2304.08818, Sec.
3.3]: it has learnt every n-th frame as known ones, and is told the frame rate.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zoetrope.config import unknown
from zoetrope.known import Known
from zoetrope.shapes import VideoShape
from zoetrope.video.resample import degrade_masked

if TYPE_CHECKING:
    from zoetrope.cascade.sample import Draw
    from zoetrope.cascade.spec import CascadeSpec, StageSpec


def expect_between(stage: "StageSpec") -> None:
    """Raise ValueError for a stage that cannot make the frames between those of `fills`."""
    if (own := stage.fills) is None:
        return
    where, made = f"stage {stage.name!r}: fills", stage.made
    if reads := [each.name for each in stage.inputs if each.source is not None]:
        raise ValueError(f"{where}: expected null, for input {reads[0]!r} is made from the previous video, got {own}")
    if stage.sampling.known is None:
        raise ValueError(f"{where}: expected a method for known frames, sampling.known, such as 'learnt', got none")
    whole = made.with_(frames=own.frames, fps=own.fps)
    if whole != own or made.frames % own.frames or made.frames == own.frames:
        legal = f"{made.height}x{made.width}, and a divisor of {made.frames} frames"
        raise ValueError(f"{where}: expected {legal}, got {own}")
    if not math.isclose(made.seconds, own.seconds, rel_tol=1e-6):
        raise ValueError(f"{where}: expected a video of {made.seconds:g} s, as {made} lasts, got {own}")


def expect_shared(stages: Sequence["StageSpec"]) -> None:
    """Raise ValueError, by name, unless stages that run another's network name one before them with the same."""
    for place, stage in enumerate(stages):
        if stage.weights_of is None:
            continue
        where, before = f"stages.{stage.name}.weights_of", stages[:place]
        owner = next((one for one in before if one.name == stage.weights_of), None)
        if owner is None:
            raise ValueError(f"{where}: " + unknown("stage before it", stage.weights_of, [one.name for one in before]))
        if owner.weights_of is not None:
            raise ValueError(f"{where}: expected a stage with weights of its own, such as {owner.weights_of!r}, got "
                             f"{owner.name!r}")  # fmt: skip
        for field in ("network", "codec", "prediction", "distilled"):
            if getattr(stage, field) != getattr(owner, field):
                raise ValueError(f"stages.{stage.name}.{field}: expected that of {owner.name!r}, whose weights it has")


def expect_alone(cascade: "CascadeSpec", stage: str) -> None:
    """Raise ValueError for a stage that shares its network, which becomes another when the stage is distilled."""
    own = cascade.stage(stage).weights_of
    sharing = own if own is not None else next((one.name for one in cascade.stages if one.weights_of == stage), None)
    if sharing is not None:
        raise ValueError(f"stage {stage!r}: expected one with a network of its own, got one that {sharing!r} runs too")


def source_grid(stage: "StageSpec") -> VideoShape | None:
    """The grid of the video that a stage reads, at the size of z where that is latents; None: it reads none."""
    source = stage.source
    if source is None or not stage.codec.encodes:
        return source
    return source.with_(height=stage.shape.height, width=stage.shape.width)


def source_of(stage: "StageSpec", videos: Tensor, present: Tensor | None = None) -> Tensor:
    """What a stage that makes these videos, or latents, (B, C, F, H, W) would have read.

    `present` says which of their values are not missing, like them, bool; None: all.
    """
    grid = source_grid(stage)
    assert grid is not None
    return degrade_masked(videos, present, grid)


@lru_cache(maxsize=64)
def every_nth(frames: int, step: int) -> Tensor:
    """Every `step`-th of so many frames, (F,) bool. A dry run has to ask for it before it begins."""
    return torch.arange(frames, device="cpu") % step == 0


def filled(stage: "StageSpec", video: Tensor | None, draw: "Draw") -> "Draw":
    """The draw of a stage that makes frames between with those of `video` (B, C, f, H, W) as known ones.

    Frames that are known beside them are known as well. Raises ValueError if there is no video, and for parts of frames
    and videos of lower resolution, which are not taken beside it.
    """
    if stage.fills is None:
        return draw
    if video is None:
        raise ValueError(f"stage {stage.name!r}: expected a video of {stage.fills}, whose frames it is given, got none")
    for name in ("mask", "low_res"):
        if getattr(draw.known, name, None) is not None:
            raise ValueError(
                f"stage {stage.name!r}: known.{name}: expected none, for it makes frames between whole ones"
            )
    known = every_nth(stage.shape.frames, stage.shape.frames // video.shape[2])
    whole = video.new_zeros(*video.shape[:2], stage.shape.frames, *video.shape[3:])
    Known(known, video).put_into(whole)
    if draw.known is not None:
        draw.known.put_into(whole)
        known = known | draw.known.frames.to(known.device)
    return replace(draw, known=Known(known, whole))
