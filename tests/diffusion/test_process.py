"""The forward process and its conditionals: tabulated values, composition, and Bayes' rule."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.prediction import eps_from_x, v_from_x
from zoetrope.diffusion.process import diffuse, onward, posterior, renoise, transition_variance
from zoetrope.schedules.cosine import Cosine

ordered = st.lists(st.floats(0.01, 0.99), min_size=3, max_size=3, unique=True).map(sorted)


def at(t: float) -> NoiseLevel:
    return Cosine()(torch.tensor([t], dtype=torch.float64))


def row(*values: float) -> Tensor:
    return torch.tensor([values], dtype=torch.float64)


def test_tabulated_kernels() -> None:
    s, t = at(0.1), at(0.3)
    x, z = row(0.7), row(0.03349011129715507)
    mean, variance = posterior(z, x, s, t)
    large = transition_variance(s, t)
    assert float(torch.exp(t.logsnr - s.logsnr)) == pytest.approx(0.09666258998588174, abs=1e-12)
    assert float(t.alpha / s.alpha) == pytest.approx(0.9021098752133377, abs=1e-12)
    assert float(large) == pytest.approx(0.18619777304257623, abs=1e-12)
    assert float(variance) == pytest.approx(0.02211637962602977, abs=1e-12)
    assert float(mean) == pytest.approx(0.628136007832897, abs=1e-12)
    stds = {0: 0.14871576791325716, 0.3: 0.20471331213064206, 0.5: 0.25332154586868305, 1: 0.4315063997701265}
    for gamma, std in stds.items():
        assert float((variance ** (1 - gamma) * large**gamma).sqrt()) == pytest.approx(std, abs=1e-12)


def test_tabulated_ddim_step_in_two_forms() -> None:
    s, t = at(0.1), at(0.3)
    x, z = row(0.7), row(0.03349011129715507)
    by_noise = diffuse(x, eps_from_x(x, z, t), s)
    turn = torch.atan2(s.sigma, s.alpha) - torch.atan2(t.sigma, t.alpha)
    by_angle = turn.cos() * z + turn.sin() * v_from_x(x, z, t)
    assert float(by_noise) == pytest.approx(0.4879664217382332, abs=1e-12)
    assert float(by_angle) == pytest.approx(0.4879664217382332, abs=1e-12)


@settings(deadline=None, max_examples=25)
@given(times=ordered)
def test_transition_variance_is_what_is_missing(times: list[float]) -> None:
    s, t = at(times[0]), at(times[2])
    expected = t.sigma**2 - (t.alpha / s.alpha) ** 2 * s.sigma**2
    torch.testing.assert_close(transition_variance(s, t), expected, rtol=1e-9, atol=1e-13)


def test_renoise_is_a_step_of_the_forward_process() -> None:
    s, t = at(0.1), at(0.3)
    z = renoise(row(2.0), row(-1.0), s, t)
    assert float(z) == pytest.approx(0.9021098752133377 * 2 - 0.4315063997701265, abs=1e-12)


@settings(deadline=None, max_examples=25)
@given(times=ordered)
def test_renoise_composes(times: list[float]) -> None:
    r, s, t = map(at, times)
    zero, one = row(0.0), row(1.0)
    gain = renoise(renoise(one, zero, r, s), zero, s, t)
    first, second = renoise(renoise(zero, one, r, s), zero, s, t), renoise(zero, one, s, t)
    torch.testing.assert_close(gain, renoise(one, zero, r, t), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(first**2 + second**2, renoise(zero, one, r, t) ** 2, rtol=1e-9, atol=1e-12)


@settings(deadline=None, max_examples=25)
@given(times=ordered)
def test_renoise_leads_from_marginal_to_marginal(times: list[float]) -> None:
    s, t = at(times[0]), at(times[2])
    zero, one = row(0.0), row(1.0)
    gain, spread = renoise(one, zero, s, t), renoise(zero, one, s, t)
    torch.testing.assert_close(gain[:, 0] * s.alpha, t.alpha, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close((gain[:, 0] * s.sigma) ** 2 + spread[:, 0] ** 2, t.sigma**2, rtol=1e-9, atol=1e-12)


@settings(deadline=None, max_examples=25)
@given(times=ordered, x=st.floats(-2, 2), z=st.floats(-3, 3))
def test_posterior_is_bayes(times: list[float], x: float, z: float) -> None:
    s, t = at(times[0]), at(times[2])
    # z_s ~ N(alpha_s x, sigma_s^2) seen through z_t = (alpha_t / alpha_s) z_s + noise: precisions add.
    gain, noise = t.alpha / s.alpha, t.sigma**2 - (t.alpha / s.alpha) ** 2 * s.sigma**2
    precision = 1 / s.sigma**2 + gain**2 / noise
    expected = (s.alpha * x / s.sigma**2 + gain * z / noise) / precision
    mean, variance = posterior(row(z), row(x), s, t)
    torch.testing.assert_close(variance, 1 / precision, rtol=1e-8, atol=1e-14)
    torch.testing.assert_close(mean[:, 0], expected, rtol=1e-8, atol=1e-10)


def test_posterior_where_every_axis_is_equal() -> None:
    draw = torch.Generator().manual_seed(0)
    z, x = (torch.randn(3, 3, 3, 3, 3, dtype=torch.float64, generator=draw) for _ in range(2))
    schedule = Cosine()
    s, t = schedule(torch.tensor([0.1, 0.2, 0.3])), schedule(torch.tensor([0.4, 0.6, 0.8]))
    mean, variance = posterior(z, x, s, t)
    for i in range(3):
        own = [NoiseLevel(*(value[i : i + 1] for value in level)) for level in (s, t)]
        alone, spread = posterior(z[i : i + 1], x[i : i + 1], *own)
        torch.testing.assert_close(mean[i : i + 1], alone, rtol=0, atol=1e-14)
        torch.testing.assert_close(variance[i : i + 1], spread, rtol=0, atol=1e-14)


@settings(deadline=None, max_examples=25)
@given(logsnr=st.floats(-40, 40), seed=st.integers(0, 99))
def test_kernels_from_a_level_to_itself_are_the_identity(logsnr: float, seed: int) -> None:
    """Bitwise, and for exact data too, where sigma is 0."""
    z, other = torch.randn(2, 2, 3, 4, 1, 1, generator=torch.Generator().manual_seed(seed))
    level = NoiseLevel.variance_preserving(torch.full((2, 4), logsnr))
    for place, value in enumerate((1, 0, torch.inf)):
        level[place][:, 1] = value
    mean, variance = posterior(z, other, level, level)
    assert torch.equal(mean, z) and (variance == 0).all() and (transition_variance(level, level) == 0).all()
    assert torch.equal(onward(z, other, level, level), z)
    assert torch.equal(renoise(z, other, level, level), z)


def test_kernels_of_frames_are_those_of_each_alone() -> None:
    draw = torch.Generator().manual_seed(0)
    z, x = (torch.randn(4, 4, 4, 4, 4, dtype=torch.float64, generator=draw) for _ in range(2))
    u = torch.rand(2, 4, 4, dtype=torch.float64, generator=draw).sort(0).values
    s, t = Cosine()(u[0]), Cosine()(u[1])
    mean, variance = posterior(z, x, s, t)
    for frame in range(4):
        own = [NoiseLevel(*(value[:, frame] for value in level)) for level in (s, t)]
        one = slice(frame, frame + 1)
        alone, spread = posterior(z[:, :, one], x[:, :, one], *own)
        assert torch.equal(mean[:, :, one], alone) and torch.equal(variance[:, frame], spread)
        assert torch.equal(onward(z, x, t, s)[:, :, one], onward(z[:, :, one], x[:, :, one], own[1], own[0]))
        assert torch.equal(renoise(z, x, s, t)[:, :, one], renoise(z[:, :, one], x[:, :, one], *own))
