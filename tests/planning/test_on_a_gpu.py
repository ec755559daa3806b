"""Plans for a GPU are of the layouts that `generate` chooses there, which are not those of a CPU."""

import json
from pathlib import Path

import pytest
import torch

from tests.planning.test_plan import TEXT, convolutional, run
from zoetrope.cascade.execution.cost import stage_cost
from zoetrope.cascade.execution.layout import Layout, least_memory, plan_layout
from zoetrope.cascade.sample import Draw, sample_stage
from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.inputs.text import text_given
from zoetrope.layers.fused import fused
from zoetrope.planning.count import Tally, dry, flops_of
from zoetrope.planning.devices import gpu
from zoetrope.planning.plan import plan_stage
from zoetrope.planning.work import TOKENS, sampling
from zoetrope.shapes import VideoShape
from zoetrope.text.t5 import T5
from zoetrope.training.spec import Recipe

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def long() -> StageSpec:
    """A stage that a CPU runs in parts of 56 frames, and a GPU in one."""
    shape, source = (VideoShape(frames=512, height=side, width=side, fps=2) for side in (96, 24))
    return convolutional().on(shape, source)


def large() -> StageSpec:
    """A stage with large frames, of which a CPU takes one at a time."""
    shape, source = (VideoShape(frames=32, height=side, width=side, fps=2) for side in (768, 192))
    return convolutional().on(shape, source)


def ran(one: StageSpec, layout: Layout, dtype: torch.dtype) -> tuple[Tally, int]:
    """The operations of sampling in a layout, and the bytes at their peak."""
    with dry() as meter:
        network = fused(one.network.build().eval().requires_grad_(False))
        text = text_given(torch.zeros(1, TOKENS, TEXT), torch.ones(1, TOKENS, dtype=torch.bool))
        assert one.source is not None
        video = torch.zeros(1, 3, *one.source.sizes)
        meter.restart()
        for x_hat in sample_stage(one, network, text, video, Draw(seed=0, samples=[0], dtype=dtype, layout=layout)):
            del x_hat
        return meter.tally, meter.live.peak


@pytest.mark.parametrize("memory", [None, 2 * 10**9])
def test_frames_are_planned_in_the_parts_that_a_gpu_takes(memory: int | None) -> None:
    one, place = long(), gpu("h100")
    on_cpu, on_gpu = (plan_layout(one, 1, TOKENS, 2 * 10**9, device) for device in (CPU, CUDA))
    assert (on_cpu.part, on_gpu.part) == (56, 512)
    layout = plan_layout(one, 1, TOKENS, memory, CUDA, None if memory else place.memory)
    tally, peak = ran(one, layout, place.dtype)
    plan = plan_stage(one, place, None, memory)
    assert plan.flops == pytest.approx(flops_of(tally), rel=0.01)
    assert plan.peak_bytes == pytest.approx(peak, rel=0.1)
    assert plan.peak_bytes > 1.5 * sampling(one, place.dtype, memory or place.memory).peak


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_stage_is_planned_in_the_tiles_that_a_gpu_takes(dtype: torch.dtype) -> None:
    """Within half of what the weights leave of a card's memory, as `generate` does without `--memory`."""
    one, card = large(), 8 * 10**8
    layout = plan_layout(one, 1, TOKENS, None, CUDA, card)
    assert len(layout.tiles) > 1 and layout.part == 1
    tally, peak = ran(one, layout, dtype)
    plan = plan_stage(one, gpu("h100")._replace(memory=card, dtype=dtype), None)
    assert plan.flops == flops_of(tally)
    assert plan.peak_bytes == pytest.approx(peak, rel=0.01)


def test_a_gpu_takes_fewer_frames_at_a_time_before_it_takes_tiles() -> None:
    """Which overlap, and so cost more; the least memory is that of one frame at a time."""
    cards = {8 * 10**9: 28, 5 * 10**9: 14, 3 * 10**9: 7, 2 * 10**9: 3, 10**9: 1}
    for card, part in cards.items():
        layout = plan_layout(large(), 1, TOKENS, None, CUDA, card)
        assert (len(layout.tiles), layout.part) == (1, part)
        assert plan_layout(large(), 1, TOKENS, card, CPU).part == 1
    flops = [plan_stage(large(), gpu("h100")._replace(memory=card), None).flops for card in cards]
    assert max(flops) < 1.0001 * min(flops)
    least = least_memory(large(), 1, TOKENS, CUDA)
    assert least == least_memory(large(), 1, TOKENS, CPU)
    assert plan_layout(large(), 1, TOKENS, least, CUDA).part == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tiles_of_all_frames_count_with_what_they_are_told(dtype: torch.dtype) -> None:
    """Temporal attention needs all frames: a call then has the whole tile of the video that it enlarges."""
    level = large().network.levels[0].with_(temporal="attention")
    one = large().with_(network=large().network.with_(levels=(level,)))
    layout = plan_layout(one, 1, TOKENS, 2 * 10**9, CUDA)
    assert len(layout.tiles) > 1 and layout.part is None
    tally, peak = ran(one, layout, dtype)
    plan = plan_stage(one, gpu("h100")._replace(dtype=dtype), None, 2 * 10**9)
    assert plan.flops == flops_of(tally)
    assert plan.peak_bytes == pytest.approx(peak, rel=0.01)


@pytest.mark.parametrize("one", [long(), large()])
@pytest.mark.parametrize("card", [10**9, 2 * 10**9, 3 * 10**9, 6 * 10**9, 80 * 10**9])
def test_a_card_that_is_not_here_is_like_one_that_is(
    monkeypatch: pytest.MonkeyPatch, one: StageSpec, card: int
) -> None:
    planned = plan_layout(one, 1, TOKENS, None, CUDA, card)
    left = max(0, card - stage_cost(one, 1, TOKENS, planned.part).fixed)  # its network is there when it is laid out
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (left, card))
    monkeypatch.setattr("torch.cuda.memory_reserved", lambda device: 0)
    monkeypatch.setattr("torch.cuda.memory_allocated", lambda device: 0)
    assert plan_layout(one, 1, TOKENS, None, CUDA) == planned


def test_a_card_that_is_too_small_is_planned_for_all_the_same() -> None:
    place = gpu("t4")._replace(memory=10**8)
    plan = plan_stage(large(), place, None)
    assert plan.peak_bytes > place.memory and not plan.to_json(place.memory)["fits"]


def test_a_budget_is_refused_where_it_is_on_the_gpu(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    level = large().network.levels[0].with_(width=64)
    one = large().with_(network=large().network.with_(levels=(level, level)))
    assert one.source is not None
    first = one.network.with_(low_res=False)
    base = StageSpec(name="base", shape=one.source, network=first, sampling=SamplingSpec(steps=2))
    cascade = CascadeSpec(name="small", text=T5(width=TEXT), stages=(base, one))
    file = tmp_path / "recipe.json"
    file.write_text(json.dumps(Recipe(name="small", cascade=cascade, training={}).to_json()))
    least = least_memory(one, 1, TOKENS, CUDA)
    for megabytes, expected in ((least // 10**6 - 1, 2), (least // 10**6 + 1, 0)):
        words = [str(file), "--memory", f"{megabytes}MB", "--json", "--quiet"]
        code, _, err = run(capsys, monkeypatch, *words, "--device", "t4")
        assert code == expected and ("memory: stage 'ssr' (32x768x768@2fps) needs" in err) == bool(expected)
    with pytest.raises(ValueError, match=r"memory: stage 'ssr' .* needs"):
        plan_layout(one, 1, TOKENS, least - 10**6, CUDA)
