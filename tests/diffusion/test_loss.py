"""The four weights of the loss, and that they do not depend on what the network predicts."""

from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.loss import LossWeight, loss_weight, output_weight, squared_error
from zoetrope.diffusion.prediction import Prediction, eps_from_x, target, v_from_x
from zoetrope.diffusion.process import diffuse
from zoetrope.schedules.cosine import Cosine

WEIGHTS: tuple[LossWeight, ...] = ("eps", "v", "snr_trunc", "x")
KINDS: tuple[Prediction, ...] = get_args(Prediction)


def at(t: float) -> NoiseLevel:
    return Cosine()(torch.tensor([t], dtype=torch.float64))


@pytest.mark.parametrize(
    ("kind", "value"),
    [("x", 0.01), ("eps", 0.038514941680186474), ("v", 0.048514941680186476), ("snr_trunc", 0.038514941680186474)],
)
def test_tabulated_losses_of_an_error_of_a_tenth(kind: LossWeight, value: float) -> None:
    assert float(loss_weight(kind, at(0.3))) * 0.1**2 == pytest.approx(value, abs=1e-12)


@settings(deadline=None, max_examples=25)
@given(t=st.floats(0.001, 0.999), error=st.floats(0.01, 1))
def test_weights_are_errors_of_eps_and_v(t: float, error: float) -> None:
    level = at(t)
    x, eps = (torch.full((1, 1), value, dtype=torch.float64) for value in (0.3, -0.8))
    z = diffuse(x, eps, level)
    x_hat = x + error
    of_eps = float((eps_from_x(x_hat, z, level) - eps) ** 2)
    of_v = float((v_from_x(x_hat, z, level) - target("v", x, eps, level)) ** 2)
    assert float(loss_weight("eps", level)) * error**2 == pytest.approx(of_eps, rel=1e-6)
    assert float(loss_weight("v", level)) * error**2 == pytest.approx(of_v, rel=1e-6)
    assert float(loss_weight("snr_trunc", level)) * error**2 == pytest.approx(max(error**2, of_eps), rel=1e-6)
    assert float(level.alpha) ** 2 * of_v == pytest.approx(of_eps, rel=1e-6)


@pytest.mark.parametrize("weight", WEIGHTS)
@settings(deadline=None, max_examples=25)
@given(t=st.floats(0.001, 0.999), error=st.floats(0.01, 1))
def test_the_loss_does_not_depend_on_what_is_predicted(weight: LossWeight, t: float, error: float) -> None:
    level = at(t)
    x, eps = (torch.full((1, 1), value, dtype=torch.float64) for value in (0.3, -0.8))
    x_hat = x + error
    eps_hat = eps_from_x(x_hat, diffuse(x, eps, level), level)
    for kind in KINDS:
        wrong = target(kind, x_hat, eps_hat, level) - target(kind, x, eps, level)
        loss = float(output_weight(weight, kind, level)) * float(wrong**2)
        assert loss == pytest.approx(float(loss_weight(weight, level)) * error**2, rel=1e-6)


@pytest.mark.parametrize("weight", WEIGHTS)
def test_weights_on_v_are_bounded_at_the_ends_of_time(weight: LossWeight) -> None:
    for t in (0.0, 1.0):
        assert 0 <= float(output_weight(weight, "v", at(t))) <= 1 + 1e-9
    assert float(output_weight("v", "v", at(0.0))) == pytest.approx(1, rel=1e-12)
    assert float(output_weight("eps", "v", at(1.0))) == pytest.approx(2.0611536e-9, rel=1e-6)  # alpha^2


def test_weights_hold_without_preserved_variance() -> None:
    alpha, sigma = torch.tensor([0.5], dtype=torch.float64), torch.tensor([2.0], dtype=torch.float64)
    level = NoiseLevel(alpha, sigma, 2 * torch.log(alpha / sigma))
    # x_hat = (alpha z - sigma v) / (alpha^2 + sigma^2): an error of 1 in v is one of sigma / 4.25 in x.
    assert float(output_weight("x", "v", level)) == pytest.approx((2 / 4.25) ** 2, rel=1e-12)


@settings(deadline=None, max_examples=25)
@given(alpha=st.floats(0.1, 2), sigma=st.floats(0.1, 80))
def test_weight_of_flow_without_preserved_variance(alpha: float, sigma: float) -> None:
    a, s = (torch.tensor([value], dtype=torch.float64) for value in (alpha, sigma))
    level = NoiseLevel(a, s, 2 * torch.log(a / s))
    # x_hat = (z - sigma output) / (alpha + sigma).
    assert float(output_weight("x", "flow", level)) == pytest.approx((sigma / (alpha + sigma)) ** 2, rel=1e-12)


def test_every_frame_has_its_weight() -> None:
    draw = torch.Generator().manual_seed(0)
    output, wanted = (torch.randn(2, 3, 4, 2, 2, generator=draw) for _ in range(2))
    level = Cosine()(torch.rand(2, 4, generator=draw))
    weight = output_weight("snr_trunc", "v", level)
    assert weight.shape == (2, 4)
    got = squared_error(output, wanted, weight)
    expected = (weight.float()[:, None, :, None, None] * (output - wanted) ** 2).flatten(1).mean(1)
    torch.testing.assert_close(got, expected)
    same = torch.tensor([2.0, 3.0])
    torch.testing.assert_close(
        squared_error(output, wanted, same[:, None].expand(2, 4)), squared_error(output, wanted, same)
    )
    assert torch.equal(squared_error(output, wanted, same), same * squared_error(output, wanted))


def test_frames_without_a_loss_do_not_count() -> None:
    draw = torch.Generator().manual_seed(0)
    output, wanted = (torch.randn(3, 3, 4, 2, 2, generator=draw) for _ in range(2))
    counted = torch.tensor([[False, True, True, False], [True] * 4, [False] * 4])
    output[0, :, 0] = float("nan")  # of a known frame anything may be said
    weight = torch.rand(3, 4, generator=draw)
    got = squared_error(output.requires_grad_(), wanted, weight, counted)
    torch.testing.assert_close(got[:1], squared_error(output[:1, :, 1:3], wanted[:1, :, 1:3], weight[:1, 1:3]))
    torch.testing.assert_close(got[1:2], squared_error(output[1:2], wanted[1:2], weight[1:2]))
    assert got[2] == 0
    plain = squared_error(output[:, :, 1:], wanted[:, :, 1:], counted=counted[:, 1:])
    assert plain[2] == 0 and plain[0] == squared_error(output[:1, :, 1:3], wanted[:1, :, 1:3])[0]
    (gradient,) = torch.autograd.grad(squared_error(output[1:], wanted[1:], weight[1:], counted[1:]).sum(), output)
    assert gradient[2].abs().max() == 0 and gradient[1].abs().min() > 0


def test_squared_error_is_a_mean_for_each_example_in_float32() -> None:
    output = torch.zeros(2, 3, 2, 2, 2, dtype=torch.bfloat16)
    wanted = torch.stack([torch.full((3, 2, 2, 2), 2.0), torch.full((3, 2, 2, 2), 3.0)])
    got = squared_error(output, wanted)
    assert got.dtype == torch.float32
    assert got.tolist() == [4.0, 9.0]
