"""At which times a network is trained."""

import json
from collections.abc import Callable

import pytest
import torch

from zoetrope.schedules import Schedule
from zoetrope.schedules.cosine import Cosine
from zoetrope.schedules.karras import Karras
from zoetrope.training.objectives import Lesson
from zoetrope.training.objectives.denoise import Denoising
from zoetrope.training.spec import Recipe
from zoetrope.training.times import Times
from zoetrope.training.times.log_normal import LogNormal
from zoetrope.training.times.uniform import Uniform

Tiny = Callable[..., Recipe]
EVEN = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000


@pytest.mark.parametrize("times", [kind() for kind in Times.every()], ids=Times.names())
@pytest.mark.parametrize("schedule", [kind() for kind in Schedule.every()], ids=Schedule.names())
def test_every_distribution_is_a_quantile_function(times: Times, schedule: Schedule) -> None:
    ends = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
    t = times(torch.cat([ends[:1], EVEN, ends[1:]]), schedule)
    assert t.dtype == torch.float64 and (t.diff() >= 0).all() and t[0] >= 0 and t[-1] <= 1
    assert times(EVEN.view(4, -1), schedule).shape == (4, 1000)
    assert Times.from_json(times.to_json()) == times


def test_uniform_times_are_the_draws_themselves() -> None:
    assert Uniform()(EVEN, Cosine()) is EVEN


@pytest.mark.parametrize("schedule", [Cosine(shift=-2), Karras(sigma_max=700)])
def test_noise_is_log_normal_whatever_the_schedule(schedule: Schedule) -> None:
    level = schedule(LogNormal(mean=0.5, std=1.4)(EVEN, schedule))
    log_sigma = torch.log(level.sigma / level.alpha)
    assert float(log_sigma.mean()) == pytest.approx(0.5, abs=1e-3)
    assert float(log_sigma.std()) == pytest.approx(1.4, rel=2e-3)
    wanted = torch.distributions.Normal(0.5, 1.4).cdf(log_sigma)
    torch.testing.assert_close(wanted, EVEN, rtol=0, atol=1e-6)


def test_denoising_is_learnt_at_those_times(tiny: Tiny) -> None:
    stage = tiny().cascade.stages[0]
    x, u = torch.zeros(3, 3, *stage.shape.sizes), torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    times = LogNormal(mean=-1, std=2)
    lesson = Lesson(x, torch.ones_like(x), u, None, times)  # type: ignore[arg-type]
    question = Denoising().question(stage, lesson)
    assert torch.equal(question.level.logsnr, stage.schedule(times(u, stage.schedule)).logsnr)
    torch.testing.assert_close(question.z[:, 0, 0, 0, 0].double(), question.level.sigma, rtol=0, atol=1e-6)


def test_recipes_from_before_there_was_a_choice(tiny: Tiny) -> None:
    made = tiny()
    old = made.to_json()
    for training in old["training"].values():
        assert training.pop("times") == {"type": "uniform"}
    assert Recipe.from_json(json.dumps(old)) == made
    changed = made.override("base.training.times", {"type": "log_normal", "mean": 0.5})
    assert changed.training["base"].times == LogNormal(mean=0.5)
