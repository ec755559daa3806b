"""The stochastic sampler with perfect students, where it loses nothing, and with exact denoisers, which it hurts."""

import math

import pytest
import torch
from torch import Tensor

from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.tensors import expand_like
from zoetrope.samplers.stochastic import Stochastic
from zoetrope.schedules.cosine import Cosine

COUNTS = (4, 8, 16, 32, 64, 128, 256)
LOSS = {
    (0.0, 1.0): (-0.394, -0.242, -0.136, -0.072, -0.037, -0.019, -0.0096),
    (0.5, 0.25): (-0.451, -0.332, -0.202, -0.112, -0.059, -0.030, -0.015),
}
gaussians = pytest.mark.parametrize(("mean", "variance"), LOSS)


def denoiser(mean: float, variance: float) -> Denoise:
    """The exact denoiser of N(mean, variance)."""

    def run(z: Tensor, level: NoiseLevel) -> Tensor:
        a, s = expand_like(level.alpha, z), expand_like(level.sigma, z)
        return mean + variance * a / (a**2 * variance + s**2) * (z - a * mean)

    return run


def student(mean: float, variance: float, steps: int) -> Denoise:
    """The x_hat with which one step of DDIM over 2 / steps follows the exact flow; the last is the flow's very end."""

    def run(z: Tensor, level: NoiseLevel) -> Tensor:
        place = (Cosine().time(level.logsnr) * steps).round()
        end = Cosine()(((place - 2) / steps).clamp(min=0))
        if float(place[0]) == 1:
            end = NoiseLevel(torch.ones_like(place), torch.zeros_like(place), torch.full_like(place, math.inf))
        spread = [(value.alpha**2 * variance + value.sigma**2).sqrt() for value in (level, end)]
        z_end = expand_like(end.alpha, z) * mean + expand_like(spread[1] / spread[0], z) * (
            z - expand_like(level.alpha, z) * mean
        )
        sine = expand_like(level.sigma * end.alpha - level.alpha * end.sigma, z)
        return (expand_like(level.sigma, z) * z_end - expand_like(end.sigma, z) * z) / sine

    return run


def moments(denoise: Denoise, steps: int) -> tuple[float, float]:
    """Mean and standard deviation of what comes out, exactly: the sampler is affine in the start and in each noise."""
    batch = 2 + steps  # nothing, the start, and the noise of each step
    start = torch.zeros(batch, 1, dtype=torch.float64)
    start[1] = 1

    def noise(step: int) -> Tensor:
        own = torch.zeros(batch, 1, dtype=torch.float64)
        own[2 + step] = 1
        return own

    levels = [Cosine()(t.expand(batch)) for t in torch.linspace(1, 0, steps + 1, dtype=torch.float64)]
    for step in Stochastic()(denoise, start, levels, noise=noise):
        out = step.x_hat[:, 0]
    return float(out[0]), float((out[1:] - out[0]).square().sum().sqrt())


@gaussians
@pytest.mark.parametrize("steps", [1, 2, 3, *COUNTS])
def test_perfect_students_are_sampled_exactly(mean: float, variance: float, steps: int) -> None:
    got_mean, std = moments(student(mean, variance, steps), steps)
    # The flow starts at N(alpha_1 mean, ...) and the sampler at N(0, 1), whose means differ by 2e-5.
    assert std / math.sqrt(variance) - 1 == pytest.approx(0, abs=1e-8)
    assert got_mean == pytest.approx(mean, abs=2e-5)


@gaussians
def test_it_is_only_for_distilled_networks(mean: float, variance: float) -> None:
    for steps, loss in zip(COUNTS, LOSS[mean, variance], strict=True):
        _, std = moments(denoiser(mean, variance), steps)
        assert std / math.sqrt(variance) - 1 == pytest.approx(loss, abs=6e-4), steps


def test_reference_value_for_unit_variance() -> None:
    assert moments(denoiser(0.0, 1.0), 8)[1] == pytest.approx(0.758001543574137, abs=1e-6)
