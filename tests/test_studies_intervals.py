"""The intervals of studies, against known ones and by how often they hold the truth."""

import importlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "studies"))


def intervals() -> Any:
    return importlib.import_module("_intervals")


def test_seeds_that_clips_agree_in_have_students_interval() -> None:
    seeds = [1.0, 2.0, 4.5]
    found = intervals().over_seeds([[value] * 8 for value in seeds])
    low, high = scipy.stats.t.interval(0.95, 2, loc=np.mean(seeds), scale=scipy.stats.sem(seeds))
    assert found.value == pytest.approx(np.mean(seeds))
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-3)


@pytest.mark.parametrize("seeds", [2, 3, 4, 5, 6])
def test_quantiles_are_students(seeds: int) -> None:
    assert intervals().STUDENT[seeds] == pytest.approx(scipy.stats.t.ppf(0.975, seeds - 1), abs=1e-3)


@pytest.mark.parametrize("freedom", [5, 7, 15, 31, 200])
def test_students_quantile_of_clips(freedom: int) -> None:
    assert intervals().student(freedom) == pytest.approx(scipy.stats.t.ppf(0.975, freedom), abs=3e-3)


def test_clips_that_seeds_agree_in_count_too() -> None:
    clips = [0.0, 1.0, 5.0, 2.0, 2.0, 7.0, 1.0]
    found = intervals().over_seeds([clips] * 3)
    low, high = scipy.stats.t.interval(0.95, 6, loc=np.mean(clips), scale=scipy.stats.sem(clips))
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.01)


def test_one_seed_shows_nothing() -> None:
    found = intervals().over_seeds([[5.0, 6.0, 7.0]])
    assert tuple(found) == (6.0, -math.inf, math.inf)
    assert found.verdict() == "not shown"


def test_what_arms_have_in_common_drops_out() -> None:
    rng = np.random.default_rng(0)
    common = 10 * rng.standard_normal((3, 8))
    found = intervals().over_seeds((common + 1).tolist(), common.tolist())
    assert tuple(found) == pytest.approx((1, 1, 1))


def test_bootstrap_of_a_mean_is_near_the_normal_interval() -> None:
    column = np.random.default_rng(1).standard_normal(400)
    found = intervals().over_clips(intervals().itself, [column.tolist()])
    reach = 1.96 * scipy.stats.sem(column)
    assert (found.low, found.high) == pytest.approx((column.mean() - reach, column.mean() + reach), abs=0.02)


def test_repeats_of_a_clip_are_not_more_clips() -> None:
    column = np.random.default_rng(2).standard_normal(50).tolist()
    once = intervals().over_clips(intervals().itself, [column])
    assert tuple(intervals().over_clips(intervals().itself, [column] * 7)) == pytest.approx(tuple(once))


def test_bootstrap_is_paired() -> None:
    column = np.random.default_rng(3).standard_normal(30)
    found = intervals().over_clips(torch.sub, [(column + 2).tolist()], [column.tolist()])
    assert tuple(found) == pytest.approx((2, 2, 2))


def test_prompts_have_students_interval_of_their_means() -> None:
    one, other = np.random.default_rng(5).standard_normal((2, 2, 20))
    found = intervals().over_prompts(intervals().by_prompt(one.tolist(), other.tolist()))
    apart = (one - other).mean(0)
    low, high = scipy.stats.t.interval(0.95, 19, loc=apart.mean(), scale=scipy.stats.sem(apart))
    assert tuple(found) == pytest.approx((apart.mean(), low, high), rel=5e-3)
    with pytest.raises(ValueError, match="two prompts"):
        intervals().over_prompts([1.0])


@pytest.mark.parametrize(("more", "fewer"), [(0.05, 0.05), (0.1, 0.0), (0.05, 0.0), (0.02, 0.02), (0.3, 0.1)])
def test_intervals_of_shares_hold_where_few_prompts_differ(more: float, fewer: float) -> None:
    """Also if few of 48 do, all to one side, whose scatter tells too little."""
    rng, held, rounds = np.random.default_rng(6), 0, 600
    for _ in range(rounds):
        drawn = rng.random(48)
        apart = np.where(drawn < more, 1.0, np.where(drawn < more + fewer, -1.0, 0.0))
        found = intervals().over_shares(apart.tolist())
        assert found.value == pytest.approx(apart.mean())
        held += found.low <= more - fewer <= found.high
    assert held / rounds > 0.93


@pytest.mark.parametrize("differ", range(1, 12))
def test_intervals_of_shares_say_no_more_than_the_exact_test(differ: int) -> None:
    """Prompts that differ, all to one side, and 48 in all: six are enough for both, five for Student's alone."""
    apart = [1.0] * differ + [0.0] * (48 - differ)
    exact = intervals().flipped(apart)
    assert exact == pytest.approx(scipy.stats.binomtest(differ, differ).pvalue)
    assert (intervals().over_shares(apart).verdict() == "shown") == (exact < 0.05)


@pytest.mark.parametrize("differ", range(1, 12))
def test_intervals_of_trained_shares_say_no_more_than_the_exact_test(differ: int) -> None:
    """Prompts that differ, all to one side, and as much in each of three seeds: the interval is that of prompts."""
    apart = [1.0] * differ + [0.0] * (64 - differ)
    found = intervals().shares_over_seeds([apart] * 3, [[0.0] * 64] * 3)
    assert (found.verdict() == "shown") == (intervals().flipped(apart) < 0.05)
    assert tuple(found) == pytest.approx(tuple(intervals().over_shares(apart)), rel=5e-3)


@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize(("more", "fewer"), [(0.05, 0.05), (0.1, 0.0), (0.05, 0.0), (0.02, 0.02), (0.3, 0.1)])
def test_intervals_of_trained_shares_hold_where_few_prompts_differ(more: float, fewer: float, alike: bool) -> None:
    """Whether seeds differ in the same prompts or each in its own."""
    rng, held, rounds = np.random.default_rng(7), 0, 400
    for _ in range(rounds):
        drawn = np.broadcast_to(rng.random((1 if alike else 3, 48)), (3, 48))
        first, second = (drawn < more).astype(float), ((drawn >= more) & (drawn < more + fewer)).astype(float)
        found = intervals().shares_over_seeds(first.tolist(), second.tolist())
        assert found.value == pytest.approx((first - second).mean())
        held += found.low <= more - fewer <= found.high
    assert held / rounds > 0.93


def test_nothing_is_shown_of_shares_that_no_prompt_tells_apart() -> None:
    table = [[1.0] * 32 + [0.0] * 32] * 3
    found = intervals().shares_over_seeds(table, table)
    assert found.value == 0 and found.high == -found.low > 0.04
    assert tuple(intervals().shares_over_seeds(table[:1], table[:1])) == (0, -math.inf, math.inf)


def test_signs_are_flipped_in_all_ways() -> None:
    apart = [0.5, 0.5, -0.5, 1.0, 0.0, 1.0, 0.5, 0.25]
    found = scipy.stats.permutation_test((np.array(apart),), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert intervals().flipped(apart) == pytest.approx(found.pvalue)
    assert intervals().flipped([0.0, 0.0]) == 1


@pytest.mark.parametrize("seeds", [0.1, 1.0, 5.0])
def test_intervals_hold_the_truth_as_often_as_they_say(seeds: float) -> None:
    rng, held, rounds = np.random.default_rng(4), 0, 400
    for _ in range(rounds):
        table = seeds * rng.standard_normal((3, 1)) + rng.standard_normal((1, 12)) + rng.standard_normal((3, 12))
        found = intervals().over_seeds(table.tolist())
        held += found.low <= 0 <= found.high
    assert held / rounds > 0.93


@pytest.mark.parametrize(
    ("low", "high", "beyond", "verdict"),
    [
        (0.1, 0.3, 0.0, "shown"),
        (-0.1, 0.3, 0.0, "not shown"),
        (-0.3, -0.1, 0.0, "the opposite"),
        (0.0, 0.3, 0.0, "not shown"),
        (-0.04, 0.3, -0.05, "shown"),
        (0.9, 1.5, 1.0, "not shown"),
        (math.nan, math.nan, 0.0, "not shown"),
    ],
)
def test_verdict_follows_from_the_interval_alone(low: float, high: float, beyond: float, verdict: str) -> None:
    assert intervals().Interval((low + high) / 2, low, high).verdict(beyond) == verdict


def test_tables_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        intervals().over_seeds([[1.0, 2.0]] * 2, [[1.0, 2.0, 3.0]] * 2)
    with pytest.raises(ValueError, match="1 to 6 seeds"):
        intervals().over_seeds([[1.0] * 9] * 7)
    with pytest.raises(ValueError, match="same two clips"):
        intervals().over_clips(torch.sub, [[1.0, 2.0]], [[1.0, 2.0, 3.0]])


def test_cells_of_trained_arms_cover_seeds() -> None:
    made = importlib.import_module("_claims")
    table = [[1.0] * 12, [1.0] * 9 + [0.0] * 3, [0.0] * 12]  # one of three seeds has learnt nothing
    assert made.seeds_interval(table) == "0% to 100%"
    assert made.seeds_interval(table[:1]) == "one seed"
    assert made.trained_share(table[:1]).verdict() == "not shown"


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_shares_of_trained_arms_are_never_sure(right: float) -> None:
    made = importlib.import_module("_claims")
    table = [[right] * 64] * 3
    found, wilson = made.trained_share(table), made.clustered(table)
    assert tuple(found) == pytest.approx((right, wilson.low, wilson.high))
    assert found.high - found.low > 0.05  # of 64 prompts
    assert made.seeds_interval(table) == ("94% to 100%" if right else "0% to 6%")
    assert tuple(made.above(found, 0.1)) == pytest.approx([each - 0.1 for each in found])


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.97])
def test_shares_of_trained_arms_hold_the_truth_and_are_no_narrower_than_wilsons(share: float) -> None:
    """Whether a prompt is hard for all seeds alike, or each seed has its luck."""
    made, rng, rounds = importlib.import_module("_claims"), np.random.default_rng(8), 300
    held = 0
    for number in range(rounds):
        drawn = np.broadcast_to(rng.random((1 + 2 * (number % 2), 64)), (3, 64))
        table = (drawn < share).astype(float).tolist()
        found, wilson = made.trained_share(table), made.clustered(table)
        assert 0 <= found.low <= wilson.low + 1e-12 and wilson.high - 1e-12 <= found.high <= 1
        held += found.low <= share <= found.high
    assert held / rounds > 0.93
