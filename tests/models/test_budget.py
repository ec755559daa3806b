"""A cascade within a budget of memory: what is said of one that is too small is true of all stages."""

import math
import re

import pytest
import torch

from zoetrope.cascade.execution.layout import least_memory, plan_layout
from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.models.cascade import Cascade
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.shapes import VideoShape
from zoetrope.text.words import Words

CPU = torch.device("cpu")
GRIDS = {"base": (4, 8, 8, 2), "tsr1": (8, 8, 8, 4), "ssr1": (8, 64, 64, 4), "ssr2": (8, 256, 256, 4)}


@pytest.fixture(scope="module")
def cascade() -> Cascade:
    """Each stage needs more than the one before; only the last can be cut up in space."""
    stages: list[StageSpec] = []
    for name, (frames, height, width, fps) in GRIDS.items():
        attends = name in ("base", "tsr1", "ssr1")
        level = Level(width=8, text_attention=True, spatial_attention=attends, temporal="convolution")
        source = stages[-1].shape if stages else None
        network = VideoUNetConfig(low_res=source is not None, text_width=8, embedding=16, head=8, levels=(level,))
        sampling, inputs = SamplingSpec(steps=1), usual_inputs(source, logsnr=math.log(3.0))
        shape = VideoShape(frames=frames, height=height, width=width, fps=fps)
        stages.append(StageSpec(name=name, shape=shape, inputs=inputs, network=network, sampling=sampling))
    spec = CascadeSpec(name="tiny", text=Words(width=8), stages=tuple(stages))
    return Cascade(spec, lambda stage: stage.network.build().eval().requires_grad_(False))


@pytest.mark.parametrize("until", ["ssr1", "ssr2"])
@pytest.mark.parametrize("batch", [1, 2])
def test_the_budget_that_is_named_suffices(cascade: Cascade, until: str, batch: int) -> None:
    def first(memory: int) -> str:
        return next(cascade.stream([None] * batch, until=until, memory=memory)).stage

    with pytest.raises(ValueError, match=r"memory: stage '\w+' \(\S+\) needs \d+ MB .*, got 1 MB") as caught:
        first(10**6)
    named = re.search(r"'(\w+)' .* needs (\d+) MB", str(caught.value))
    assert named is not None
    stages, needed = cascade.spec.until(until), int(named[2]) * 10**6
    least = {stage.name: least_memory(stage, batch, 1, CPU) for stage in stages}
    assert named[1] == max(least, key=lambda name: least[name]) and least["base"] < needed - 2 * 10**6
    assert first(needed) == "base"
    for stage in stages:
        plan_layout(stage, batch, 1, needed, CPU)
    with pytest.raises(ValueError, match=f"stage '{named[1]}' .* needs {named[2]} MB .*, got {int(named[2]) - 1} MB"):
        first(needed - 10**6)
