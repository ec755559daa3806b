"""The plan of a stage whose network sees windows: its work is that of all windows, its memory that of one."""

import pytest
import torch

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.cascade.windows import Windows
from zoetrope.data.toybox import Toybox
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.planning.devices import gpu
from zoetrope.planning.plan import plan_stage, rounds_of
from zoetrope.planning.work import sampling
from zoetrope.shapes import VideoShape
from zoetrope.training.spec import DistilSpec, Phase, Recipe, TrainSpec

NETWORK = VideoUNetConfig(
    text_width=None, embedding=8, head=8, levels=(Level(width=16, temporal=("attention",)), Level(width=16))
)


def stage(windows: Windows | None, frames: int) -> StageSpec:
    shape = VideoShape(frames=frames, height=16, width=16, fps=8)
    spec = SamplingSpec(steps=4, windows=windows)
    return StageSpec(name="base", shape=shape, inputs=(), network=NETWORK, sampling=spec)


def test_work_is_that_of_all_windows_and_memory_that_of_one() -> None:
    one = sampling(stage(None, 16), torch.float32)
    whole = sampling(stage(None, 80), torch.float32)
    parts = sampling(stage(Windows(frames=16), 80), torch.float32)
    assert parts.flops_per_step == pytest.approx(6 * one.flops_per_step, rel=0.02)
    assert parts.flops_per_forward == 6 * one.flops_per_forward
    assert one.peak < parts.peak < 0.5 * whole.peak


def test_so_is_that_of_a_student() -> None:
    cascade = CascadeSpec(name="long", text=None, stages=(stage(Windows(frames=16), 80),))
    train = TrainSpec(data=Toybox(), phases=(Phase(examples=4, batch=4),))
    spec = DistilSpec(start=4, steps=2, halving=train.phases[0], last=train.phases[0])
    made = Recipe(name="long", cascade=cascade, training={"base": train}, distillation={"base": spec})
    plan = plan_stage(cascade.stages[0], gpu("h100"), None, rounds=rounds_of(made, "base"))
    one = sampling(stage(None, 16), torch.float32)
    assert plan.distilling is not None
    assert plan.distilling.sampling_flops == 2 * 6 * one.flops_per_forward == plan.flops / 2
