"""The worlds that are trained in miniature: true videos get full marks, and a model is made, trained and scored."""

import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from zoetrope.__main__ import main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def worlds(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    pytest.importorskip("sklearn.datasets")
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("score_worlds")


def test_true_digits_get_full_marks(worlds: ModuleType) -> None:
    draw = np.random.default_rng(5)
    images, classes = worlds.pictures()

    def true(truth: Tensor, known: Sequence[int], given: dict[str, Any]) -> Tensor:
        if "digit" in given:
            rows = [int(np.flatnonzero(classes == int(label))[-1]) for label in given["digit"]]
            places = torch.from_numpy(draw.integers(12, size=(len(rows), 2)))
            return worlds.moved(images[rows], places, torch.ones_like(places))
        if list(known) == [0, 3]:  # either way round, evenly
            either = torch.from_numpy(draw.choice([-2, 2], (len(truth), 2)))
            return worlds.moved(truth[:, 0], torch.zeros(len(truth), 2, dtype=torch.long), either)
        return truth

    scores = worlds.score_digits(true, 60)
    assert scores["label"]["share"] >= 0.95 and scores["rest"] == 0 and scores["legal"] == 1
    assert scores["forward_p"] > 1e-4

    def still(truth: Tensor, known: Sequence[int], given: dict[str, Any]) -> Tensor:
        return truth[:, :1].expand(-1, 4, -1, -1) if known else true(truth, known, {"digit": ["0"] * len(truth)})

    wrong = worlds.score_digits(still, 60)
    assert wrong["label"]["share"] < 0.2 and wrong["rest"] > 0.5 and wrong["legal"] == 0


def test_a_true_ball_gets_full_marks(worlds: ModuleType) -> None:
    draw = np.random.default_rng(5)

    def true(truth: Tensor, known: Sequence[int], given: dict[str, Any]) -> Tensor:
        if given:
            return truth
        steps = torch.from_numpy(draw.integers(-1, 2, (len(truth), 6, 2)))
        steps[:, 0] = 0
        return worlds.ball(worlds.place_of(truth[:, :1]) + steps.cumsum(1))

    scores = worlds.score_ball(true, 150)
    assert scores["away"] < 0.01 and scores["near"] == 1 == scores["steps_near"] and scores["steps_p"] > 1e-4
    still = worlds.score_ball(lambda truth, known, given: truth[:, :1].expand(-1, 6, -1, -1), 30)
    assert still["near"] < 0.6 and still["steps_p"] < 1e-6


@pytest.mark.parametrize(("world", "share"), [("digits", "legal"), ("ball", "near")])
def test_a_model_is_made_trained_and_scored(
    worlds: ModuleType, world: str, share: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / world
    monkeypatch.setattr(sys, "argv", ["score_worlds.py", "make", world, str(folder), "--recordings", "40"])
    worlds.main()
    narrow = [f"base.network.levels.{k}.width=32" for k in (0, 1)]
    changes = [*narrow, 'base.training.phases=[{"examples": 8, "batch": 4}]', "base.training.sample_every=0"]
    sets = [word for change in (*changes, "base.sampling.steps=2") for word in ("--set", change)]
    assert main(["train", str(folder / "recipe.json"), "--out", str(folder / "run"), "--quiet", *sets]) == 0
    words = ["score", world, str(folder), "--count", "2", "--json", str(folder / "scores.json")]
    monkeypatch.setattr(sys, "argv", ["score_worlds.py", *words])
    worlds.main()
    assert 0 <= json.loads((folder / "scores.json").read_text())[share] <= 1
