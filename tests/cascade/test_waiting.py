"""No step makes the host of a GPU wait for it, and nothing of a step stays behind on the host.

There is no GPU here. That nothing asks for a value is seen on the CPU, where an operation that hands a value to Python
is counted. That all tensors are on one device is seen on PyTorch's meta device, which stands in for a GPU: as there,
an operation on tensors of two devices fails, and so does asking for a value.
"""

import math
from collections import Counter
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from zoetrope.cascade.execution.layout import Layout
from zoetrope.cascade.execution.tiles import tiles_of
from zoetrope.cascade.sample import Draw, stage_video
from zoetrope.cascade.spec import SamplingSpec, StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.diffusion.quantile import counted_quantile, quantile
from zoetrope.guidance.oscillating import Oscillating
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.inputs.text import text_given
from zoetrope.known import Known
from zoetrope.known.learnt import Learnt
from zoetrope.layers.fused import fused
from zoetrope.networks.dit import DiTConfig
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.samplers import Sampler
from zoetrope.shapes import VideoShape

SHAPE = VideoShape(frames=4, height=8, width=8, fps=4)
SMALL = VideoShape(frames=4, height=4, width=4, fps=4)
LEVELS = (Level(width=8, temporal="convolution"), Level(width=16, text_attention=True, temporal="convolution"))
FULLY = VideoUNetConfig(low_res=True, text_width=8, embedding=16, head=8, levels=LEVELS)
ATTENDS = FULLY.with_(
    levels=(LEVELS[0], LEVELS[1].with_(spatial_attention=True, temporal=("attention",))), positions=True
)
TRANSFORMER = DiTConfig(low_res=True, text_width=8, patch=(1, 4, 4), width=16, head=8, depth=2)
META, CPU = torch.device("meta"), torch.device("cpu")
aten = torch.ops.aten
WAITING = {aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten.equal, aten.is_nonzero}
COPYING = {aten._to_copy, aten.copy_}

whole = tiles_of(SHAPE, SHAPE.sizes, FULLY.reach())
LAYOUTS = {
    "whole": Layout([*whole]),
    "streamed": Layout([*whole], part=1, keep=False),
    "tiled": Layout([*tiles_of(SHAPE, (4, 4, 8), FULLY.reach())]),
}
every_sampler = pytest.mark.parametrize("sampler", [kind() for kind in Sampler.every()], ids=Sampler.names())


class Waits(TorchDispatchMode):
    """Counts what makes a host wait: values that Python gets, and copies to another device that block."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        packet = func.overloadpacket
        masks = isinstance(args[1], (list, tuple)) if packet in (aten.index, aten.index_put_) else False
        if packet in WAITING or (masks and any(x is not None and x.dtype == torch.bool for x in args[1])):
            self.found[str(packet)] += 1
        out = func(*args, **named)
        source = args[1] if packet == aten.copy_ else args[0] if args else None
        if packet in COPYING and isinstance(source, Tensor) and source.device != out.device:
            blocking = not (args[2] if len(args) > 2 and packet == aten.copy_ else named.get("non_blocking", False))
            self.found["a copy that blocks"] += blocking
        return out


def stage(steps: int, network: VideoUNetConfig | DiTConfig = FULLY, **fields: Any) -> StageSpec:
    guidance = Oscillating(high=3.0, low=1.0, constant=1)
    sampling = SamplingSpec(**{"steps": steps, "guidance": guidance} | fields)
    inputs = usual_inputs(SMALL, logsnr=1.0)
    return StageSpec(name="stage", shape=SHAPE, inputs=inputs, network=network, sampling=sampling)


def waits(own: StageSpec, device: torch.device, layout: Layout, known: Known | None = None) -> Counter[str]:
    """What a host waits for while a stage is sampled."""
    torch.manual_seed(0)
    network = fused((own.network.build() if device == CPU else own.network.bare()).eval(), channels_last=True)
    video, text = torch.zeros(2, 3, *SMALL.sizes, device=device), torch.zeros(2, 4, 8, device=device)
    given: Conditioning = text_given(text, torch.ones(2, 4, dtype=torch.bool, device=device))
    draw = Draw(seed=0, samples=[0, 1], device=device, layout=layout, known=known)
    with Waits() as counting:
        made = stage_video(own, network, given, video, draw)
    assert made.shape == (2, 3, *SHAPE.sizes) and made.device == device
    return counting.found


@every_sampler
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_no_further_step_waits_for_a_value(sampler: Sampler, layout: Layout) -> None:
    few, many = (waits(stage(steps, sampler=sampler), CPU, layout) for steps in (2, 4))
    assert few == many


@pytest.mark.parametrize("network", [ATTENDS, TRANSFORMER], ids=["attention", "transformer"])
def test_no_attention_waits_for_a_value(network: VideoUNetConfig | DiTConfig) -> None:
    few, many = (waits(stage(steps, network), CPU, LAYOUTS["whole"]) for steps in (2, 4))
    assert few == many


@every_sampler
def test_known_frames_that_are_learnt_wait_for_no_value(sampler: Sampler) -> None:
    frames = torch.tensor([True, False, True, False])
    known = Known(frames, torch.zeros(2, 3, 2, 8, 8))
    few, many = (
        waits(stage(steps, sampler=sampler, known=Learnt(), threshold=None), CPU, LAYOUTS["whole"], known)
        for steps in (2, 4)
    )
    assert few == many


@pytest.mark.parametrize(("sampler", "layout"), [*((one, "whole") for one in Sampler.names()), ("ddim", "streamed")])
def test_all_of_a_step_is_on_one_device(sampler: str, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "autocast", lambda *args, **named: nullcontext())  # meta has none
    own = {"sampler": {"type": sampler}, "threshold": 0.9}
    few, many = (waits(stage(steps, **own), META, LAYOUTS[layout]) for steps in (2, 3))
    assert few == many


def test_a_wait_is_seen() -> None:
    with Waits() as counting:
        value = torch.ones(3)
        assert value.sum().item() == 3 and bool((value > 0).all())
        value[value > 0] = 2
        torch.ones(2).to(META)
        torch.ones(2).to(META, non_blocking=True)
    assert counting.found["aten._local_scalar_dense"] == 2
    assert counting.found["aten.index_put_"] == 1 and counting.found["a copy that blocks"] == 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("fraction", [0.0, 0.5, 0.995, 1.0])
def test_the_quantile_that_waits_for_nothing_is_the_other(dtype: torch.dtype, fraction: float) -> None:
    draw = torch.Generator().manual_seed(0)
    for count in (1, 2, 1001):
        values = (2 * torch.randn(4, count, generator=draw)).to(dtype)
        values[0], values[1, 0], values[2, -1] = 0.0, math.nan, -math.inf
        for each in (values, values.round()):
            for least in (0.0, 1.0):
                with Waits() as counting:
                    got = counted_quantile(each, fraction * (count - 1), least)
                assert not counting.found
                torch.testing.assert_close(got, quantile(each, fraction, least), rtol=0, atol=0, equal_nan=True)
