"""What every schedule in the folder does, because it is there; and that of EDM against its own formulas."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from zoetrope.cascade.spec import StageSpec
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.prediction import x_from
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.samplers import Sampler
from zoetrope.schedules import Schedule
from zoetrope.schedules.cosine import Cosine
from zoetrope.schedules.karras import Karras
from zoetrope.shapes import VideoShape

every_schedule = pytest.mark.parametrize("schedule", [kind() for kind in Schedule.every()], ids=Schedule.names())


def times(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@every_schedule
@settings(deadline=None, max_examples=25)
@given(a=st.floats(0, 1), b=st.floats(0, 1))
def test_noise_grows_with_time_and_the_level_is_one(schedule: Schedule, a: float, b: float) -> None:
    level = schedule(times(*sorted((a, b))))
    assert level.logsnr[0] >= level.logsnr[1] and level.alpha[0] >= level.alpha[1]
    power = 2 if schedule.preserves_variance else 1  # the straight one preserves alpha + sigma
    total = level.alpha**power + level.sigma**power
    torch.testing.assert_close(total, torch.ones(2, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(2 * torch.log(level.alpha / level.sigma), level.logsnr, rtol=0, atol=1e-9)


@every_schedule
@settings(deadline=None, max_examples=25)
@given(t=st.floats(0, 1))
def test_time_is_the_inverse(schedule: Schedule, t: float) -> None:
    assert float(schedule.time(schedule(times(t)).logsnr)) == pytest.approx(t, abs=1e-11)


@every_schedule
def test_times_of_examples_and_of_frames(schedule: Schedule) -> None:
    t = torch.rand(2, 5, generator=torch.Generator().manual_seed(0))
    level = schedule(t)
    assert [value.dtype for value in level] == [torch.float64] * 3 and level.logsnr.shape == (2, 5)
    for frame in range(5):
        column = schedule(t[:, frame])
        assert all(torch.equal(value[:, frame], one) for value, one in zip(level, column, strict=True))
    assert schedule.time(level.logsnr).shape == (2, 5)
    outside = schedule.time(times(-55.0, 55.0))
    assert outside[0] > 1 and outside[1] < 0


@every_schedule
def test_round_trip_through_json(schedule: Schedule) -> None:
    value = schedule.to_json()
    assert value["type"] == type(schedule).kind()
    assert Schedule.from_json(value) == schedule


def test_steps_of_edm() -> None:
    """sigma_i = (sigma_max^(1/rho) + i / (N - 1) (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho, i = 0 to N - 1."""
    count, high, low = 18, 80.0, 0.002
    expected = [(high ** (1 / 7) + i / (count - 1) * (low ** (1 / 7) - high ** (1 / 7))) ** 7 for i in range(count)]
    level = Karras()(torch.linspace(1, 0, count, dtype=torch.float64))
    assert (level.sigma / level.alpha).tolist() == pytest.approx(expected, rel=1e-9)
    assert expected[1] == pytest.approx(57.586, abs=1e-3)
    linear = Karras(rho=1, sigma_min=1, sigma_max=3)(times(0.5))
    assert float(linear.sigma / linear.alpha) == pytest.approx(2, rel=1e-12)


@settings(deadline=None, max_examples=25)
@given(t=st.floats(0, 1), seed=st.integers(0, 99))
def test_v_is_the_preconditioning_of_edm(t: float, seed: int) -> None:
    """Karras et al. 2022, Tab. 1, for data of unit variance; their network's output is -v."""
    z, output = torch.randn(2, 1, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    level = Karras(sigma_max=700)(times(t))
    sigma = float(level.sigma / level.alpha)
    skip, out, scale = 1 / (sigma**2 + 1), sigma / math.sqrt(sigma**2 + 1), 1 / math.sqrt(sigma**2 + 1)
    noised = z / level.alpha  # x + sigma n
    torch.testing.assert_close(scale * noised, z, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(x_from("v", -output, z, level), skip * noised + out * output, rtol=1e-9, atol=1e-9)


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"sigma_min: expected a number below sigma_max = 0\.002, got 0\.002"):
        Karras(sigma_max=0.002)
    with pytest.raises(ValueError, match="rho: expected at least 1"):
        Karras(rho=0)
    with pytest.raises(ValueError, match="unknown schedule 'karas'; did you mean 'karras'"):
        Schedule.from_json({"type": "karas"})


def stage(**changed: object) -> StageSpec:
    shape = VideoShape(frames=1, height=4, width=4, fps=1)
    network = VideoUNetConfig(text_width=4, embedding=8, head=4, levels=(Level(width=4),))
    return StageSpec(name="base", shape=shape, network=network, **changed)  # type: ignore[arg-type]


def test_stages_have_any_schedule() -> None:
    assert stage().schedule == Cosine()
    made = stage(schedule=Karras(sigma_max=700))
    wanted = {"type": "karras", "sigma_min": 0.002, "sigma_max": 700.0, "rho": 7.0, "reaches_least": False}
    assert made.to_json()["schedule"] == wanted
    assert StageSpec.from_json(made.to_json()) == made
    assert stage(schedule="karras").schedule == Karras()


def test_schedules_without_a_type_are_the_cosine() -> None:
    """As every stage was written before there were others."""
    old = stage(schedule=Cosine(shift=-4.5)).to_json()
    del old["schedule"]["type"]
    assert StageSpec.from_json(old).schedule == Cosine(shift=-4.5)
    old["schedule"]["shft"] = 1.0
    with pytest.raises(ValueError, match="schedule: Cosine: unknown field 'shft'; did you mean 'shift'"):
        StageSpec.from_json(old)


def test_a_level_is_that_of_its_noise_to_signal() -> None:
    got = Karras()(times(0.3))
    expected = NoiseLevel.variance_preserving(got.logsnr)
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


@pytest.mark.parametrize("sampler", [kind() for kind in Sampler.every()], ids=Sampler.names())
def test_every_sampler_takes_a_last_step_from_the_least_noise_to_none(sampler: Sampler) -> None:
    """Of data N(0, 1), whose denoiser is alpha z, x_hat is finite and of about that variance."""
    schedule = Karras(sigma_min=0.002, sigma_max=80.0, reaches_least=True)
    levels = [schedule(t.expand(1)) for t in schedule.times(40)]
    shape, draw = (1, 3, 2, 20, 20), torch.Generator().manual_seed(0)

    def noise(step: int) -> Tensor:
        return torch.randn(shape, generator=draw, dtype=torch.float64)

    *_, last = sampler(lambda z, level: float(level.alpha) * z, noise(0), levels, noise=noise)
    assert last.x_hat.isfinite().all() and 0.7 < float(last.x_hat.std()) < 1.4
