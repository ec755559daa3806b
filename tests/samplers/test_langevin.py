"""The Langevin corrector on Gaussian data, whose laws are known in closed form."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.tensors import expand_like
from zoetrope.samplers import CORRECTIONS, Sampler
from zoetrope.samplers.ancestral import Ancestral
from zoetrope.samplers.langevin import Langevin
from zoetrope.schedules.cosine import Cosine


def gaussian(variance: float) -> Denoise:
    """The exact denoiser of N(0, variance)."""

    def run(z: Tensor, level: NoiseLevel) -> Tensor:
        a, s = expand_like(level.alpha, z), expand_like(level.sigma, z)
        return variance * a / (a**2 * variance + s**2) * z

    return run


def at(logsnr: float) -> NoiseLevel:
    """The variance-preserving level of this logsnr, of two examples."""
    value = torch.full((2,), logsnr, dtype=torch.float64)
    return NoiseLevel(value.sigmoid().sqrt(), (-value).sigmoid().sqrt(), value)


def settled(sampler: Langevin, variance: float, logsnr: float) -> float:
    """The variance at which z settles where steps change the level by next to nothing."""
    levels = [at(logsnr), at(logsnr + 1e-9), at(logsnr + 5)]
    start = torch.tensor([[1.0], [0.0]], dtype=torch.float64)
    nothing, unit = torch.zeros_like(start), start.flip(0)

    def noise(step: int) -> Tensor:
        return (unit if step >= CORRECTIONS else nothing).clone()

    first, *_ = sampler(gaussian(variance), start, levels, noise=noise)
    kept, added = first.z[:, 0].tolist()
    return added**2 / (1 - kept**2)


def test_unit_variance_settles_at_the_published_bias() -> None:
    assert settled(Langevin(), 1.0, -60.0) == pytest.approx(1.025641, abs=1e-6)


@pytest.mark.parametrize("delta", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("logsnr", [-10.0, -0.6, 3.0])
@pytest.mark.parametrize("variance", [0.25, 1.0, 4.0])
def test_where_correction_settles(variance: float, logsnr: float, delta: float) -> None:
    noise = 1 / (1 + math.exp(logsnr))
    marginal = (1 - noise) * variance + noise
    expected = marginal / (1 - delta * noise / (4 * marginal))
    assert settled(Langevin(delta=delta), variance, logsnr) == pytest.approx(expected, rel=1e-6)


def variance_made(sampler: Sampler, variance: float, steps: int) -> float:
    """Of what comes out, exactly: the sampler is affine in its start and in each noise, which have a row each."""
    rows = 1 + 2 * steps
    start = torch.zeros(rows, 1, dtype=torch.float64)
    start[0] = 1

    def noise(step: int) -> Tensor:
        own = torch.zeros(rows, 1, dtype=torch.float64)
        own[1 + steps + step - CORRECTIONS if step >= CORRECTIONS else 1 + step] = 1
        return own

    levels = [Cosine()(t.expand(rows)) for t in torch.linspace(1, 0, steps + 1, dtype=torch.float64)]
    for step in sampler(gaussian(variance), start, levels, noise=noise):
        made = step.x_hat
    return float(made.square().sum())


@pytest.mark.parametrize("gamma", [0.0, 0.3])
@pytest.mark.parametrize("variance", [1.0, 0.25, 0.04])
def test_correction_brings_the_law_nearer(variance: float, gamma: float) -> None:
    """Ancestral steps with little noise make too little variance, and the corrector gives some of it back."""
    errors = []
    for steps in (16, 64, 256):
        plain = variance_made(Ancestral(gamma=gamma), variance, steps) / variance - 1
        corrected = variance_made(Langevin(gamma=gamma), variance, steps) / variance - 1
        assert abs(corrected) < abs(plain)
        errors.append(abs(corrected))
    assert errors[2] < errors[1] < errors[0]


def test_calls_and_noises_of_each_step() -> None:
    """Two calls of the denoiser, at the step's start and its end, and two noises; in the last step one and none."""
    levels = [Cosine()(t.expand(1)) for t in torch.linspace(1, 0, 5, dtype=torch.float64)]
    called: list[float] = []
    drawn: list[int] = []

    def denoise(z: Tensor, level: NoiseLevel) -> Tensor:
        called.append(float(level.logsnr))
        return 0.5 * z

    def noise(step: int) -> Tensor:
        drawn.append(step)
        return torch.ones(1, 1, dtype=torch.float64)

    steps = sum(1 for _ in Langevin()(denoise, noise(-1), levels, noise=noise))
    at_levels = [float(level.logsnr) for level in levels]
    assert steps == 4
    assert called == [x for pair in itertools.pairwise(at_levels[:4]) for x in pair] + at_levels[3:4]
    assert len(set(drawn)) == len(drawn) == 1 + 2 * 3


def test_the_equation() -> None:
    """z - (delta / 2) sigma eps_hat + sqrt(delta) sigma n, with eps_hat that of the corrected z."""
    levels = [Cosine()(t.expand(1)) for t in torch.linspace(1, 0, 4, dtype=torch.float64)]
    draws = {step: torch.randn(1, 3, dtype=torch.float64) for step in (0, 1, CORRECTIONS, CORRECTIONS + 1)}
    start, exact = torch.randn(1, 3, dtype=torch.float64), gaussian(0.3)
    plain = next(iter(Ancestral(gamma=0.7)(exact, start.clone(), levels, noise=draws.__getitem__))).z
    got = next(iter(Langevin(gamma=0.7, delta=0.2)(exact, start.clone(), levels, noise=draws.__getitem__))).z
    a, s = float(levels[1].alpha), float(levels[1].sigma)
    eps = (plain - a * exact(plain, levels[1])) / s
    torch.testing.assert_close(got, plain - 0.1 * s * eps + math.sqrt(0.2) * s * draws[CORRECTIONS])
