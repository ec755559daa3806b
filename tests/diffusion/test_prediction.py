"""x, eps, v and flow describe the same thing, on shapes where a wrong broadcast would go unseen."""

from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.prediction import TABLE, Prediction, eps_from_x, output_from_x, target, v_from, v_from_x, x_from
from zoetrope.diffusion.process import diffuse
from zoetrope.schedules.cosine import Cosine

KINDS: tuple[Prediction, ...] = get_args(Prediction)


def pair(seed: int, *shape: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(shape, dtype=torch.float64, generator=draw) for _ in range(2))  # type: ignore[return-value]


def test_tabulated_conversions() -> None:
    level = Cosine()(torch.tensor([0.3], dtype=torch.float64))
    x, eps = torch.tensor([[0.7]], dtype=torch.float64), torch.tensor([[-1.3]], dtype=torch.float64)
    z = diffuse(x, eps, level)
    expected = (1.3484611685993377, 0.8909982795867335, 0.45400668031812175, 0.03349011129715507, -1.4761024396854387)
    got = (level.logsnr, level.alpha, level.sigma, z, v_from(x, eps, level))
    assert [float(value) for value in got] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_round_trip_where_every_axis_is_equal(kind: Prediction) -> None:
    x, eps = pair(0, 4, 4, 4, 4, 4)  # B == C == F == H == W: a level broadcast over the wrong axis changes values
    level = Cosine()(torch.tensor([0.05, 0.3, 0.6, 0.9], dtype=torch.float64))
    z = diffuse(x, eps, level)
    x_hat = x_from(kind, target(kind, x, eps, level), z, level)
    torch.testing.assert_close(x_hat, x, rtol=0, atol=1e-12)
    torch.testing.assert_close(eps_from_x(x_hat, z, level), eps, rtol=0, atol=1e-11)
    torch.testing.assert_close(v_from_x(x_hat, z, level), v_from(x, eps, level), rtol=0, atol=1e-11)
    for row in range(4):
        alpha, sigma = float(level.alpha[row]), float(level.sigma[row])
        torch.testing.assert_close(z[row], alpha * x[row] + sigma * eps[row], rtol=0, atol=1e-14)


@settings(deadline=None, max_examples=25)
@given(t=st.floats(0.01, 0.99), shift=st.floats(-3, 3), seed=st.integers(0, 999), kind=st.sampled_from(KINDS))
def test_any_output_is_consistent_with_its_x(t: float, shift: float, seed: int, kind: Prediction) -> None:
    output, z = pair(seed, 1, 3)
    level = Cosine(shift=shift)(torch.tensor([t], dtype=torch.float64))
    x_hat = x_from(kind, output, z, level)
    eps_hat = eps_from_x(x_hat, z, level)
    torch.testing.assert_close(diffuse(x_hat, eps_hat, level), z, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(target(kind, x_hat, eps_hat, level), output, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(output_from_x(kind, x_hat, z, level), output, rtol=1e-8, atol=1e-8)


@settings(deadline=None, max_examples=25)
@given(alpha=st.floats(0.1, 2), sigma=st.floats(0.1, 80), seed=st.integers(0, 999))
def test_rules_hold_without_preserved_variance(alpha: float, sigma: float, seed: int) -> None:
    x, eps = pair(seed, 1, 3)
    a, s = (torch.tensor([value], dtype=torch.float64) for value in (alpha, sigma))
    level = NoiseLevel(a, s, 2 * torch.log(a / s))
    z = diffuse(x, eps, level)
    for kind in KINDS:
        x_hat = x_from(kind, target(kind, x, eps, level), z, level)
        torch.testing.assert_close(x_hat, x, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(v_from_x(x, z, level), v_from(x, eps, level), rtol=1e-9, atol=1e-9)


def test_the_table_has_a_row_for_each() -> None:
    assert tuple(TABLE) == KINDS


@settings(deadline=None, max_examples=25)
@given(alpha=st.floats(0.1, 2), sigma=st.floats(0.1, 80))
def test_flow_is_the_velocity_from_data_to_noise(alpha: float, sigma: float) -> None:
    """Output eps - x, x_hat = (z - sigma output) / (alpha + sigma), and on the straight path the derivative of z."""
    x, eps = pair(0, 1, 3)
    a, s = (torch.tensor([value], dtype=torch.float64) for value in (alpha, sigma))
    level = NoiseLevel(a, s, 2 * torch.log(a / s))
    z, output = diffuse(x, eps, level), target("flow", x, eps, level)
    assert torch.equal(output, eps - x)
    torch.testing.assert_close(x_from("flow", output, z, level), (z - sigma * output) / (alpha + sigma))
    torch.testing.assert_close(output_from_x("flow", x, z, level), (z - (alpha + sigma) * x) / sigma)
    straight = [NoiseLevel(1 - t, t, torch.log((1 - t) ** 2 / t**2)) for t in (s / 100, s / 100 + 1e-3)]
    moved = diffuse(x, eps, straight[1]) - diffuse(x, eps, straight[0])
    torch.testing.assert_close(moved / 1e-3, output, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_frames_with_levels_of_their_own(kind: Prediction) -> None:
    x, eps = pair(0, 3, 3, 3, 3, 3)
    level = Cosine()(torch.rand(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
    z = diffuse(x, eps, level)
    output = target(kind, x, eps, level)
    torch.testing.assert_close(x_from(kind, output, z, level), x, rtol=0, atol=1e-11)
    for frame in range(3):
        own, one = NoiseLevel(*(value[:, frame] for value in level)), slice(frame, frame + 1)
        assert torch.equal(z[:, :, one], diffuse(x[:, :, one], eps[:, :, one], own))
        assert torch.equal(output[:, :, one], target(kind, x[:, :, one], eps[:, :, one], own))


def test_v_keeps_x_precise_in_float32_at_pure_noise() -> None:
    x, eps = (value.float() for value in pair(1, 1, 10_000))
    level = Cosine()(torch.ones(1, dtype=torch.float64))
    z = diffuse(x, eps, level)
    error = {kind: float((x_from(kind, target(kind, x, eps, level), z, level) - x).abs().max()) for kind in KINDS}
    assert max(error["v"], error["flow"]) < 1e-6 < 1e-4 < error["eps"]


def test_one_level_for_two_examples_is_refused() -> None:
    x, eps = pair(0, 2, 3)
    with pytest.raises(ValueError, match="one value per example"):
        diffuse(x, eps, Cosine()(torch.tensor([0.3])))
