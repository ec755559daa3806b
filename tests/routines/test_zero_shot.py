"""Text2Video-Zero: one frame is an ordinary picture, no motion and no noise make a still, and the moved z is exact."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from zoetrope.cascade.execution.cost import whole_tile
from zoetrope.cascade.execution.layout import Layout, plan_layout
from zoetrope.cascade.sample import Draw, ready
from zoetrope.cascade.windows import Windows
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.known import Known
from zoetrope.known.replacement import Replacement
from zoetrope.routines import Ready, Routine
from zoetrope.routines._foreground import foreground, otsu
from zoetrope.routines.straight import Straight
from zoetrope.routines.zero_shot import ZeroShot, panned
from zoetrope.samplers import Sampler
from zoetrope.samplers.ancestral import Ancestral
from zoetrope.samplers.ddim import DDIM
from zoetrope.samplers.heun import Heun
from zoetrope.schedules.cosine import Cosine

from .pictures import SHAPE, made, network_of, stage, told

CPU = torch.device("cpu")
MOVES: dict[str, Any] = {"motion": (0.0, 2.0), "moved_at": 0.5, "noised_to": 0.75}


@pytest.mark.parametrize("sampler", [DDIM(), Ancestral(), Heun()])
@pytest.mark.parametrize("smoothing", [0.0, 0.6])
def test_one_frame_is_an_ordinary_picture(sampler: Sampler, smoothing: float) -> None:
    plain = made(stage("own", 1, sampler=sampler, routine=Straight()))
    alone = made(stage("first", 1, sampler=sampler, routine=ZeroShot(smoothing=smoothing, **MOVES)))
    assert torch.equal(alone, plain) and plain.std() > 0.1


@pytest.mark.parametrize("threshold", ["static", 0.9, None])
def test_the_first_frame_of_several_is_that_picture_and_the_others_are_not(threshold: Any) -> None:
    plain = made(stage("own", 1, threshold=threshold))
    video = made(stage("first", routine=ZeroShot(**MOVES), threshold=threshold))
    if threshold != 0.9:  # of which the whole video has one
        torch.testing.assert_close(video[:, :, :1], plain, rtol=0, atol=1e-5)
    assert (video[:, :, 1:] - plain).abs().amax((1, 3, 4)).min() > 0.05


def test_without_motion_and_noise_all_frames_are_equal() -> None:
    still = ZeroShot(motion=(0, 0), moved_at=0.5, noised_to=0.5)
    video = made(stage("first", routine=still))
    assert torch.equal(video, video[:, :, :1].expand_as(video))
    torch.testing.assert_close(video[:, :, :1], made(stage("own", 1)), rtol=0, atol=1e-5)
    noised = made(stage("first", routine=still.with_(noised_to=0.75)))
    moved = made(stage("first", routine=still.with_(motion=(0, 2))))
    for other in (noised, moved):
        assert (other - other[:, :, :1]).abs().max() > 0.05


@pytest.mark.parametrize("smoothing", [0.0, 0.6])
@pytest.mark.parametrize("steps", [1, 2])
def test_however_few_steps_there_are_frames_move(steps: int, smoothing: float) -> None:
    late = ZeroShot(motion=(0.0, 2.0), moved_at=0.1, noised_to=0.2, smoothing=smoothing)
    video = made(stage("first", routine=late, steps=steps))
    assert (video[:, :, 1:] - video[:, :, :1]).abs().amax((1, 3, 4)).min() > 0.05


def test_frames_look_at_the_first() -> None:
    """The same weights without looking make other frames, except for the first."""
    one, other = (made(stage(looks, routine=ZeroShot(**MOVES))) for looks in ("own", "first"))
    torch.testing.assert_close(one[:, :, 0], other[:, :, 0], rtol=0, atol=1e-5)
    assert (one - other)[:, :, 1:].abs().max() > 0.01


@pytest.mark.parametrize("motion", [(0, 2), (1, 0), (-2, 3), (0, -4)])
def test_whole_pixels_are_translations(motion: tuple[int, int]) -> None:
    frame = torch.randn(2, 3, 1, 9, 14)
    video = panned(frame, motion, 4)
    assert video.shape == (2, 3, 4, 9, 14) and torch.equal(video[:, :, :1], frame)
    for number in range(4):
        down, right = (number * axis for axis in motion)
        rows, columns = (slice(max(0, shift), size + min(0, shift)) for shift, size in ((down, 9), (right, 14)))
        inside = video[:, :, number, rows, columns]
        there = frame[:, :, 0, rows.start - down : rows.stop - down, columns.start - right : columns.stop - right]
        assert inside.numel() and torch.equal(inside, there)


@pytest.mark.parametrize("motion", [(-1.5, -1.5), (0.25, 0.9), (3.2, -0.6)])
def test_moving_is_what_grid_sample_does(motion: tuple[float, float]) -> None:
    """Nearest pixels and reflected edges, beyond the size of the picture too; halves go down."""
    frame, frames = torch.randn(1, 2, 1, 6, 10), 9
    video = panned(frame, motion, frames)
    for number in range(frames):
        rows = torch.arange(6) - number * motion[0] - 1e-3
        columns = torch.arange(10) - number * motion[1] - 1e-3
        grid = torch.stack(torch.meshgrid((2 * columns + 1) / 10 - 1, (2 * rows + 1) / 6 - 1, indexing="xy"), -1)
        expected = grid_sample(
            frame[:, :, 0], grid[None], mode="nearest", padding_mode="reflection", align_corners=False
        )
        assert torch.equal(video[:, :, number], expected), number


def test_the_papers_motion_is_that_of_a_flow_of_512_pixels() -> None:
    """12 pixels of 512, resized to z's 64: where its code takes pixels from, which moves z up and to the left."""
    frame, frames = torch.randn(1, 4, 1, 64, 64), 8
    video = panned(frame, (-1.5, -1.5), frames)
    places = torch.stack(torch.meshgrid(torch.arange(512.0), torch.arange(512.0), indexing="xy"))[None]
    for number in range(frames):
        flow = (places + 12.0 * number) / 512 * 2 - 1
        grid = interpolate(flow, size=(64, 64), mode="bilinear").permute(0, 2, 3, 1)
        moved = grid_sample(frame[:, :, 0], grid, mode="nearest", padding_mode="reflection", align_corners=False)
        assert torch.equal(video[:, :, number], moved), number


def running(shape: tuple[int, ...], steps: int, seen: list[tuple[int, Tensor]], x_hat: Tensor) -> Ready:
    """A stage whose denoiser says x_hat, and notes how many frames it is shown, and z."""
    generator = torch.Generator().manual_seed(0)
    drawn = dict[str, Tensor]()

    def noise(purpose: str) -> Tensor:
        if purpose not in drawn:
            drawn[purpose] = torch.randn(shape, generator=generator, dtype=torch.float64)
        return drawn[purpose].clone()

    def denoise(z: Tensor, level: NoiseLevel) -> Tensor:
        seen.append((z.shape[2], z.clone()))
        return x_hat.expand(*shape[:2], z.shape[2], *shape[3:]).clone()

    levels = [Cosine()(torch.full(shape[:1], 1 - k / steps, dtype=torch.float64)) for k in range(steps + 1)]
    return Ready(denoise=denoise, levels=levels, noise=noise, sampler=DDIM(), part=lambda frames: denoise)


def test_levels_and_calls_are_the_papers() -> None:
    """50 steps: the first frame alone for 5 of them, t = 1 to .9, then all frames from t = .96 on."""
    seen: list[tuple[int, Tensor]] = []
    routine, there = ZeroShot(motion=(0, 3)), running((1, 2, 4, 6, 8), 50, seen, torch.zeros(1, 2, 1, 6, 8))
    steps = list(routine(there))
    assert len(steps) == routine.length(50) == 5 + 48
    assert [frames for frames, _ in seen] == [1] * 5 + [4] * 48
    alone, together = [z for frames, z in seen if frames == 1], [z for frames, z in seen if frames == 4]
    # The first frame goes on from where it was at t = .96.
    assert torch.equal(together[0][:, :, :1], alone[2])
    # The others have been at t = .9, moved, and got noise by the forward kernel q(z_.96 | z_.9).
    level_s, level_t = there.levels[5], there.levels[2]
    kept = (level_t.alpha / level_s.alpha).item()
    std = (level_t.sigma**2 - kept**2 * level_s.sigma**2).sqrt().item()
    at_s = steps[4].z[:, :, :1]
    for k in range(1, 4):
        moved = torch.roll(at_s[:, :, 0], 3 * k, dims=-1)[..., 3 * k :]
        eps = there.noise("motion")[:, :, k, :, 3 * k :]
        torch.testing.assert_close(together[0][:, :, k, :, 3 * k :], kept * moved + std * eps)


def test_moved_frames_keep_unit_variance() -> None:
    """What the network sees at T of data of unit variance has unit variance, in every frame."""
    seen: list[tuple[int, Tensor]] = []
    shape = (40, 2, 4, 16, 16)
    start = torch.Generator().manual_seed(5)
    there = running(shape, 20, seen, torch.zeros(1))
    point = torch.randn(40, 2, 1, 16, 16, generator=start, dtype=torch.float64)

    def exact(z: Tensor, level: NoiseLevel) -> Tensor:  # data that is the same in all frames
        seen.append((z.shape[2], z.clone()))
        return point.expand_as(z)

    list(ZeroShot(motion=(1, 2), moved_at=0.6, noised_to=0.8)(replace(there, denoise=exact, part=lambda frames: exact)))
    first = next(z for frames, z in seen if frames == 4)
    variance = first.var((0, 1, 3, 4))
    assert ((variance - 1).abs() < 6 * (2 / (first.numel() / 4)) ** 0.5).all()
    assert ((first[:, :, 1:] * first[:, :, :1]).mean((0, 1, 3, 4)).abs() < 0.9).all()


def test_the_background_is_smoothed_and_the_foreground_is_not() -> None:
    seen: list[tuple[int, Tensor]] = []
    x_hat = -torch.ones(1, 3, 1, 12, 16, dtype=torch.float64)
    x_hat[..., 4:8, 5:9] = 1.0
    there = running((1, 3, 3, 12, 16), 10, seen, x_hat)
    routine = ZeroShot(motion=(0, 1), moved_at=0.5, noised_to=0.8, smoothing=0.6, margin=0)
    steps = list(routine(there))
    assert len(steps) == routine.length(10) == 5 + 8 + 8
    alone = [z for frames, z in seen if frames == 1]
    first, again = (z for z in ([z for frames, z in seen if frames == 3][n] for n in (0, 8)))
    behind = panned(alone[2], (0, 1), 3)
    before = torch.zeros(3, 12, 16, dtype=torch.bool)
    for k in range(3):  # of the frame itself, and of the first, moved
        before[k, 4:8, 5:9] = before[k, 4:8, 5 + k : 9 + k] = True
    assert torch.equal(again[:, :, before], first[:, :, before])
    torch.testing.assert_close(again[:, :, ~before], (0.6 * behind + 0.4 * first)[:, :, ~before])
    assert torch.equal(first[:, :, 0], again[:, :, 0])  # the first frame is its own


def test_the_foreground_is_what_differs_from_the_border() -> None:
    video = torch.zeros(2, 3, 2, 10, 14) + torch.tensor([0.3, -0.8, 0.1])[:, None, None, None]
    video = video + 0.02 * torch.randn(video.shape, generator=torch.Generator().manual_seed(0))
    there = torch.zeros(2, 1, 2, 10, 14, dtype=torch.bool)
    there[0, 0, 0, 2:5, 3:8] = there[0, 0, 1, 6:8, 1:4] = there[1, 0, :, 4:6, 8:12] = True
    video[there.expand_as(video)] = 0.9
    assert torch.equal(foreground(video, 0), there)
    grown = foreground(video, 1)
    assert grown[0, 0, 0, 1:6, 2:9].all() and grown.sum() == 5 * 7 + 4 * 5 + 2 * 4 * 6
    assert not foreground(torch.full((1, 3, 1, 4, 4), 0.5), 0).any()


def test_otsu_is_the_best_split_there_is() -> None:
    values = torch.rand(7, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64) ** 3
    for row, cut in zip(values.numpy(), otsu(values).numpy(), strict=True):
        between = {}
        for threshold in row:
            low, high = row[row <= threshold], row[row > threshold]
            between[threshold] = len(low) * len(high) * (low.mean() - high.mean()) ** 2 if len(high) else 0.0
        assert np.isclose(between[cut], max(between.values()))


def test_noise_is_of_the_seed_and_the_sample_alone() -> None:
    """Not of the batch, nor of whether its videos are made one by one."""
    spec = stage("first", routine=ZeroShot(smoothing=0.5, **MOVES), sampler=Ancestral())
    both = made(spec)
    apart = made(spec, layout=Layout([whole_tile(spec)], one_at_a_time=True))
    torch.testing.assert_close(apart, both, rtol=0, atol=1e-5)
    assert (both[0] - both[1]).abs().max() > 0.05 and not torch.allclose(made(spec, seed=4), both, atol=0.05)


def test_it_is_planned() -> None:
    """Memory is known before it runs, with and without smoothing."""
    for smoothing in (0.0, 0.6):
        spec = stage("first", routine=ZeroShot(smoothing=smoothing))
        assert len(plan_layout(spec, 2, 4, None, CPU).tiles) == 1
        assert len(plan_layout(spec, 2, 4, 2 * 10**9, CPU).tiles) == 1


def test_what_does_not_go_together() -> None:
    with pytest.raises(ValueError, match=r"noised_to: expected moved_at = 0.9 or more, for noise is added, got 0.5"):
        ZeroShot(noised_to=0.5)
    with pytest.raises(ValueError, match=r"windows: expected null with routine 'zero_shot'"):
        stage("first", routine=ZeroShot(), windows=Windows(frames=2, overlap=1))
    spec = stage("first", routine=ZeroShot(), known=Replacement())
    first = Known(torch.arange(SHAPE.frames) < 1, torch.zeros(1, 3, 1, SHAPE.height, SHAPE.width))
    with pytest.raises(ValueError, match="expected no known frames with routine 'zero_shot'"):
        ready(spec, network_of(spec), told(1), None, Draw(seed=0, samples=[0], known=first))
    whole = Ready(
        denoise=lambda z, level: z, levels=[], noise=lambda purpose: torch.zeros(1, 3, 2, 4, 4), sampler=DDIM()
    )
    with pytest.raises(ValueError, match="routine: expected one that evaluates whole videos, such as straight"):
        next(iter(ZeroShot()(whole)))


def test_it_comes_back_from_json() -> None:
    routine: Routine = ZeroShot(motion=(0, -2.5), smoothing=0.6)
    assert Routine.from_json(routine.to_json()) == routine
