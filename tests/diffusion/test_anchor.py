"""The answer of super-resolution that has learnt nothing yet."""

import pytest
import torch
from torch import Tensor

from zoetrope.diffusion.anchor import SEEN, anchor, departure
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.prediction import v_from, x_from
from zoetrope.diffusion.process import diffuse

CLEAN = torch.full((1,), 40.0)


def level(logsnr: float) -> NoiseLevel:
    return NoiseLevel.variance_preserving(torch.tensor([logsnr]))


def videos(count: int) -> tuple[Tensor, ...]:
    """Pixels from -1 to 1, and noise."""
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(1, 3, 4, 32, 32, generator=draw, dtype=torch.float64) * 2 - 1
    return x, *torch.randn(count, 1, 3, 4, 32, 32, generator=draw, dtype=torch.float64).clamp(-3, 3)


@pytest.mark.parametrize("logsnr", [-10.0, -2.0, 0.0, 3.0, 9.0])
def test_a_video_that_is_as_it_was_given_is_answered_exactly(logsnr: float) -> None:
    x, eps = videos(1)
    v = v_from(x, eps, level(logsnr))
    answer = anchor(diffuse(x, eps, level(logsnr)), x, level(logsnr).logsnr, CLEAN)
    usual = v.abs() < 1
    assert usual.any() and (answer - v)[usual].abs().max() < 1e-4
    assert (answer / v)[v.abs() > 0.1].min() > 0.98  # three deviations are still usual


def test_noise_on_what_is_given_is_weighed_against_noise_on_z() -> None:
    x, one, other = videos(2)
    for given in (0.0, 1.0, 2.0):
        z, low_res = diffuse(x, one, level(1.0)), diffuse(x, other, level(given))
        v = anchor(z, low_res, level(1.0).logsnr, level(given).logsnr)
        errors = (x_from("v", v, z, level(1.0)) - x).square().mean().item()
        alone = [1 / level(logsnr).logsnr.exp().item() for logsnr in (1.0, given)]
        best = 1 / sum(1 / variance for variance in alone)  # of two independent measurements
        assert errors == pytest.approx(best, rel=0.06)


def test_what_differs_is_not_taken_for_noise() -> None:
    x, eps, other = videos(2)
    z = diffuse(x, eps, level(16.0))
    answer = anchor(z, other, level(16.0).logsnr, CLEAN)
    apart = (x - other).abs() > 0.1  # three hundred times the noise
    assert apart.any() and answer[apart].abs().max() < 1e-6


def test_little_departures_are_less_and_large_ones_are_as_they_were_said() -> None:
    delta = torch.linspace(-2, 2, 4001, dtype=torch.float64)
    made = departure(delta)
    little, large = delta.abs() < SEEN / 10, delta.abs() > 10 * SEEN
    assert (made[little].abs() <= 0.12 * delta[little].abs()).all()
    assert (made[large] / delta[large] > 0.99).all()
    assert (made.diff() > 0).all() and torch.allclose(made, -made.flip(0), atol=1e-12)


def test_frames_with_levels_of_their_own() -> None:
    x, eps, _ = videos(2)
    levels = NoiseLevel.variance_preserving(torch.tensor([[-3.0, 0.0, 5.0, 60.0]]))  # the last one is known
    z = diffuse(x, eps, levels)
    answer = anchor(z, x, levels.logsnr, torch.full((1,), 3.0))
    assert answer.isfinite().all()
    for frame in range(4):
        one = slice(frame, frame + 1)
        alone = anchor(z[:, :, one], x[:, :, one], levels.logsnr[:, frame], torch.full((1,), 3.0))
        assert torch.equal(answer[:, :, one], alone)
    torch.testing.assert_close(x_from("v", answer, z, levels)[:, :, 3], x[:, :, 3], rtol=0, atol=1e-9)
