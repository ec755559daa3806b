"""What is known of operations on the meta device is what PyTorch says; and a stage's cost takes few frames to count."""

import math
from collections import deque
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from zoetrope.cascade.execution import cost as costs
from zoetrope.cascade.execution import layout as layouts
from zoetrope.cascade.execution.cost import stage_cost
from zoetrope.cascade.execution.layout import layout_bytes, plan_layout
from zoetrope.cascade.execution.meta import META, shortcut
from zoetrope.cascade.spec import SamplingSpec, StageSpec
from zoetrope.inputs.low_res import low_res_given, usual_inputs
from zoetrope.inputs.text import text_given
from zoetrope.networks import FrameChunk
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.shapes import VideoShape, Window

LEVELS = (
    Level(width=8, temporal="convolution"),
    Level(width=16, spatial_attention=True, text_attention=True, temporal="attention"),
)
STREAMED = VideoUNetConfig(low_res=True, text_width=6, embedding=16, head=8, levels=LEVELS[:1], patch=2)


class Compared(TorchDispatchMode):
    """Asks PyTorch as well wherever a result is known, and counts how often that was."""

    known = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        known, out = shortcut(func), func(*args, **(kwargs or {}))
        told = None if known is None else known(args, kwargs or {})
        if told is not None:
            self.known += 1
            for ours, theirs in zip(*((x,) if isinstance(x, Tensor) else x for x in (told, out)), strict=True):
                assert (ours.shape, ours.dtype, ours.device) == (theirs.shape, theirs.dtype, theirs.device), func
                assert ours.untyped_storage().nbytes() == theirs.untyped_storage().nbytes(), func
        return out


def test_what_is_known_is_what_pytorch_says() -> None:
    config = VideoUNetConfig(low_res=True, text_width=6, embedding=16, head=8, levels=LEVELS)
    with Compared() as compared, META, torch.no_grad():
        z = torch.empty(2, 3, 4, 8, 8)
        text, mask = torch.empty(2, 5, 6), torch.ones(2, 5, dtype=torch.bool)
        given = text_given(text, mask) | low_res_given(z, torch.empty(2))
        config.build()(z, torch.empty(2), given)
        parts = (FrameChunk(z, {"low_res": low}) for z, low in zip(z.split(1, 2), z.split(1, 2), strict=True))
        deque(STREAMED.build().stream(parts, torch.empty(2), replace(given, maps={})), maxlen=0)
        torch.nn.functional.interpolate(z[:, :, 0], (16, 24), mode="bilinear")
    assert compared.known > 100


def streamed(frames: int) -> StageSpec:
    shape = VideoShape(frames=frames, height=256, width=256, fps=8)
    source = shape.with_(height=128, width=128)
    return StageSpec(
        name="ssr",
        shape=shape,
        inputs=usual_inputs(source, logsnr=math.log(3)),
        network=STREAMED,
        sampling=SamplingSpec(steps=2),
    )


def test_the_cost_of_a_long_video_is_that_of_a_short_one() -> None:
    few, many = (stage_cost(streamed(frames), 1, 3, 1) for frames in (4, 40))
    frame = 256 * 256
    longer = 36 * frame * 3 * 4  # z and the answer; and a quarter of that is what the stage is made from
    assert many.window(frame) == pytest.approx(few.window(frame) + 2.25 * longer, rel=0.02)


def test_a_single_tile_is_not_charged_for_the_stage_s_videos(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its parts are cut from z and gathered in the answer, which are two of the videos that rest."""
    spec = streamed(40)
    cost, video = stage_cost(spec, 1, 3, 1), 40 * 256 * 256 * 3 * 4
    monkeypatch.setattr(costs, "PART", 256 * 256)
    monkeypatch.setattr(layouts, "LARGEST", cost.window(256 * 256) - 2 * video)
    layout = plan_layout(spec, 1, 3, None, torch.device("cpu"))
    assert [tile.seen for tile in layout.tiles] == [Window.whole(spec.shape)] and layout.part == 1
    assert layout_bytes(spec, 1, 3, layout) > 3 * video
    monkeypatch.setattr(layouts, "LARGEST", cost.window(256 * 256) - 2 * video - 1_000_000)
    assert len(plan_layout(spec, 1, 3, None, torch.device("cpu")).tiles) > 1
