"""Samplers on data whose exact denoiser is known.

For Gaussian data every sampler is affine in its start and its noise, so that the mean and the covariance of what it
makes are read off exactly: run it once from each unit vector, once with each unit of noise, and no luck is involved.
"""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from zoetrope.diffusion.denoise import (
    Denoise,
    dynamically_thresholded,
    per_step,
    statically_thresholded,
)
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.process import diffuse
from zoetrope.guidance import combined
from zoetrope.guidance.oscillating import Oscillating
from zoetrope.guidance.text import TextGuidance
from zoetrope.samplers import Noise, Sampler
from zoetrope.samplers.ancestral import Ancestral
from zoetrope.samplers.ddim import DDIM
from zoetrope.samplers.dpmpp_2m import DPMpp2M
from zoetrope.samplers.heun import Heun
from zoetrope.schedules.cosine import Cosine

COUNTS = (8, 16, 32, 64, 128, 256)
ANGLE = math.atan(math.exp(10)) - math.atan(math.exp(-10))  # how far the schedule turns from t = 0 to t = 1
LOW = math.atan(math.exp(-10))

# Relative error of the standard deviation, for each variance of the data, sampler and number of steps.
ERRORS = {
    (1.0, "ddim"): (-1.438e-1, -7.432e-2, -3.783e-2, -1.909e-2, -9.592e-3, -4.807e-3),
    (1.0, "0"): (-2.089e-1, -1.202e-1, -6.597e-2, -3.505e-2, -1.821e-2, -9.322e-3),
    (1.0, "0.5"): (-1.251e-1, -6.726e-2, -3.538e-2, -1.829e-2, -9.343e-3, -4.733e-3),
    (1.0, "1"): (-1.922e-2, -4.819e-3, -1.207e-3, -3.023e-4, -7.585e-5, -1.910e-5),
    (0.25, "ddim"): (-1.773e-1, -9.215e-2, -4.708e-2, -2.381e-2, -1.198e-2, -6.006e-3),
    (0.25, "0"): (-2.577e-1, -1.601e-1, -9.361e-2, -5.211e-2, -2.797e-2, -1.463e-2),
    (0.25, "0.5"): (-1.260e-1, -7.097e-2, -3.929e-2, -2.116e-2, -1.112e-2, -5.744e-3),
    (0.25, "1"): (5.076e-2, 4.115e-2, 2.466e-2, 1.338e-2, 6.957e-3, 3.546e-3),
    (0.04, "ddim"): (-3.458e-1, -1.843e-1, -9.575e-2, -4.894e-2, -2.476e-2, -1.246e-2),
    (0.04, "0"): (-3.947e-1, -2.652e-1, -1.705e-1, -1.026e-1, -5.835e-2, -3.181e-2),
    (0.04, "0.5"): (-2.187e-1, -1.127e-1, -6.563e-2, -3.768e-2, -2.088e-2, -1.119e-2),
    (0.04, "1"): (2.731e-2, 9.549e-2, 6.910e-2, 4.020e-2, 2.158e-2, 1.117e-2),
    (4.0, "ddim"): (-1.772e-1, -9.213e-2, -4.708e-2, -2.381e-2, -1.197e-2, -6.005e-3),
    (4.0, "0"): (-2.154e-1, -1.188e-1, -6.274e-2, -3.236e-2, -1.648e-2, -8.323e-3),
    (4.0, "0.5"): (-1.678e-1, -8.962e-2, -4.634e-2, -2.359e-2, -1.191e-2, -5.986e-3),
    (4.0, "1"): (-1.111e-1, -5.687e-2, -2.870e-2, -1.441e-2, -7.216e-3, -3.611e-3),
}
# AR(1) frames: relative Frobenius error of the covariance, and error of the correlation of neighbouring frames.
VIDEO = {
    "ddim": (
        (0.3625, 0.0086),
        (0.1993, 0.0043),
        (0.1049, 0.0022),
        (0.0539, 0.0011),
        (0.0273, 0.0006),
        (0.0137, 0.0003),
    ),
    "0": ((0.4072, 0.0170), (0.2384, 0.0141), (0.1298, 0.0101), (0.0679, 0.0064), (0.0348, 0.0038), (0.0177, 0.0021)),
    "0.5": (
        (0.3437, -0.0062),
        (0.1947, -0.0026),
        (0.1036, -0.0005),
        (0.0535, 0.0002),
        (0.0272, 0.0002),
        (0.0137, 0.0002),
    ),
    "1": (
        (0.2666, -0.0392),
        (0.1461, -0.0260),
        (0.0763, -0.0143),
        (0.0390, -0.0074),
        (0.0197, -0.0038),
        (0.0099, -0.0019),
    ),
}


def sampler_of(name: str) -> Sampler:
    return DDIM() if name == "ddim" else Ancestral(gamma=float(name))


def levels_of(steps: int, batch: int, end: float = 0.0) -> list[NoiseLevel]:
    """The grid t = i / N, which may stop before t = 0."""
    times = torch.linspace(1, end, steps + 1, dtype=torch.float64)
    return [Cosine()(t.expand(batch)) for t in times]


def gaussian(mean: Tensor, covariance: Tensor) -> Denoise:
    """The exact denoiser of N(mean, covariance) for z (B, D)."""

    def run(z: Tensor, level: NoiseLevel) -> Tensor:
        a, s = float(level.alpha[0]), float(level.sigma[0])
        noisy = a**2 * covariance + s**2 * torch.eye(len(mean), dtype=torch.float64)
        return mean + a * torch.linalg.solve(noisy, (z - a * mean).T).T @ covariance.T

    return run


def no_noise(step: int) -> Tensor:
    """What a deterministic sampler must not ask for."""
    raise AssertionError(f"asked for noise in step {step}")


def last(sampler: Sampler, denoise: Denoise, z: Tensor, levels: list[NoiseLevel], noise: Noise) -> Tensor:
    for step in sampler(denoise, z, levels, noise=noise):
        x_hat = step.x_hat
    return x_hat


def moments(sampler: Sampler, mean: Tensor, covariance: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Mean (D,) and covariance (D, D) of what a sampler makes, to rounding.

    One batch holds the answer to zero noise, to each unit of the start, and to each unit of each step's noise.
    """
    size = len(mean)
    sources = steps if isinstance(sampler, Ancestral) else 1
    batch = 1 + size * sources
    start = torch.zeros(batch, size, dtype=torch.float64)
    start[1 : 1 + size] = torch.eye(size, dtype=torch.float64)

    def noise(step: int) -> Tensor:
        own = torch.zeros(batch, size, dtype=torch.float64)
        own[1 + size * (step + 1) : 1 + size * (step + 2)] = torch.eye(size, dtype=torch.float64)
        return own

    out = last(sampler, gaussian(mean, covariance), start, levels_of(steps, batch), noise)
    answers = out[1:] - out[0]
    return out[0], answers.T @ answers


@pytest.mark.parametrize(("variance", "name"), ERRORS)
def test_error_of_the_standard_deviation(variance: float, name: str) -> None:
    mean, covariance = torch.tensor([0.5], dtype=torch.float64), torch.tensor([[variance]], dtype=torch.float64)
    for steps, expected in zip(COUNTS, ERRORS[variance, name], strict=True):
        got_mean, got = moments(sampler_of(name), mean, covariance, steps)
        error = float(got.sqrt()) / math.sqrt(variance) - 1
        assert error == pytest.approx(expected, rel=6e-4), steps
        assert abs(float(got_mean) - 0.5) < 5e-5


def test_first_order_of_ddim() -> None:
    for variance in (1.0, 0.25, 0.04, 4.0):
        errors = [
            float(
                moments(
                    DDIM(), torch.zeros(1, dtype=torch.float64), torch.tensor([[variance]], dtype=torch.float64), n
                )[1]
            )
            / variance
            - 1
            for n in (64, 128, 256)
        ]
        assert 0.45 < errors[1] / errors[0] < 0.6
        assert 0.45 < errors[2] / errors[1] < 0.6


def test_closed_forms_for_unit_variance() -> None:
    zero, one = torch.zeros(1, dtype=torch.float64), torch.eye(1, dtype=torch.float64)
    for steps in COUNTS:
        turn = ANGLE / steps
        ddim = float(moments(DDIM(), zero, one, steps)[1].sqrt())
        assert ddim == pytest.approx(math.cos(turn) ** (steps - 1) * math.cos(turn + LOW), abs=1e-12)
        ancestral = float(moments(Ancestral(gamma=1), zero, one, steps)[1].sqrt())
        assert ancestral == pytest.approx(math.cos(turn + LOW), abs=1e-9)


def test_ddim_state_after_the_last_step() -> None:
    expected = (0.856247582654431, 0.9256847704354322, 0.9621699561523305, 0.9809083216056727, 0.9904088778682328)
    one = torch.ones(1, 1, dtype=torch.float64)
    exact = gaussian(torch.zeros(1, dtype=torch.float64), torch.eye(1, dtype=torch.float64))
    for steps, std in zip(COUNTS, expected, strict=False):
        state = [step.z for step in DDIM()(exact, one, levels_of(steps, 1), noise=lambda step: one)][-1]
        assert float(state) == pytest.approx(std, abs=1e-12)


def test_error_of_ddim_is_the_same_for_a_variance_and_its_inverse() -> None:
    one, gains = torch.ones(1, 1, dtype=torch.float64), []
    for variance in (0.25, 4.0):
        denoise = gaussian(torch.zeros(1, dtype=torch.float64), one * variance)
        state = [step.z for step in DDIM()(denoise, one, levels_of(32, 1), noise=no_noise)][-1]
        gains.append(float(state) / math.sqrt(variance))
    assert gains[0] == pytest.approx(gains[1], rel=1e-6)


def flow(z: float, mean: float, variance: float) -> float:
    """Where the exact probability flow carries z from t = 1 to t = 0."""
    levels = levels_of(1, 1)
    ends = [float(level.alpha**2 * variance + level.sigma**2) for level in levels]
    return mean + math.sqrt(ends[1] / ends[0]) * (z - float(levels[0].alpha) * mean)


def flow_errors(sampler: Sampler, z: float, counts: tuple[int, ...]) -> list[float]:
    denoise = gaussian(torch.tensor([0.5], dtype=torch.float64), torch.tensor([[0.25]], dtype=torch.float64))
    start = torch.tensor([[z]], dtype=torch.float64)
    exact = flow(z, 0.5, 0.25)
    return [float(last(sampler, denoise, start, levels_of(n, 1), no_noise)) - exact for n in counts]


def test_flow_map_of_the_formula() -> None:
    got = [flow(z, 0.5, 0.25) for z in (-1.5, 0.0, 1.0)]
    assert got == pytest.approx([-0.2500113505621372, 0.4999886500175623, 0.9999886504040286], abs=1e-7)


def test_ddim_follows_the_flow_of_each_sample() -> None:
    expected = (-0.0886, -0.0461, -0.0235, -0.0119, -0.00599, -0.00300)
    assert flow_errors(DDIM(), 1.0, COUNTS) == pytest.approx(expected, rel=6e-3)


def test_heun_is_of_second_order_from_few_steps_on() -> None:
    errors = flow_errors(Heun(), 1.0, (8, 16, 32, 64, 128, 256))
    ratios = [before / after for before, after in pairwise(errors)]
    assert all(3.8 < ratio < 4.2 for ratio in ratios), ratios
    assert abs(errors[0]) < abs(flow_errors(DDIM(), 1.0, (16,))[0])  # at equal cost


def test_dpmpp_2m_is_of_second_order() -> None:
    # Even steps of the angle are steps of logsnr that keep their ratio near the ends, however many there are; there
    # the error is N^-2 log N, and the ratio comes near 4 slowly.
    errors = flow_errors(DPMpp2M(), 1.0, (128, 256, 512, 1024))
    ratios = [before / after for before, after in pairwise(errors)]
    assert ratios == sorted(ratios)
    assert 3 < ratios[0] < ratios[-1] < 4.1
    for few in (8, 32):
        assert abs(flow_errors(DPMpp2M(), 1.0, (few,))[0]) < abs(flow_errors(DDIM(), 1.0, (2 * few,))[0])


def ar1(size: int, rho: float = 0.9) -> Tensor:
    place = torch.arange(size, dtype=torch.float64)
    return rho ** (place[:, None] - place[None]).abs()


@pytest.mark.parametrize("name", VIDEO)
def test_covariance_of_frames(name: str) -> None:
    frames = ar1(8)
    counts = COUNTS if name == "ddim" else COUNTS[:4]
    for steps, (frobenius, lag) in zip(counts, VIDEO[name], strict=False):
        _, got = moments(sampler_of(name), torch.zeros(8, dtype=torch.float64), frames, steps)
        assert float((got - frames).norm() / frames.norm()) == pytest.approx(frobenius, abs=6e-5), steps
        std = got.diagonal().sqrt()
        correlation = (got.diagonal(1) / (std[1:] * std[:-1])).mean()
        assert float(correlation) - 0.9 == pytest.approx(lag, abs=6e-5), steps


# Two classes, x | c ~ N(c m, s^2) with c = 1 or -1 equally often: the smallest world in which guidance does something.
M, S2 = 0.6, 0.09


def class_plus(z: Tensor, level: NoiseLevel) -> Tensor:
    a, s = float(level.alpha[0]), float(level.sigma[0])
    return (a * S2 * z + s**2 * M) / (a**2 * S2 + s**2)


def either_class(z: Tensor, level: NoiseLevel) -> Tensor:
    a, s = float(level.alpha[0]), float(level.sigma[0])
    d = a**2 * S2 + s**2
    return (a * S2 * z + s**2 * M * torch.tanh(a * M * z / d)) / d


def quantiles(count: int = 20_000) -> Tensor:
    """Evenly weighted quantiles of N(0, 1), (count, 1)."""
    return torch.special.ndtri((torch.arange(count, dtype=torch.float64) + 0.5) / count)[:, None]


def guided(z: Tensor, level: NoiseLevel, weight: float) -> Tensor:
    return combined([class_plus(z, level), either_class(z, level)], TextGuidance(weight=weight).shares(0, 1))


def guided_samples(
    weight: Callable[[NoiseLevel], float],
    steps: int,
    z: Tensor,
    wrapped: Callable[[Denoise], Denoise] = lambda denoise: denoise,
) -> Tensor:
    denoise = wrapped(lambda z, level: guided(z, level, weight(level)))
    return last(DDIM(), denoise, z, levels_of(steps, len(z)), no_noise)


@pytest.mark.parametrize(
    ("weight", "mean", "std", "outside"),
    [
        (0, 0.59999, 0.29737, 0.089),
        (0.5, 0.71438, 0.23945, 0.124),
        (1, 0.79410, 0.21371, 0.169),
        (3, 1.00759, 0.17300, 0.470),
        (6, 1.21941, 0.15237, 0.952),
        (15, 1.63454, 0.13399, 1.0),
    ],
)
def test_guided_mixture(weight: float, mean: float, std: float, outside: float) -> None:
    x = guided_samples(lambda level: weight, 256, quantiles())
    assert float(x.mean()) == pytest.approx(mean, abs=2e-5)
    assert float(x.std()) == pytest.approx(std, abs=3e-5)
    assert float((x.abs() > 1).double().mean()) == pytest.approx(outside, abs=6e-4)
    below = {0: 0.0218, 0.5: 5e-5}.get(weight, 0.0)
    assert float((x < 0).double().mean()) == pytest.approx(below, abs=6e-5)


def test_guided_answer_in_closed_form() -> None:
    z = torch.linspace(-3, 3, 13, dtype=torch.float64)[:, None]
    level = Cosine()(torch.full((13,), 0.4))
    a, s = float(level.alpha[0]), float(level.sigma[0])
    d = a**2 * S2 + s**2
    expected = (a * S2 * z + s**2 * M * (1 + 6 * (1 - torch.tanh(a * M * z / d)))) / d
    got = guided(z, level, 6.0)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-13)


def test_guided_mixture_converges() -> None:
    z = quantiles(4000)
    finest = guided_samples(lambda level: 6.0, 4096, z)
    counts, means = (8, 16, 32, 64, 128, 256, 512), (1.15553, 1.18912, 1.20527, 1.21333, 1.21738, 1.21941, 1.22043)
    worst = (0.280, 0.145, 0.0740, 0.0372, 0.0185, 0.00897, 0.00419)
    for steps, mean, error in zip(counts, means, worst, strict=True):
        x = guided_samples(lambda level: 6.0, steps, z)
        assert float(x.mean()) == pytest.approx(mean, abs=1e-4), steps
        assert float((x - finest).abs().max()) == pytest.approx(error, rel=0.1), steps


def test_static_threshold_stops_saturation() -> None:
    x = guided_samples(lambda level: 6.0, 256, quantiles(), statically_thresholded)
    assert float(x.mean()) == pytest.approx(0.8071, abs=2e-4)
    assert float(x.std()) == pytest.approx(0.1577, abs=2e-4)
    assert float(x.max()) == 1


def test_dynamic_threshold_keeps_samples_legal() -> None:
    x = guided_samples(lambda level: 6.0, 64, quantiles(500), lambda denoise: dynamically_thresholded(denoise, 0.995))
    assert float(x.abs().max()) <= 1
    assert float(x.mean()) > 0.5


def oscillating_mean(weights: list[float]) -> float:
    z = quantiles(4000)
    return float(guided_samples(per_step(levels_of(64, len(z)), weights), 64, z).mean())


def test_oscillating_guidance_lies_between() -> None:
    low_first = Oscillating(high=15, low=1, constant=10).weights(64)
    high_first = [15.0] * 10 + [15.0 if i % 2 == 0 else 1.0 for i in range(54)]
    assert oscillating_mean(low_first) == pytest.approx(1.4675, abs=2e-4)
    assert oscillating_mean(high_first) == pytest.approx(1.4813, abs=2e-4)
    assert oscillating_mean(Oscillating(high=15, low=1, constant=0).weights(64)) == pytest.approx(1.3197, abs=2e-4)
    assert oscillating_mean([15.0] * 64) == pytest.approx(1.6267, abs=2e-4)


def test_unguided_mixture_of_both_classes() -> None:
    z = quantiles()
    for steps, std in zip(COUNTS, (0.59371, 0.63110, 0.65054, 0.66056, 0.66565, 0.66823), strict=True):
        x = last(DDIM(), either_class, z, levels_of(steps, len(z)), no_noise)
        assert float((x > 0).double().mean()) == 0.5
        assert float(x.std()) == pytest.approx(std, abs=3e-5), steps


def test_ddim_is_the_one_of_diffusers_for_v() -> None:
    """diffusers' own DDIMScheduler on the same grid of levels, with a fixed linear map for a network."""
    import diffusers

    steps = 20
    draw = torch.Generator().manual_seed(0)
    weight, z = (torch.randn(size, 6, dtype=torch.float64, generator=draw) for size in (6, 3))

    def network(z: Tensor) -> Tensor:
        return torch.tanh(z @ weight)

    theirs = diffusers.DDIMScheduler(
        num_train_timesteps=steps, prediction_type="v_prediction", clip_sample=False, set_alpha_to_one=True
    )
    grid = Cosine()(torch.arange(steps + 1, dtype=torch.float64) / steps)
    theirs.alphas_cumprod, theirs.final_alpha_cumprod = grid.alpha[1:] ** 2, grid.alpha[0] ** 2
    theirs.set_timesteps(steps)

    def rows() -> Iterator[tuple[Tensor, Tensor]]:
        state = z
        for timestep in theirs.timesteps:
            answer = theirs.step(network(state), timestep, state)
            state = answer.prev_sample
            yield state, answer.pred_original_sample

    def denoise(z: Tensor, level: NoiseLevel) -> Tensor:
        return level.alpha[:, None] * z - level.sigma[:, None] * network(z)

    ours = DDIM()(denoise, z, levels_of(steps, 3), noise=no_noise)
    for step, (state, x_hat) in zip(ours, rows(), strict=True):
        torch.testing.assert_close(step.x_hat, x_hat, rtol=0, atol=1e-9)
        torch.testing.assert_close(step.z, state, rtol=0, atol=1e-9)


def test_samples_of_a_point_are_that_point() -> None:
    point = torch.tensor([[0.25, -0.5]], dtype=torch.float64)
    z = torch.full_like(point, 1.3)
    for sampler in (DDIM(), Heun(), DPMpp2M(), Ancestral(gamma=0)):
        levels = levels_of(5, 1)
        steps = list(sampler(lambda z, level: point, z, levels, noise=lambda step: torch.zeros_like(point)))
        assert torch.equal(steps[-1].x_hat, point)
        torch.testing.assert_close(
            steps[-1].z, diffuse(point, z - levels[0].alpha * point, levels[-1]), rtol=0, atol=1e-3
        )
