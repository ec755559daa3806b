"""Measures of fields and of ensembles of them, against closed forms."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, norm

from zoetrope.metrics.crps import crps
from zoetrope.metrics.csi import csi
from zoetrope.metrics.lead_time import mae, rmse
from zoetrope.metrics.rank_histogram import rank_histogram
from zoetrope.metrics.spectrum import spectral_ratio, spectrum
from zoetrope.metrics.spread_skill import spread_skill

DRAW = torch.Generator().manual_seed(4)
SIZE = (50, 2, 3, 12, 12)  # 7200 values of each channel and frame
SIGMA = torch.tensor([0.5, 3.0])[:, None, None, None]


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=DRAW, dtype=torch.float64)


@pytest.mark.parametrize("count", [2, 5, 16])
def test_a_perfect_ensemble(count: int) -> None:
    """Fair CRPS sigma / sqrt(pi), spread equal to skill, every rank as often: within 4.5 standard errors."""
    members, truth = SIGMA * normal(count, *SIZE), SIGMA * normal(*SIZE)
    values = SIZE[0] * SIZE[3] * SIZE[4]
    wanted = (SIGMA[:, :, 0, 0] / math.sqrt(math.pi)).double()
    got = crps(members, truth)
    assert got.shape == (2, 3)
    assert ((got - wanted) / wanted).abs().max() < 4.5 * 1.5 / math.sqrt(values)
    both = spread_skill(members, truth)
    assert (both.ratio - 1).abs().max() < 4.5 * 1.2 / math.sqrt(values)
    assert torch.allclose(both.spread, SIGMA[:, :, 0, 0].double().expand(2, 3), rtol=0.04)
    counts = rank_histogram(members, truth)
    assert counts.shape == (2, count + 1) and counts.sum(1).tolist() == [values * 3] * 2
    expected = values * 3 / (count + 1)
    statistic = ((counts - expected).square() / expected).sum(1)
    assert (statistic < chi2.ppf(1 - 1e-5, count)).all()


def test_ensembles_that_are_wrong() -> None:
    truth = normal(*SIZE)
    alike, apart = 0.3 * normal(8, *SIZE), 3 * normal(8, *SIZE)
    assert spread_skill(alike, truth).ratio.max() < 0.4 and spread_skill(apart, truth).ratio.min() > 1.5
    low, high = (rank_histogram(members, truth).double() for members in (alike, apart))
    assert (low[:, [0, -1]].sum(1) > 0.6 * low.sum(1)).all() and (high[:, 4] > 3 * high[:, 0]).all()
    assert (rank_histogram(alike - 9, truth)[:, -1] == truth[:, 0].numel()).all()
    perfect = crps(normal(8, *SIZE), truth)
    assert (crps(alike, truth) > perfect).all() and (crps(apart, truth) > perfect).all()


def test_crps_of_a_gaussian_is_its_closed_form() -> None:
    """sigma (w (2 Phi(w) - 1) + 2 phi(w) - 1 / sqrt(pi)), w = (y - mu) / sigma [Gneiting et al. 2005, Eq. 5]."""
    quantiles = torch.from_numpy(norm.ppf((np.arange(4000) + 0.5) / 4000, loc=1, scale=2))
    for y in (-3.0, 0.5, 4.0):
        w = (y - 1) / 2
        wanted = 2 * (w * (2 * norm.cdf(w) - 1) + 2 * norm.pdf(w) - 1 / math.sqrt(math.pi))
        members = quantiles[:, None, None, None, None, None]
        assert float(crps(members, torch.full((1, 1, 1, 1, 1), y), fair=False)) == pytest.approx(wanted, rel=1e-3)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-5, 5), min_size=2, max_size=6), st.floats(-5, 5))
def test_crps_is_its_definition(members: list[float], truth: float) -> None:
    count = len(members)
    error = sum(abs(one - truth) for one in members) / count
    pairs = sum(abs(one - other) for one in members for other in members)
    ensemble = torch.tensor(members, dtype=torch.float64).reshape(-1, 1, 1, 1, 1, 1)
    true = torch.full((1, 1, 1, 1, 1), truth, dtype=torch.float64)
    assert float(crps(ensemble, true)) == pytest.approx(error - pairs / (2 * count * (count - 1)), abs=1e-12)
    assert float(crps(ensemble, true, fair=False)) == pytest.approx(error - pairs / (2 * count**2), abs=1e-12)
    assert float(crps(ensemble[:1], true, fair=False)) == pytest.approx(abs(members[0] - truth))


def test_errors_by_lead_time() -> None:
    """A forecast that stays as it is, of a field that rises by 1 a frame."""
    truth = torch.arange(4.0)[None, None, :, None, None].expand(2, 3, 4, 5, 6)
    made = torch.zeros_like(truth)
    assert mae(made, truth).tolist() == [[0, 1, 2, 3]] * 3 == rmse(made, truth).tolist()
    half = truth.clone()
    half[1] = 0
    assert rmse(made, half)[0].tolist() == pytest.approx([k / math.sqrt(2) for k in range(4)])
    assert mae(made, half)[0].tolist() == pytest.approx([k / 2 for k in range(4)])


def test_values_that_are_missing_count_in_no_measure() -> None:
    members, truth = normal(4, 2, 1, 2, 6, 6), normal(2, 1, 2, 6, 6)
    present = torch.rand(truth.shape, generator=DRAW) < 0.6
    other_members, other = torch.where(present, members, 99.0), torch.where(present, truth, torch.nan)
    for measure in (crps, lambda m, t, present: spread_skill(m, t, present).ratio):
        assert torch.equal(measure(members, truth, present=present), measure(other_members, other, present=present))
    for one in (mae, rmse, lambda a, b, present: csi(a, b, (0.0, 0.5), 2, present)):
        assert torch.equal(one(members[0], truth, present=present), one(other_members[0], other, present=present))
    assert torch.equal(rank_histogram(members, truth, present), rank_histogram(other_members, other, present))
    assert rank_histogram(members, truth, present).sum() == present.sum()
    assert mae(members[0], truth, torch.zeros_like(present)).isnan().all()


def test_csi_of_squares_that_are_shifted() -> None:
    """A square of 4x4 moved by d: (4 - d) 4 hits among (4 + d) 4 events; in blocks of 4 pixels it is right again."""
    truth = torch.zeros(1, 1, 5, 16, 16)
    made = truth.clone()
    for frame in range(5):
        truth[0, 0, frame, 4:8, 4:8] = 10
        made[0, 0, frame, 4:8, 4 + frame : 8 + frame] = 5
    got = csi(made, truth, (1, 5, 6, 11))
    assert got.shape == (4, 1, 5)
    assert got[0, 0].tolist() == got[1, 0].tolist() == pytest.approx([(4 - d) / (4 + d) for d in range(5)])
    assert got[2, 0].tolist() == [0] * 5 and got[3].isnan().all()
    pooled = csi(made, truth, (1,), pool=8)
    assert pooled[0, 0].tolist() == [1, 0.5, 0.5, 0.5, 0]
    assert csi(made, truth, (1,), pool=16)[0, 0].tolist() == [1] * 5


def test_spectrum_of_a_wave_and_of_noise() -> None:
    """A wave has all its power, half its squared amplitude, in its ring; the sum of all rings is the mean square."""
    y, x = torch.meshgrid(torch.arange(12.0), torch.arange(12.0), indexing="ij")
    wave = 1.5 + 2 * torch.cos(2 * math.pi * (3 * y + 4 * x) / 12)
    one = spectrum(wave.expand(1, 1, 1, 12, 12))
    assert one.power[0, 0, 0, 0] == pytest.approx(1.5**2) and one.power[0, 0, 0, 5] == pytest.approx(2**2 / 2)
    assert float(one.power.sum()) == pytest.approx(1.5**2 + 2, rel=1e-6) and one.waves.sum() == 144
    for height, width in ((9, 9), (8, 14), (5, 4)):
        videos = normal(3, 2, 2, height, width)
        found = spectrum(videos)
        assert torch.allclose(found.power.sum(-1), videos.square().mean((3, 4)))
        assert found.waves[0] == 1 and found.wavenumber.tolist() == list(range(len(found.waves)))
    noise = spectrum(normal(200, 1, 1, 10, 10))
    per_wave = noise.power.mean((0, 1, 2)) / noise.waves * 100
    assert (per_wave - 1).abs().max() < 4.5 / math.sqrt(200)
    tall = torch.cos(2 * math.pi * torch.arange(24.0) / 8)[:, None].expand(24, 12)
    assert spectrum(tall[None, None, None]).power[0, 0, 0].argmax() == round(12 / 8)


def test_a_blurred_video_lacks_power_at_high_wavenumbers() -> None:
    """A mean of two neighbours along x has cos^2(pi k / W) of the power of wave k."""
    truth = normal(300, 1, 1, 1, 16).expand(-1, -1, -1, 16, -1)
    blurred = (truth + truth.roll(1, -1)) / 2
    wanted = torch.cos(math.pi * torch.arange(9.0, dtype=torch.float64) / 16).square()
    assert torch.allclose(spectral_ratio(blurred, truth)[0, 0, :9], wanted, atol=1e-9)


def test_shapes_that_do_not_fit() -> None:
    video, ensemble = torch.zeros(1, 1, 1, 4, 4), torch.zeros(2, 1, 1, 1, 4, 4)
    for call, words in (
        (lambda: crps(video, video), "members and truth: expected the shapes"),
        (lambda: crps(ensemble[:1], video), "members: expected at least 2, got 1"),
        (lambda: spread_skill(ensemble[:1], video), "members: expected at least 2"),
        (lambda: rank_histogram(ensemble, video, torch.ones(2, 2)), "present: expected the shape"),
        (lambda: mae(video, ensemble[0, 0]), "two videos: expected one shape"),
        (lambda: rmse(video, video, torch.ones_like(video)), "present: expected a mask"),
        (lambda: csi(video, video, ()), "thresholds: expected at least one"),
        (lambda: csi(video, video, (1,), pool=5), "pool: expected 1 to 4"),
        (lambda: csi(video, video, (1,), present=video[0] > 0), "present: expected the shape"),
        (lambda: spectrum(video[0]), "videos"),
        (lambda: spectral_ratio(video, torch.zeros(1, 1, 1, 4, 5)), "two sets of videos"),
    ):
        with pytest.raises(ValueError, match=words):
            call()
