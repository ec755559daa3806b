"""Plans of routines whose steps differ: each step counts as it runs, though the network runs once for each size."""

from collections.abc import Callable

import pytest
import torch

from tests.routines.pictures import stage
from zoetrope.cascade.execution.cost import blank_request, whole_tile
from zoetrope.cascade.execution.layout import Layout
from zoetrope.cascade.sample import Draw, sample_stage
from zoetrope.cascade.spec import StageSpec
from zoetrope.layers.fused import fused
from zoetrope.networks import Network
from zoetrope.networks.video_unet import VideoUNetConfig
from zoetrope.planning.count import Operation, Tally, dry, flops_of
from zoetrope.planning.work import TOKENS, sampling
from zoetrope.recipes import load_recipe
from zoetrope.routines.hierarchical import Hierarchical
from zoetrope.routines.zero_shot import ZeroShot
from zoetrope.samplers.ancestral import Ancestral
from zoetrope.samplers.heun import Heun

ROUTINES: dict[str, Callable[[], StageSpec]] = {
    "zero_shot": lambda: stage("first", routine=ZeroShot(moved_at=0.4, noised_to=0.6)),
    "zero_shot, nothing moved": lambda: stage("first", routine=ZeroShot(moved_at=1.0, noised_to=1.0)),
    "zero_shot, smoothed": lambda: stage("first", routine=ZeroShot(moved_at=0.4, noised_to=0.6, smoothing=0.5)),
    "zero_shot, heun": lambda: stage("first", routine=ZeroShot(moved_at=0.4, noised_to=0.6), sampler=Heun()),
    "zero_shot, ancestral": lambda: stage("first", routine=ZeroShot(moved_at=0.4), sampler=Ancestral()),
    "hierarchical": lambda: stage("all", routine=Hierarchical(most=3)),
    "hierarchical, heun": lambda: stage("all", routine=Hierarchical(most=3), sampler=Heun()),
}


def run(one: StageSpec) -> tuple[Tally, int]:
    """The operations of all steps, which really run, and the bytes at their peak."""
    with dry() as meter:
        network, given = fused(one.network.build().eval()), blank_request(one, 1, TOKENS)
        draw = Draw(seed=0, samples=[0], layout=Layout([whole_tile(one)]))
        meter.restart()
        for x_hat in sample_stage(one, network, given, None, draw):
            del x_hat
        return meter.tally, meter.live.peak


def worth(tally: Tally) -> dict[Operation, int]:
    """The operations on more than a few numbers: of levels some are known after a first call."""
    return {key: count for key, count in tally.items() if key.moved > 64}


@pytest.mark.parametrize("name", ROUTINES)
def test_every_step_counts_as_it_is_run(name: str) -> None:
    one = ROUTINES[name]()
    work, (tally, peak) = sampling(one, torch.float32), run(one)
    assert flops_of(work.whole) == flops_of(tally)
    assert worth(work.whole) == worth(tally)
    assert work.peak == pytest.approx(peak, rel=0.01)


def test_first_steps_of_one_frame_are_not_taken_for_all() -> None:
    """33 steps, of which the last 14 make all 8 frames."""
    one = load_recipe("text2video_zero").cascade.stage("base")
    assert isinstance(one.sampling.routine, ZeroShot) and one.sampling.length == 19 + 14
    work = sampling(one, torch.float32)
    alone = sampling(one.with_(shape=one.shape.with_(frames=1), sampling=one.sampling.with_(steps=1)), torch.float32)
    assert work.flops_per_step == 2 * work.flops_per_forward
    whole = flops_of(work.whole)
    assert whole == pytest.approx(14 * work.flops_per_step + 19 * 2 * alone.flops_per_forward, rel=0.01)


def test_a_network_evaluates_a_video_in_all_calls_of_a_routine() -> None:
    """5 frames with at most 3 at once: keys 0, 2 and 4, and two clips of two keys and what lies between."""
    one, three = (sampling(stage("all", frames, routine=Hierarchical(most=3)), torch.float32) for frames in (5, 3))
    assert one.flops_per_forward == 3 * three.flops_per_forward
    assert one.flops_per_step == 2 * one.flops_per_forward


def test_a_network_runs_once_for_each_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many steps there are: one call on one frame, one on all, and one that is counted by itself."""
    build, calls = VideoUNetConfig.build, list[int]()

    def watched(self: VideoUNetConfig) -> Network:
        network = build(self)
        network.register_forward_pre_hook(lambda module, given: calls.append(given[0].shape[2]))
        return network

    one = ROUTINES["zero_shot"]()
    sampling(one, torch.float32)
    monkeypatch.setattr(VideoUNetConfig, "build", watched)
    sampling(one.with_(sampling=one.sampling.with_(steps=50)), torch.float32)
    assert calls[:3] == [5, 1, 5] and len(calls) <= 6
