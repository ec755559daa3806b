"""The cosine schedule against tabulated values, its inverse, its symmetry, and its shift."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from zoetrope.diffusion.level import NoiseLevel
from zoetrope.schedules.cosine import Cosine

TABLE = [  # t, logsnr, alpha, sigma of the schedule truncated to [-20, 20]
    (0.0, 20.0, 9.999999989694232e-01, 4.539992971569674e-05),
    (0.125, 3.229425954398880, 9.807786370194880e-01, 1.951237175901369e-01),
    (0.25, 1.762618766561151, 9.238708453727860e-01, 3.827044042994199e-01),
    (0.5, 0.0, 7.071067811865475e-01, 7.071067811865476e-01),
    (0.75, -1.762618766561152, 3.827044042994199e-01, 9.238708453727860e-01),
    (0.875, -3.229425954398880, 1.951237175901369e-01, 9.807786370194880e-01),
    (1.0, -20.0, 4.539992971564765e-05, 9.999999989694232e-01),
]


def times(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(("t", "logsnr", "alpha", "sigma"), TABLE)
def test_tabulated_levels(t: float, logsnr: float, alpha: float, sigma: float) -> None:
    level = Cosine()(times(t))
    assert level.alpha.dtype == level.sigma.dtype == level.logsnr.dtype == torch.float64
    assert abs(float(level.logsnr) - logsnr) < 1e-11
    assert abs(float(level.alpha) - alpha) < 1e-12
    assert abs(float(level.sigma) - sigma) < 1e-12


@pytest.mark.parametrize(("bound", "logsnr"), [(15.0, 1.761183247736), (10.0, 1.743753443696)])
def test_tabulated_truncations(bound: float, logsnr: float) -> None:
    level = Cosine(logsnr_min=-bound, logsnr_max=bound)(times(0.25))
    assert abs(float(level.logsnr) - logsnr) < 1e-11


@pytest.mark.parametrize("bounds", [(20.0, -20.0), (3.0, 3.0)])
def test_bounds_in_the_wrong_order_are_refused(bounds: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="logsnr_min: expected a number below logsnr_max"):
        Cosine(logsnr_min=bounds[0], logsnr_max=bounds[1])


def test_wide_truncation_is_the_plain_cosine() -> None:
    level = Cosine(logsnr_min=-60, logsnr_max=60)(times(0.25))
    assert abs(float(level.logsnr) - 1.762747174039086) < 1e-11
    assert abs(math.exp(float(Cosine()(times(0.25)).logsnr)) - 5.827678759168) < 1e-11


def test_float32_times_give_float64_levels() -> None:
    level = Cosine()(torch.tensor([1.0], dtype=torch.float32))
    assert abs(float(level.alpha) - 4.539992971564765e-05) < 1e-12


@settings(deadline=None, max_examples=25)
@given(t=st.floats(0, 1), shift=st.floats(-6, 6))
def test_time_inverts_the_schedule(t: float, shift: float) -> None:
    schedule = Cosine(shift=shift)
    assert abs(float(schedule.time(schedule(times(t)).logsnr)) - t) < 1e-11


@settings(deadline=None, max_examples=25)
@given(t=st.floats(0, 1))
def test_symmetric(t: float) -> None:
    here, there = Cosine()(times(t)), Cosine()(times(1 - t))
    # Close to t = 0 a rounding of 1 - t of 1e-16 is one of 1e-12 in logsnr, relative to an angle of 4.5e-5.
    assert abs(float(here.logsnr + there.logsnr)) < 1e-10
    assert abs(float(here.alpha - there.sigma)) < 1e-12


@settings(deadline=None, max_examples=25)
@given(t=st.floats(0, 1), shift=st.floats(-8, 8))
def test_shift_moves_logsnr_and_preserves_variance(t: float, shift: float) -> None:
    plain, moved = Cosine()(times(t)), Cosine(shift=shift)(times(t))
    assert abs(float(moved.logsnr - plain.logsnr) - shift) < 1e-12
    assert abs(float(moved.alpha**2 + moved.sigma**2) - 1) < 1e-12
    assert abs(2 * math.log(float(moved.alpha / moved.sigma)) - float(moved.logsnr)) < 1e-10


@settings(deadline=None, max_examples=25)
@given(a=st.floats(0, 1), b=st.floats(0, 1), shift=st.floats(-8, 8))
def test_noise_grows_with_time(a: float, b: float, shift: float) -> None:
    low, high = sorted((a, b))
    level = Cosine(shift=shift)(times(low, high))
    assert level.logsnr[0] >= level.logsnr[1]
    assert level.alpha[0] >= level.alpha[1]


@pytest.mark.parametrize(
    ("snr", "logsnr", "t"), [(3, 1.0986122886681098, 0.333323698612088), (5, 1.6094379124341003, 0.2677070451102567)]
)
def test_levels_of_augmentation(snr: float, logsnr: float, t: float) -> None:
    level = NoiseLevel.variance_preserving(times(math.log(snr)))
    assert abs(float(level.logsnr) - logsnr) < 1e-12
    assert abs(float(Cosine().time(level.logsnr)) - t) < 1e-12
    assert abs(float(level.alpha) - math.sqrt(snr / (1 + snr))) < 1e-12
    assert abs(float(level.sigma) - math.sqrt(1 / (1 + snr))) < 1e-12
