"""ControlVideo: key frames and the clips between them, the smoother on motion that it must not change, and memory."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from zoetrope.cascade.execution.cost import call_bytes, whole_tile
from zoetrope.cascade.execution.layout import Layout, plan_layout
from zoetrope.cascade.execution.meter import peak_bytes
from zoetrope.cascade.sample import Draw, ready
from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.interpolators import Interpolator
from zoetrope.interpolators.linear import LinearInterpolation
from zoetrope.routines import Ready, Routine
from zoetrope.routines.hierarchical import Hierarchical, frame_calls, key_frames, smoothed
from zoetrope.routines.straight import Straight
from zoetrope.samplers import Sampler
from zoetrope.samplers.ancestral import Ancestral
from zoetrope.samplers.ddim import DDIM
from zoetrope.samplers.heun import Heun
from zoetrope.schedules.cosine import Cosine
from zoetrope.shapes import VideoShape

from .pictures import made, network_of, stage, told

CPU = torch.device("cpu")
UNSMOOTHED = Hierarchical(smoothed_at=())


def test_the_papers_key_frames() -> None:
    assert key_frames(15, 3) == [0, 2, 4, 6, 8, 10, 12, 14]
    assert key_frames(16, 3) == [0, 2, 4, 6, 8, 10, 12, 14, 15]
    assert key_frames(60, 7) == [0, 6, 12, 18, 24, 30, 36, 42, 48, 54, 59]
    assert key_frames(1, 3) == [0]


def test_keys_come_first_then_what_lies_between_two_of_them() -> None:
    calls = frame_calls(range(15), 3, 8)
    assert calls[0].frames == (0, 2, 4, 6, 8, 10, 12, 14) and calls[0].kept == 0
    assert [call.frames for call in calls[1:]] == [(k, k + 2, k + 1) for k in range(0, 14, 2)]
    assert {call.kept for call in calls[1:]} == {2}
    assert frame_calls(range(15), None, 16) == [(tuple(range(15)), 0)]


@given(st.integers(1, 400), st.integers(3, 20), st.data())
def test_every_frame_is_made_once_and_no_call_is_too_large(total: int, most: int, data: st.DataObject) -> None:
    window = data.draw(st.none() | st.integers(3, most))
    calls, there = frame_calls(range(total), window, most), list[int]()
    for call in calls:
        assert len(call.frames) <= most
        assert set(call.frames[: call.kept]) <= set(there), "a clip lies between frames that are there"
        there += call.frames[call.kept :]
        assert call.kept == 0 or all(call.frames[0] < frame < call.frames[1] for frame in call.frames[2:])
    assert sorted(there) == list(range(total))
    assert Hierarchical(window=window, most=most).seen(total) == max(len(call.frames) for call in calls)


@pytest.mark.parametrize("sampler", [DDIM(), Ancestral(), Heun()])
def test_one_frame_is_an_ordinary_picture(sampler: Sampler) -> None:
    plain = made(stage("own", 1, sampler=sampler, routine=Straight()))
    for routine in (UNSMOOTHED, Hierarchical()):
        if routine == UNSMOOTHED or isinstance(sampler, DDIM | Heun):
            assert torch.equal(made(stage("all", 1, sampler=sampler, routine=routine)), plain)
    assert plain.std() > 0.1


@pytest.mark.parametrize("threshold", ["static", 0.9])
def test_a_short_video_is_denoised_whole(threshold: Any) -> None:
    whole = made(stage("all", threshold=threshold))
    assert torch.equal(made(stage("all", routine=UNSMOOTHED, threshold=threshold)), whole)
    assert (whole - made(stage("own", threshold=threshold))).abs().max() > 1e-3, "frames do not see each other"


@pytest.mark.parametrize("threshold", ["static", 0.9, None])
def test_parts_of_frames_that_do_not_see_each_other_are_the_whole(threshold: Any) -> None:
    """With attention to a frame's own pixels calls do not matter: the threshold is that of the whole video."""
    routine = UNSMOOTHED.with_(most=3, window=3)
    whole = made(stage("own", 7, threshold=threshold))
    torch.testing.assert_close(made(stage("own", 7, routine=routine, threshold=threshold)), whole, rtol=0, atol=1e-5)
    apart = made(stage("all", 7, routine=routine, threshold=threshold))
    assert (apart - made(stage("all", 7, threshold=threshold))).abs().max() > 1e-3


def test_equal_frames_stay_equal_and_are_made_as_single_ones() -> None:
    """Attention to copies of a frame is attention to the frame."""
    spec = stage("all", 7, routine=Hierarchical(most=3), shared_noise=True)
    video = made(spec)
    torch.testing.assert_close(video, video[:, :, :1].expand_as(video), rtol=0, atol=1e-5)
    torch.testing.assert_close(video[:, :, :1], made(stage("own", 1)), rtol=0, atol=1e-5)


def test_linear_motion_is_what_the_smoother_makes_of_it() -> None:
    start, change = torch.randn(2, 2, 3, 1, 4, 5, dtype=torch.float64)
    for frames in (1, 2, 3, 6, 7):
        video = start + change * torch.arange(frames, dtype=torch.float64)[:, None, None]
        for first in (1, 2):
            torch.testing.assert_close(smoothed(video, first, LinearInterpolation()), video, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("first", "targets"), [(1, [1, 3, 5]), (2, [2, 4])])
def test_the_smoother_leaves_other_frames_alone(first: int, targets: list[int]) -> None:
    for frames in (7, 6):
        video = torch.randn(2, 3, frames, 4, 5)
        mine = [target for target in targets if target < frames - 1]
        others = [frame for frame in range(frames) if frame not in mine]
        done = smoothed(video, first, LinearInterpolation())
        assert torch.equal(done[:, :, others], video[:, :, others])
        for frame in mine:
            torch.testing.assert_close(done[:, :, frame], (video[:, :, frame - 1] + video[:, :, frame + 1]) / 2)


def running(x_hats: Sequence[Tensor], seen: list[Tensor]) -> Ready:
    """A stage of 10 steps whose denoiser says what is listed, and notes z."""
    shape = x_hats[0].shape
    start = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def part(frames: Sequence[int]) -> Denoise:
        def denoise(z: Tensor, level: NoiseLevel) -> Tensor:
            seen.append(z.clone())
            return x_hats[len(seen) - 1][:, :, list(frames)].clone()

        return denoise

    levels = [Cosine()(torch.full((1,), 1 - k / 10, dtype=torch.float64)) for k in range(11)]
    whole = part(range(shape[2]))
    return Ready(denoise=whole, levels=levels, noise=lambda purpose: start.clone(), sampler=DDIM(), part=part)


def test_a_smoothed_step_takes_the_networks_noise_and_the_smoothed_video() -> None:
    """z = alpha x~ + sigma eps_hat, with the eps_hat that x_hat left; odd frames in one step, even ones in the next."""
    x_hats = [*torch.randn(10, 1, 2, 5, 3, 3, dtype=torch.float64)]
    seen: list[Tensor] = []
    there = running(x_hats, seen)
    steps = list(Hierarchical(smoothed_at=(0.6, 0.5))(there))
    assert len(steps) == 10 == Hierarchical().length(10)
    for number in range(10):
        level_t, level_s = there.levels[number : number + 2]
        eps = (seen[number] - level_t.alpha.item() * x_hats[number]) / level_t.sigma.item()
        turn = {4: 1, 5: 2}.get(number)
        x = x_hats[number] if turn is None else smoothed(x_hats[number], turn, LinearInterpolation())
        torch.testing.assert_close(steps[number].x_hat, x)
        if number < 9:
            torch.testing.assert_close(seen[number + 1], level_s.alpha.item() * x + level_s.sigma.item() * eps)
    assert not torch.equal(steps[4].x_hat, x_hats[4]) and torch.equal(steps[9].x_hat, x_hats[9])


def test_smoothing_takes_flicker_away() -> None:
    """Of frames whose noise differs, where the network lets them."""

    def flicker(video: Tensor) -> float:
        return (video[:, :, 1:-1] - (video[:, :, :-2] + video[:, :, 2:]) / 2).abs().mean().item()

    plain, smooth = (
        made(stage("all", routine=Hierarchical(smoothed_at=times), guidance=0.0))
        for times in ((), (0.75, 0.625, 0.5, 0.375, 0.25))
    )
    assert flicker(smooth) < 0.8 * flicker(plain)


def test_videos_of_any_length_take_the_memory_of_a_call() -> None:
    """What a call holds is bounded; of the video itself there are a few copies."""
    spec = {frames: stage("all", frames, routine=Hierarchical(most=8), steps=2) for frames in (15, 60)}
    calls = {frames: call_bytes(each, 1, 4, None, smallest=False) for frames, each in spec.items()}
    assert 0.8 * calls[15] < calls[60] <= calls[15]  # of 7 and of 8 frames
    held = {}
    for frames, each in spec.items():
        network = network_of(each)
        held[frames] = peak_bytes(
            lambda each=each, network=network: list(each.sampling.routine(prepared(each, network)))  # type: ignore[misc]
        )
    whole = stage("all", 60, steps=2)
    assert held[60] < 1.15 * held[15] + 8 * 4 * 3 * 8 * 12 * 45, "beyond 45 more frames in eight copies"
    assert held[60] < 0.3 * peak_bytes(lambda: list(whole.sampling.routine(prepared(whole, network_of(whole)))))
    assert plan_layout(spec[60], 1, 4, 2 * 10**9, CPU).tiles[0].seen.sizes == (7, 8, 12)


def prepared(spec: Any, network: Any) -> Ready:
    return ready(spec, network, told(1), None, Draw(seed=0, samples=[0], layout=Layout([whole_tile(spec)])))


def test_what_cannot_be() -> None:
    with pytest.raises(ValueError, match=r"window: expected at most the 8 frames of a call \(most\), got 9"):
        Hierarchical(window=9, most=8)
    spec = stage("all", 9, routine=Hierarchical(most=3))
    with pytest.raises(ValueError, match="routine: expected to evaluate parts of videos alone"):
        prepared(spec, network_of(spec)).denoise(torch.zeros(1), Cosine()(torch.zeros(1)))


def test_it_comes_back_from_json() -> None:
    routine = Hierarchical(window=4, smoothed_at=(0.5,))
    assert Routine.from_json(routine.to_json()) == routine
    assert Routine.from_json({"type": "hierarchical", "interpolator": "linear"}) == Hierarchical()


@pytest.mark.parametrize("interpolator", [kind() for kind in Interpolator.every()], ids=Interpolator.names())
def test_between_equal_frames_lies_the_same(interpolator: Interpolator) -> None:
    frames = torch.randn(2, 3, 4, 8, 8)
    torch.testing.assert_close(interpolator(frames, frames), frames)
    assert Interpolator.from_json(interpolator.to_json()) == interpolator


def test_grids_of_the_stage() -> None:
    """Its network is asked whether it can process what it sees, not the whole."""
    spec = stage("all", 60, routine=Hierarchical(most=8))
    assert spec.seen == VideoShape(frames=7, height=8, width=12, fps=4) and spec.shape.frames == 60
