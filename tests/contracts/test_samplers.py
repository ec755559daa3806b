"""What every sampler in the folder must do, because it is there."""

import pytest
import torch
from torch import Tensor

from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.samplers import Sampler, Step
from zoetrope.schedules import Schedule
from zoetrope.schedules.cosine import Cosine
from zoetrope.schedules.linear import RectifiedFlow

MEAN, STD = 0.5, 0.4
SAMPLERS = [sampler() for sampler in Sampler.every()]
SCHEDULES = [Cosine(), RectifiedFlow()]  # one that preserves variance, and one that does not
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES, ids=["cosine", "linear"])
every_sampler = pytest.mark.parametrize("sampler", SAMPLERS, ids=Sampler.names())


def exact(z: Tensor, level: NoiseLevel) -> Tensor:
    """The exact denoiser of N(MEAN, STD^2)."""
    a, s = (value.to(z.dtype).reshape(-1, *[1] * (z.ndim - 1)) for value in (level.alpha, level.sigma))
    return MEAN + STD**2 * a / (a**2 * STD**2 + s**2) * (z - a * MEAN)


def run(
    sampler: Sampler,
    steps: int,
    count: int = 2,
    denoise: Denoise = exact,
    seed: int = 0,
    schedule: Schedule = SCHEDULES[0],
) -> list[Step]:
    shape = (count, 3, 2, 2, 2)

    def noise(step: int) -> Tensor:
        return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1000 * seed + step + 1))

    times = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    levels = [schedule(t.expand(count)) for t in times]
    return list(sampler(denoise, noise(-1), levels, noise=noise))


@every_sampler
@every_schedule
def test_reaches_the_data_distribution(sampler: Sampler, schedule: Schedule) -> None:
    x = run(sampler, 256, count=1000, schedule=schedule)[-1].x_hat
    assert float(x.mean()) == pytest.approx(MEAN, abs=0.02)  # 24 000 values: a standard error of 0.003
    assert float(x.std()) == pytest.approx(STD, rel=0.035)


@every_sampler
@every_schedule
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_any_number_of_steps(sampler: Sampler, schedule: Schedule, steps: int) -> None:
    done = run(sampler, steps, schedule=schedule)
    assert len(done) == steps
    for step in done:
        assert step.z.shape == step.x_hat.shape == (2, 3, 2, 2, 2)
        assert step.z.isfinite().all() and step.x_hat.isfinite().all()


@every_sampler
def test_one_step_is_the_denoiser(sampler: Sampler) -> None:
    z = torch.randn(2, 3, 2, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    level = Cosine()(torch.ones(2))
    torch.testing.assert_close(run(sampler, 1)[-1].x_hat, exact(z, level), rtol=0, atol=1e-15)


@every_sampler
def test_same_noise_same_sample(sampler: Sampler) -> None:
    first, again, other = (run(sampler, 5, seed=seed)[-1].x_hat for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@every_sampler
@every_schedule
def test_the_last_state_is_the_sample_at_the_last_level(sampler: Sampler, schedule: Schedule) -> None:
    last = run(sampler, 16, schedule=schedule)[-1]
    torch.testing.assert_close(last.z, last.x_hat, rtol=0, atol=1e-3)  # sigma is 4.5e-5 there, and no noise is added


@every_sampler
def test_examples_do_not_touch(sampler: Sampler) -> None:
    many = run(sampler, 4, count=3)[-1].x_hat
    levels = [Cosine()(t.expand(1)) for t in torch.linspace(1, 0, 5, dtype=torch.float64)]
    shape = (3, 3, 2, 2, 2)

    def noise(step: int) -> Tensor:
        return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(step + 1))[1:2]

    for step in sampler(exact, noise(-1), levels, noise=noise):
        alone = step.x_hat
    torch.testing.assert_close(many[1:2], alone, rtol=0, atol=1e-13)


@every_sampler
def test_builds_no_graph_and_leaves_the_mode_alone(sampler: Sampler) -> None:
    weight = torch.ones((), dtype=torch.float64, requires_grad=True)
    times = torch.linspace(1, 0, 4, dtype=torch.float64)
    levels = [Cosine()(t.expand(1)) for t in times]
    z = torch.ones(1, 3, 1, 2, 2, dtype=torch.float64)
    for step in sampler(lambda z, level: weight * exact(z, level), z, levels, noise=lambda step: z):
        assert torch.is_grad_enabled()
        assert not step.x_hat.requires_grad and not step.z.requires_grad


@every_sampler
def test_float32_stays_float32(sampler: Sampler) -> None:
    levels = [Cosine()(t.expand(1)) for t in torch.linspace(1, 0, 4, dtype=torch.float64)]
    z = torch.ones(1, 3, 1, 2, 2)
    for step in sampler(exact, z, levels, noise=lambda step: torch.ones_like(z)):
        assert step.z.dtype == step.x_hat.dtype == torch.float32


@every_sampler
def test_round_trip_through_json(sampler: Sampler) -> None:
    value = sampler.to_json()
    assert value["type"] == type(sampler).kind()
    assert Sampler.from_json(value) == sampler
