"""Numbers read from videos: of blobs whose size, motion and brightness are known."""

import math

import pytest
import torch
from torch import Tensor

from zoetrope.channels import Channel
from zoetrope.metrics.clips import Clips, Material
from zoetrope.metrics.evaluation import measured
from zoetrope.metrics.measures import Result, Unavailable
from zoetrope.metrics.measures.answered import NumberAnswered
from zoetrope.metrics.reading import Regressor, features
from zoetrope.scales.range import Range
from zoetrope.shapes import VideoShape

SHAPE = VideoShape(frames=6, height=12, width=12, fps=4)
GREY = (Channel(name="grey", scale=Range(lo=0, hi=255)),)
DRAW = torch.Generator().manual_seed(0)


def beating(numbers: Tensor) -> Tensor:
    """Blobs (N, 1, F, H, W) whose area falls by that share and rises again, at random places and phases."""
    n, (frames, height, width) = len(numbers), SHAPE.sizes
    place, phase = torch.rand(n, 2, generator=DRAW) * 2 + 5, torch.rand(n, generator=DRAW)
    beat = (1 + torch.cos(2 * math.pi * (torch.arange(frames) / frames + phase[:, None]))) / 2
    area = 12 * (1 - numbers[:, None] * beat)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    away = (y - place[:, 0, None, None]) ** 2 + (x - place[:, 1, None, None]) ** 2
    blob = torch.exp(-away[:, None] / area[..., None, None])
    return (2 * blob - 1 + 0.05 * torch.randn(n, *SHAPE.sizes, generator=DRAW))[:, None]


def material(made: Tensor, real: Tensor, told: list[dict[str, float]], members: int = 1) -> Material:
    theirs = Clips(SHAPE, len(real), real.__getitem__, channels=GREY, told=told.__getitem__)
    return Material(Clips(SHAPE, len(made), made.__getitem__, channels=GREY), theirs, members=members)


NUMBERS = 0.2 + 0.6 * torch.rand(60, generator=DRAW)
REAL = beating(NUMBERS)
TOLD = [{"ef": float(number)} for number in NUMBERS]


def test_the_number_of_new_videos_is_read() -> None:
    regressor = Regressor.fitted([features(video) for video in REAL], NUMBERS.tolist())
    new = 0.2 + 0.6 * torch.rand(20, generator=DRAW)
    read = torch.tensor([regressor.read(features(video)) for video in beating(new)])
    error = float((read - new).square().mean().sqrt())
    assert error < 0.35 * float(NUMBERS.std())
    own = float((regressor.left_out - NUMBERS).square().mean().sqrt())
    assert own == pytest.approx(error, rel=0.6)
    swapped = features(REAL[0].flip(1))
    torch.testing.assert_close(swapped, features(REAL[0]))  # the order of frames is not seen


def test_left_out_is_what_a_fit_to_the_others_reads() -> None:
    """At a fixed ridge, the closed form is that of a fit without each clip."""
    x = torch.randn(12, 3, generator=DRAW, dtype=torch.float64)
    y = x @ torch.tensor([1.0, -2, 0.5], dtype=torch.float64) + torch.randn(12, generator=DRAW, dtype=torch.float64)
    values, vectors = torch.linalg.eigh(x @ x.T)
    ridge = torch.tensor(2.0, dtype=torch.float64)
    _, away, _ = Regressor._left_out(values, vectors, y, ridge)
    for left in range(12):
        rest = [k for k in range(12) if k != left]
        weights = torch.linalg.solve(
            x[rest].T @ x[rest] + ridge * torch.eye(3, dtype=torch.float64), x[rest].T @ y[rest]
        )
        assert float(y[left] - x[left] @ weights) == pytest.approx(float(away[left]), abs=1e-9)


@pytest.mark.parametrize("count", [12, 20, 90])
def test_a_regressor_of_few_clips_does_not_claim_to_read_noise(count: int) -> None:
    """Features and numbers that have nothing to do with each other, fewer clips than features and more."""
    x, y = (torch.randn(count, *size, generator=DRAW, dtype=torch.float64) for size in ((58,), ()))
    regressor = Regressor.fitted(list(x), y.tolist())
    away = float((regressor.left_out - y).square().mean().sqrt())
    assert 0.5 * float(y.std()) < away < 2 * float(y.std())


def test_left_out_is_exact_with_the_mean_in_the_fit() -> None:
    """At the ridge that is chosen, and the scales of all features."""
    x = torch.randn(12, 3, generator=DRAW, dtype=torch.float64)
    y = 5 + x @ torch.tensor([1.0, -2, 0.5], dtype=torch.float64)
    y = y + 0.5 * torch.randn(12, generator=DRAW, dtype=torch.float64)
    regressor = Regressor.fitted(list(x), y.tolist())
    rows = (x - regressor.centre) / regressor.spread
    # The normal equations give the ridge that was chosen.
    ridge = (rows.T @ (y - y.mean()) - rows.T @ rows @ regressor.weights) / regressor.weights
    for left in range(12):
        rest = [k for k in range(12) if k != left]
        own, mean, level = rows[rest], rows[rest].mean(0), y[rest].mean()
        square = (own - mean).T @ (own - mean) + ridge.mean() * torch.eye(3, dtype=torch.float64)
        weights = torch.linalg.solve(square, (own - mean).T @ (y[rest] - level))
        wanted = float(level + (rows[left] - mean) @ weights)
        assert float(regressor.left_out[left]) == pytest.approx(wanted, abs=1e-6)


def test_videos_that_are_as_asked_and_others() -> None:
    good, bad = (
        measured([NumberAnswered()], material(beating(numbers.repeat_interleave(2)), REAL, TOLD, 2))[0]
        for numbers in (NUMBERS, NUMBERS.roll(1))
    )
    assert isinstance(good, Result) and isinstance(bad, Result) and good.reference is not None
    assert good.value < 1.5 * good.reference < bad.value and good.reference < 0.35 * good.details["deviation"]
    assert good.details["correlation"] > 0.9 > abs(bad.details["correlation"]) + 0.3
    assert good.details["number"] == "ef" and len(good.details["asked"]) == 120 and good.samples == 60


def test_what_is_not_told_cannot_be_read() -> None:
    for told, reason in (
        ([{}] * 60, "expected data that tell one number of each clip, got none"),
        ([{"ef": 1.0, "age": 2.0}] * 60, "got age, ef"),
        ([{"ef": 1.0}] * 3 + [{}] * 57, "expected 8 real clips of which 'ef' is told, got 3"),
        ([{"ef": 1.0}] * 60, "expected different ones"),
    ):
        (found,) = measured([NumberAnswered()], material(REAL, REAL, told))  # type: ignore[arg-type]
        assert isinstance(found, Unavailable) and reason in found.reason
    (found,) = measured([NumberAnswered(number="ef")], material(REAL, REAL, [one | {"age": 3.0} for one in TOLD]))
    assert isinstance(found, Result)
