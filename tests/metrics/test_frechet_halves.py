"""The bias of Fréchet distances, as estimated from halves of the sets."""

import importlib
from pathlib import Path
from statistics import fmean

import pytest
import torch
from torch import Tensor

from zoetrope.data.toybox.held_out import held_out_script
from zoetrope.data.toybox.scene import is_held_out
from zoetrope.metrics.clips import Clips, Material
from zoetrope.metrics.features import FeatureNetwork
from zoetrope.metrics.measures import Result
from zoetrope.metrics.measures.frechet import Frechet, first_half
from zoetrope.shapes import VideoShape

SHAPE = VideoShape(frames=2, height=1, width=4, fps=2)
VALUES = FeatureNetwork("values", "0" * 64, "pixels", 12, lambda x: x.flatten(1))


def distance(made: Tensor, real: Tensor, members: int = 1) -> Result:
    """Of features (N, 12)."""
    sets = []
    for features in (made, real):
        videos = features.unflatten(1, (3, 1, 1, 4)).expand(-1, -1, *SHAPE.sizes)
        sets.append(Clips(SHAPE, len(videos), videos.__getitem__))
    material = Material(*sets, members=members)
    Frechet().expect(material)
    return Frechet().measure(material, VALUES)


def normal(count: int, seed: int) -> Tensor:
    return 0.1 * torch.randn(count, 12, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("members", [1, 2, 3])
def test_halves_have_twice_the_bias_whatever_the_number_of_members(members: int) -> None:
    """Members of one case are all alike here: only the number of cases counts."""
    found = [
        distance(normal(40, 2 * k).repeat_interleave(members, 0), normal(40, 2 * k + 1), members) for k in range(12)
    ]
    value, halves = fmean(one.value for one in found), fmean(one.details["halves"] for one in found)
    assert halves == pytest.approx(2 * value, rel=0.2)
    assert abs(fmean(one.details["endless"] for one in found)) < 0.2 * value


def test_neighbours_that_differ_in_kind_do_not_set_halves_apart() -> None:
    """As held-out clips of toybox: every second one has a combination that training never shows."""
    real = normal(64, 0)
    real[::2] += 0.2
    unlike = distance(real[::2], real[1::2]).value
    told = distance(real.roll(1, 0), real)
    assert told.reference is not None and told.reference < unlike / 4
    assert told.details["halves"] < unlike / 4
    kinds = torch.tensor([is_held_out(held_out_script(number)) for number in range(64)])
    first = first_half(64, 64)
    assert 8 <= int(kinds[first].sum()) <= 24 and int(kinds.sum()) == 32


def test_halves_of_both_sets_are_of_the_same_cases() -> None:
    """Where each video is made from a real one, a half is so from the same half."""
    real = normal(40, 0)
    told = distance(real + 1e-4, real)
    assert told.details["halves"] == pytest.approx(told.value, abs=1e-6) and told.value < 1e-5


@pytest.mark.parametrize("cases", [2, 3, 4, 7, 32])
@pytest.mark.parametrize("others", [2, 5, 7, 64])
def test_halves_are_equal_and_nested(cases: int, others: int) -> None:
    one, other = first_half(cases, others), first_half(others, cases)
    common = min(cases, others)
    assert torch.equal(one[:common], other[:common])
    assert abs(2 * int(one.sum()) - cases) <= 1 and abs(2 * int(other.sum()) - others) <= 1


def test_the_benchmark_splits_its_clips_by_lot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even and odd clips of toybox differ in kind, as noise does; halves do not."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    script = importlib.import_module("frechet_sanity")
    features = normal(32, 0)[:, None]
    features[::2] += 0.2
    draws = script.lots(32)
    assert len(draws) == script.LOTS and all(int(first.sum()) == 16 for first in draws)
    of_kinds = script.distances(features, features, [torch.arange(32) % 2 == 0])
    assert fmean(script.distances(features, features, draws)) < of_kinds[0] / 2
    videos = features[:, 0].unflatten(1, (3, 1, 1, 4)).expand(-1, -1, *SHAPE.sizes)
    videos = videos * torch.linspace(1, 0.5, 2)[:, None, None]
    rows = script._rows(VALUES, videos, SHAPE)
    assert [row.split(" | ")[0] for row in rows] == [f"| {name}" for name in script.damaged(videos)]
    assert rows[0].count("1.00 (1.00 to 1.00)") == 2


def test_members_of_one_case_have_no_halves() -> None:
    with pytest.raises(ValueError, match=r"frechet\[\?\]: expected videos of at least two cases, got one"):
        distance(normal(4, 0), normal(8, 1), members=4)
