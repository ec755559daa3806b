"""What every guidance and every routine in the folders must do, because it is there."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.guidance import Guidance, combined
from zoetrope.inputs.text import text_given
from zoetrope.routines import Ready, Routine
from zoetrope.samplers import Sampler
from zoetrope.schedules.cosine import Cosine

STEPS, SHAPE = 7, (2, 3, 4, 2, 2)
every_guidance = pytest.mark.parametrize("guidance", [kind() for kind in Guidance.every()], ids=Guidance.names())
every_routine = pytest.mark.parametrize("routine", [kind() for kind in Routine.every()], ids=Routine.names())


@every_guidance
def test_shares_sum_to_one_and_there_is_one_for_each_variant(guidance: Guidance) -> None:
    told = text_given(torch.randn(2, 5, 6))
    against = text_given(torch.randn(1, 5, 6))
    for negative in (None, against):
        variants = guidance.variants(told, negative)
        assert variants[0] is told and all(each.names == told.names for each in variants)
        for step in range(STEPS):
            shares = guidance.shares(step, STEPS)
            assert len(shares) == len(variants) and sum(shares) == pytest.approx(1)
    assert len(guidance.weights(STEPS)) == STEPS


@every_guidance
def test_equal_answers_are_left_alone(guidance: Guidance) -> None:
    answer = torch.randn(SHAPE, dtype=torch.float64)
    count = len(guidance.variants(text_given(torch.randn(2, 5, 6)), None))
    torch.testing.assert_close(combined([answer] * count, guidance.shares(0, STEPS)), answer)


@every_guidance
def test_guidance_comes_back_from_json(guidance: Guidance) -> None:
    assert Guidance.from_json(guidance.to_json()) == guidance
    assert guidance.active(STEPS) == any(guidance.weights(STEPS))


def test_shares_may_differ_from_frame_to_frame() -> None:
    first, second, third = torch.randn(3, *SHAPE, dtype=torch.float64)
    each = torch.tensor([1.0, 2.0, 3.0, 0.0], dtype=torch.float64)
    spread = each[None, None, :, None, None]
    torch.testing.assert_close(combined([first, second], [each, 1 - each]), spread * first + (1 - spread) * second)
    torch.testing.assert_close(
        combined([first, second, third], [1 + each, 2.0, -2 - each]),
        (1 + spread) * first + 2 * second - (2 + spread) * third,
    )


@every_routine
@pytest.mark.parametrize("steps", [1, STEPS])
@pytest.mark.parametrize("sampler", [kind() for kind in Sampler.every()], ids=Sampler.names())
def test_a_routine_yields_its_length_and_ends_with_the_video(routine: Routine, steps: int, sampler: Sampler) -> None:
    video, purposes = torch.randn(SHAPE, dtype=torch.float64), []

    def noise(purpose: str) -> Tensor:
        purposes.append(purpose)
        return torch.randn(SHAPE, dtype=torch.float64)

    def denoise(z: Tensor, level: NoiseLevel) -> Tensor:
        return video.clone()

    times = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    levels = [Cosine()(t.expand(len(video))) for t in times]

    def part(frames: Sequence[int]) -> Denoise:
        return lambda z, level: video[:, :, list(frames)]

    done = list(routine(Ready(denoise=denoise, levels=levels, noise=noise, sampler=sampler, part=part)))
    assert len(done) == routine.length(steps)
    assert all(step.x_hat.shape == step.z.shape == video.shape for step in done)
    assert torch.equal(done[-1].x_hat, video)
    assert "start" in purposes
    if len(done) == steps:  # no noise is used twice; steps that are made again have the same again
        assert len(set(purposes)) == len(purposes)


@every_routine
def test_what_a_routine_sees_at_once_is_no_more_than_there_is(routine: Routine) -> None:
    seen = [routine.seen(frames) for frames in range(1, 100)]
    assert all(1 <= count <= frames for frames, count in enumerate(seen, start=1)) and seen[:3] == [1, 2, 3]


@every_routine
def test_routines_come_back_from_json(routine: Routine) -> None:
    assert Routine.from_json(routine.to_json()) == routine
