"""Guidance and thresholds: tabulated values, equal forms, and sizes that torch.quantile refuses."""

import math
import tracemalloc
from itertools import pairwise
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from zoetrope.cascade.execution.meter import peak_bytes
from zoetrope.diffusion.denoise import (
    denoiser,
    dynamically_thresholded,
    keeping,
    per_step,
    statically_thresholded,
)
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.prediction import Prediction, eps_from_x, target, v_from_x
from zoetrope.diffusion.quantile import PIECE, quantile
from zoetrope.guidance import combined
from zoetrope.guidance.oscillating import Oscillating
from zoetrope.guidance.text import TextGuidance
from zoetrope.schedules.cosine import Cosine


def at(*t: float) -> NoiseLevel:
    return Cosine()(torch.tensor(t, dtype=torch.float64))


def numbers(*values: float) -> Tensor:
    return torch.tensor([values], dtype=torch.float64)


def test_tabulated_guidance() -> None:
    level, z = at(0.3), numbers(0.4)
    x_hat = combined([numbers(0.2), numbers(-0.1)], TextGuidance(weight=6.0).shares(0, 1))
    assert float(x_hat) == pytest.approx(2.0, abs=1e-12)
    assert float(eps_from_x(x_hat, z, level)) == pytest.approx(-3.0440004940127836, abs=1e-12)
    assert float(v_from_x(x_hat, z, level)) == pytest.approx(-3.620212563862801, abs=1e-12)


@pytest.mark.parametrize("kind", get_args(Prediction))
def test_guidance_is_the_same_in_every_prediction(kind: Prediction) -> None:
    level, z = at(0.3), numbers(0.4)

    def network(x: float) -> Tensor:
        """What a network that predicts `kind` answers if it takes x for the clean data."""
        return target(kind, numbers(x), eps_from_x(numbers(x), z, level), level)

    shares = TextGuidance(weight=6.0).shares(0, 1)
    output = combined([network(0.2), network(-0.1)], shares)
    by_output = denoiser(lambda z, logsnr: output, kind)(z, level)
    by_x = combined([denoiser(lambda z, logsnr, x=x: network(x), kind)(z, level) for x in (0.2, -0.1)], shares)
    assert float(by_output) == pytest.approx(2.0, abs=1e-12)
    assert float(by_x) == pytest.approx(2.0, abs=1e-12)


def test_denoiser_tells_the_network_its_logsnr_in_the_type_of_z() -> None:
    told = []

    def network(z: Tensor, logsnr: Tensor) -> Tensor:
        told.append(logsnr)
        return z

    z = torch.zeros(2, 3)
    assert denoiser(network, "v")(z, at(0.5, 0.25)).dtype == torch.float32
    assert told[0].dtype == torch.float32
    assert told[0].tolist() == pytest.approx([0, 1.762618766561151], abs=1e-6)


@settings(deadline=None, max_examples=25)
@given(weight=st.floats(0, 20))
def test_guidance_in_closed_form(weight: float) -> None:
    draw = torch.Generator().manual_seed(3)
    c, u = (torch.randn(2, 3, 2, 2, 2, dtype=torch.float64, generator=draw) for _ in range(2))
    got = combined([c, u], TextGuidance(weight=weight).shares(0, 1))
    torch.testing.assert_close(got, (1 + weight) * c - weight * u, rtol=0, atol=1e-12)


def test_no_guidance_is_the_conditional_answer_bit_for_bit() -> None:
    draw = torch.Generator().manual_seed(0)
    a, b = (torch.randn(2, 50, generator=draw) for _ in range(2))
    assert torch.equal(combined([a, b], TextGuidance().shares(0, 1)), a)


@pytest.mark.parametrize(
    ("percentile", "s", "at_two"), [(0.9, 2.9, 0.689655172413793), (0.95, 3, 2 / 3), (0.995, 3, 2 / 3), (1, 3, 2 / 3)]
)
def test_tabulated_dynamic_threshold(percentile: float, s: float, at_two: float) -> None:
    x = torch.linspace(-3, 3, 13, dtype=torch.float64)[None]
    assert float(quantile(x, percentile)) == pytest.approx(s, abs=1e-12)
    got = dynamically_thresholded(lambda z, level: x.clone(), percentile)(x, at(0.5))
    assert float(got[0, 10]) == pytest.approx(at_two, abs=1e-12)
    assert float(got.abs().max()) == pytest.approx(1, abs=1e-12)


def test_dynamic_threshold_leaves_legal_values_alone() -> None:
    x = torch.linspace(-0.9, 0.9, 7, dtype=torch.float64)[None]
    assert torch.equal(dynamically_thresholded(lambda z, level: x.clone(), 0.995)(x, at(0.5)), x)


def test_dynamic_threshold_has_one_scale_for_each_video() -> None:
    x = torch.full((2, 3, 4, 2, 2), 0.5)
    x[0, :, 1] = 4.0  # one bright frame dims all frames of its video, and of no other
    got = dynamically_thresholded(lambda z, level: x.clone(), 1.0)(x, at(0.5, 0.5))
    assert torch.equal(got[0, :, 1], torch.ones(3, 2, 2))
    assert torch.equal(got[0, :, 0], torch.full((3, 2, 2), 0.125))
    assert torch.equal(got[1], x[1])


@settings(deadline=None, max_examples=40)
@given(
    fraction=st.floats(0.01, 1),
    count=st.integers(1, 60),
    rows=st.integers(1, 3),
    seed=st.integers(0, 999),
    dtype=st.sampled_from([torch.float64, torch.float32]),
    levels=st.integers(1, 9),
)
def test_quantile_is_torch_quantile_where_that_works(
    fraction: float, count: int, rows: int, seed: int, dtype: torch.dtype, levels: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    values = torch.randn(rows, count, dtype=dtype, generator=draw)
    for these in (values, (levels * values).round() / levels):  # without ties and with many
        want, close = these.abs().quantile(fraction, dim=1), 1e-12 if dtype == torch.float64 else 1e-5
        torch.testing.assert_close(quantile(these, fraction), want, rtol=0, atol=close)
        torch.testing.assert_close(quantile(these, fraction, 1.0), want.clamp(min=1), rtol=0, atol=close)


def test_quantile_of_values_that_are_no_numbers() -> None:
    x = numbers(-3, 1, math.inf, math.nan)[None]
    assert [float(quantile(x, fraction)) for fraction in (0, 1 / 3, 2 / 3)] == [1, 3, math.inf]
    assert math.isnan(quantile(x, 1.0)) and math.isnan(quantile(x, 0.9))
    assert float(quantile(numbers(-3, 1, math.inf)[None], 1.0)) == math.inf


def test_quantile_is_exact_above_the_limit_of_torch() -> None:
    count = 2**24 + 1001
    values = torch.rand(1, count, generator=torch.Generator().manual_seed(0))
    with pytest.raises(RuntimeError, match="too large"):
        values.quantile(0.995, dim=1)
    position = 0.995 * (count - 1)
    low, high = np.partition(values[0].numpy(), [int(position), int(position) + 1])[[int(position), int(position) + 1]]
    assert float(quantile(values, 0.995)) == pytest.approx(low + (position - int(position)) * (high - low), abs=1e-7)


def test_quantile_does_not_ask_how_values_lie_in_memory_and_makes_few() -> None:
    values = torch.randn(2, 5, 400, 1500, 3, generator=torch.Generator().manual_seed(0))
    turned = values.permute(0, 4, 1, 2, 3)
    assert turned[0].numel() > PIECE
    assert torch.equal(quantile(turned, 0.99), quantile(values, 0.99))
    tracemalloc.start()  # which sees NumPy's memory
    made = peak_bytes(lambda: quantile(turned, 0.99)) - turned.untyped_storage().nbytes()
    _, numpys = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert made + numpys < 20 * PIECE < turned.nbytes / 3
    half = values[:, 0, :9].bfloat16()
    for levels in (torch.ones(3 * PIECE), torch.arange(3 * PIECE) % 7 / 8, torch.arange(3 * PIECE) * 1e30):
        want = float(np.quantile(levels.double().numpy(), 0.7))
        assert float(quantile(levels[None], 0.7)) == pytest.approx(want, rel=1e-6)
    assert torch.equal(quantile(half, 0.5).float(), quantile(half.float(), 0.5).bfloat16().float())


@pytest.mark.parametrize("steps", [8, 50, 1000])
@pytest.mark.parametrize("shift", [0.0, -4.5])
def test_weights_of_steps_belong_to_their_levels_rounded_or_not(steps: int, shift: float) -> None:
    schedule = Cosine(shift=shift)
    levels = [schedule(t[None]) for t in torch.linspace(1, 0, steps + 1, dtype=torch.float64)]
    values = Oscillating(high=15, low=1, constant=3).weights(steps)
    weight = per_step(levels, values)
    assert [weight(level) for level in levels[:-1]] == values
    single = [level._replace(logsnr=level.logsnr.float()) for level in levels]
    assert [weight(level) for level in single[:-1]] == values
    above, below = (NoiseLevel(*(value + off for value in levels[0])) for off in (-1e-5, 1e-5))
    assert weight(above) == weight(below) == values[0]
    between = [NoiseLevel.variance_preserving((a.logsnr + b.logsnr) / 2) for a, b in pairwise(levels)]
    assert [weight(level) for level in between] == values
    assert weight(levels[-1]) == values[-1]


def test_static_threshold() -> None:
    x = numbers(-2, -1, 0.3, 1.5)
    assert torch.equal(statically_thresholded(lambda z, level: x)(x, at(0.5)), numbers(-1, -1, 0.3, 1))


def test_known_frames_are_kept() -> None:
    answer, known = torch.zeros(1, 3, 6, 2, 2), torch.ones(1, 3, 2, 2, 2)
    x_hat = keeping(lambda z, level: answer, known)(answer, at(0.5))
    assert (x_hat == torch.tensor([1, 0, 0, 1, 0, 0])[:, None, None]).all()


def test_oscillating_weights() -> None:
    assert Oscillating(high=15, low=1, constant=3).weights(7) == [15, 15, 15, 1, 15, 1, 15]
    assert Oscillating(high=15, low=1, constant=0).weights(4) == [1, 15, 1, 15]
    assert Oscillating(high=15, low=1, constant=10).weights(2) == [15, 15]


@settings(deadline=None, max_examples=25)
@given(steps=st.integers(1, 40), shift=st.floats(-4, 4))
def test_per_step_gives_each_step_its_own_weight(steps: int, shift: float) -> None:
    schedule = Cosine(shift=shift)
    times = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    levels = [schedule(t.expand(2)) for t in times]
    weight = per_step(levels, list(range(steps)))
    assert [weight(level) for level in levels[:-1]] == list(range(steps))
    middles = [schedule(t.expand(2)) for t in (times[1:] + times[:-1]) / 2]
    assert [weight(level) for level in middles] == list(range(steps))
    assert weight(levels[-1]) == steps - 1


def pyramid(steps: int, delay: int, frames: int = 3) -> list[NoiseLevel]:
    """Levels (2, F) of frames that start one after the other."""
    done = torch.arange(steps + delay * (frames - 1) + 1).double()[:, None]
    times = 1 - ((done - delay * torch.arange(frames)) / steps).clamp(0, 1)
    return [Cosine()(t.expand(2, -1)) for t in times]


@pytest.mark.parametrize("delay", [1, 3])
def test_weights_of_steps_reach_the_frames_that_move_in_them(delay: int) -> None:
    levels = pyramid(5, delay)
    values = [float(place) for place in range(len(levels) - 1)]
    weight = per_step(levels, values)
    for place, (level, after) in enumerate(pairwise(levels)):
        for told in (level, level._replace(logsnr=level.logsnr.float())):
            got = weight(told)
            assert isinstance(got, Tensor) and got.shape == (2, 3)
            moving = level.alpha != after.alpha
            assert moving.any() and (got[moving] == place).all()
    with pytest.raises(ValueError, match="level: expected one of 3 frames, like those of the steps, got one of 2"):
        weight(levels[0].frames(range(2)))
    with pytest.raises(ValueError, match="got one of whole examples"):
        weight(at(0.5, 0.5))


@settings(deadline=None, max_examples=25)
@given(steps=st.integers(1, 12), delay=st.integers(0, 4), shift=st.floats(-4, 4))
def test_weights_by_noise_do_not_ask_where_other_frames_are(steps: int, delay: int, shift: float) -> None:
    plain = [Cosine()(t.expand(2)) for t in torch.linspace(1, 0, steps + 1, dtype=torch.float64)]
    weight = per_step(plain, list(range(steps)))
    for level in pyramid(steps, delay):
        got = weight(level)
        assert isinstance(got, Tensor)
        for frame in range(3):
            alone = weight(NoiseLevel(*(value[:, frame] for value in level)))
            assert got[:, frame].tolist() == [alone, alone]


def test_guidance_with_a_weight_for_each_frame() -> None:
    draw = torch.Generator().manual_seed(0)
    c, u = (torch.randn(2, 3, 3, 2, 2, generator=draw) for _ in range(2))
    weights = torch.tensor([[0.0, 2.0, 6.0], [1.0, 0.5, 15.0]])
    expected = c + weights[:, None, :, None, None] * (c - u)
    torch.testing.assert_close(combined([c, u], [1 + weights, -weights]), expected, rtol=0, atol=1e-5)
