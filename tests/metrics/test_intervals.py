"""Intervals against closed forms, another library, and how often they hold the truth in simulations."""

import math
from statistics import fmean, stdev

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoetrope.metrics.intervals import Mean, Proportion, student, wilson

stats = pytest.importorskip("scipy.stats")


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 7, 11, 30, 127])
def test_quantiles_are_those_of_student(freedom: int) -> None:
    assert student(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=2e-3)
    assert student(freedom) > student(freedom + 1) > 1.959


@pytest.mark.parametrize(("right", "count"), [(0, 1), (1, 2), (2, 2), (7, 11), (109, 128), (0, 77)])
def test_independent_samples_have_wilsons_interval(right: int, count: int) -> None:
    share = Proportion.of([k < right for k in range(count)])
    other = stats.binomtest(right, count).proportion_ci(method="wilson")
    assert (share.low, share.high) == pytest.approx((other.low, other.high), abs=1e-9)
    assert share.value == right / count and share.clusters == count


def test_two_videos_say_little() -> None:
    share = Proportion.of([True, False])
    assert share.low == pytest.approx(0.0945, abs=1e-4) and share.high == pytest.approx(0.9055, abs=1e-4)


@given(st.lists(st.booleans(), min_size=2, max_size=12), st.integers(2, 6))
def test_copies_of_a_sample_add_nothing(hits: list[bool], copies: int) -> None:
    """The same video several times: as many independent samples as there are prompts, if with Student's quantile."""
    share = Proportion.of(
        [hit for hit in hits for _ in range(copies)], [k for k in range(len(hits)) for _ in range(copies)]
    )
    low, high = wilson(fmean(hits), len(hits), student(len(hits) - 1))
    assert share.low == pytest.approx(low, abs=1e-9) and share.high == pytest.approx(high, abs=1e-9)
    plain = Proportion.of(hits)
    assert share.high - share.low >= plain.high - plain.low - 1e-12


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=1, max_size=30))
def test_a_share_lies_in_its_interval_and_in_bounds(samples: list[tuple[bool, int]]) -> None:
    share = Proportion.of([hit for hit, _ in samples], [name for _, name in samples])
    assert 0 <= share.low <= share.value <= share.high <= 1 and share.high - share.low > 0.01


def test_one_prompt_tells_of_one() -> None:
    share = Proportion.of([True] * 50, ["same"] * 50)
    assert share.low == pytest.approx(wilson(1.0, 1)[0]) and share.high == 1
    assert Mean.of([1.0, 2.0], ["same", "same"]).half is None


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=9))
def test_a_mean_has_students_interval(values: list[float]) -> None:
    mean = Mean.of(values)
    assert mean.value == pytest.approx(fmean(values), abs=1e-9)
    half = student(len(values) - 1) * stdev(values) / math.sqrt(len(values))
    assert mean.half == pytest.approx(half, abs=1e-9)
    doubled = Mean.of(values * 2, [*range(len(values))] * 2)
    assert doubled.half == pytest.approx(half, abs=1e-9) and doubled.clusters == len(values)


@pytest.mark.parametrize("share", [0.5, 0.87, 0.97])
def test_intervals_hold_the_truth_as_often_as_they_say(share: float) -> None:
    """Prompts that differ (beta), several noises each: clustered intervals hold the truth, plain ones do not."""
    rng, clusters, noises = np.random.default_rng(0), 64, 4
    names = [k for k in range(clusters) for _ in range(noises)]
    held = {"clustered": 0, "plain": 0}
    rounds = 600
    for _ in range(rounds):
        chances = rng.beta(share * 0.7, (1 - share) * 0.7, clusters)
        hits = (rng.random((clusters, noises)) < chances[:, None]).ravel().tolist()
        for kind, groups in (("clustered", names), ("plain", None)):
            found = Proportion.of(hits, groups)
            held[kind] += found.low <= share <= found.high
    assert held["clustered"] / rounds > 0.93
    assert held["plain"] / rounds < 0.9


def test_of_nothing_there_is_no_interval() -> None:
    for of in (Proportion.of, Mean.of):
        with pytest.raises(ValueError, match="at least one sample"):
            of([])
    with pytest.raises(ValueError, match="degrees of freedom"):
        student(0)
