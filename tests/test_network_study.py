"""The study of U-Net and transformer: its pairs, what it measures of a run, and a page that says what numbers say."""

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch

from zoetrope.networks.dit import DiTConfig

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "studies"))


@pytest.mark.long
def test_pairs_are_equal_in_parameters_and_operations() -> None:
    measuring = importlib.import_module("_network")
    for size in measuring.SIZES:
        unet, dit = (measuring.counted(f"{kind}-{size}") for kind in ("unet", "dit"))
        assert dit["parameters"] == pytest.approx(unet["parameters"], rel=0.05)
        for work in ("forward", "training"):
            assert dit[work] == pytest.approx(unet[work], rel=0.1)
    recipes = [measuring.ARMS[name].recipe.to_json() for name in ("unet-small", "dit-small")]
    for one in recipes:
        del one["cascade"]["stages"][0]["network"], one["training"]["base"]["phases"][0]["peak"]
        for each in ("examples",):
            del one["training"]["base"]["phases"][0][each]
        for field in ("half_life", "checkpoint_every", "log_every"):
            del one["training"]["base"][field]
    assert recipes[0] == recipes[1]


def test_a_run_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny transformer, trained for two batches of each kind, and judged on few clips."""
    measuring, arms = importlib.import_module("_network"), importlib.import_module("_arms")
    mute = importlib.import_module("_recipes").MUTE
    for name, value in {"CLIPS": 3, "LEVELS": 2, "STEPS": 1, "PROMPTS": 2, "NOISES": 1, "REPEATS": 1}.items():
        monkeypatch.setattr(measuring, name, value)
    tiny = DiTConfig(patch=(1, 8, 8), width=16, depth=1, head=8, text_width=mute.width)
    arm = measuring.ARMS["dit-small"]
    recipe = arm.recipe.overridden({"cascade.text": mute.to_json(), "base.network": tiny.to_json()})
    recipe = recipe.override("base.training.checkpoint_every", 80)
    arm = arms.Arm(recipe.override("base.training.data.scripts", 8))
    monkeypatch.setitem(measuring.ARMS, "dit-small", arm)
    monkeypatch.setattr(measuring, "MAIN", {"dit-small": arm})
    arm.train(tmp_path / "run", 0.001, 0)
    assert arm.trained(tmp_path / "run", 0.001)
    kept = importlib.import_module("_measured").Kept(tmp_path / "measured")
    course = measuring.course("dit-small", tmp_path / "run", kept)
    assert course[-1]["examples"] >= 90 and torch.tensor(course[-1]["losses"]).shape == (2, 3)
    assert all(0 < loss < 10 for row in course[-1]["losses"] for loss in row)
    found = measuring.scores("dit-small", tmp_path / "run", kept)
    assert {key: torch.tensor(each["all"]).shape for key, each in found.items()} == dict.fromkeys(
        measuring.SETS, (1, 2)
    )
    speeds = measuring.speeds()["dit-small"]
    assert min(speeds["forward"]) > 0 and min(speeds["training"]) > 0


def numbers(better: float) -> dict[str, Any]:
    """Curves like 1 / sqrt(examples), where the transformer's loss is lower by a share that sizes hardly differ in."""
    measuring = importlib.import_module("_network")
    draw = torch.Generator().manual_seed(0)
    clips = 1 + 0.1 * torch.rand(8, generator=draw)
    arms = {}
    for name in measuring.NETWORKS:
        kind, _, size = name.partition("-")
        place = measuring.SIZES.index(size)
        factor = (1 - better * (1 + 0.02 * place)) if kind == "dit" else 1.0
        scale = 1.0 if kind == "dit" else 2.0  # the transformer's examples are cheaper
        hits = [[float(number % 3 == 0) for number in range(8)]]
        arms[name] = {
            "parameters": 10**6, "forward": 1e9, "training": 3e9 * scale, "sampling_bytes": 1e6,
            "training_bytes": 1e7, "milliseconds": {"forward": [1.0 * scale, 1.1 * scale], "training": [3 * scale] * 2},
            "course": [
                {"examples": n, "losses": [(clips * factor * n**-0.5).tolist()] * measuring.LEVELS}
                for n in (1000, 10_000, 100_000)
            ],
            "scores": {key: dict.fromkeys(measuring.ASPECTS, hits) for key in measuring.SETS},
        }  # fmt: skip
    sweep = {
        kind: {str(peak): {"examples": 5, "losses": [[peak] * 8]} for peak in measuring.SWEPT}
        for kind in measuring.KINDS
    }
    truth = {key: dict.fromkeys(measuring.ASPECTS, [1.0] * 8) for key in measuring.SETS}
    return {"arms": arms, "sweep": sweep, "truth": truth, "minutes": {name: [1.0] for name in arms}}


def test_the_page_decides_by_the_interval() -> None:
    study, written = importlib.import_module("network"), importlib.import_module("_page").written
    for better, verdict in ((0.05, "shown"), (-0.05, "the opposite")):
        given = numbers(better)
        claims = study.claims_of(given["arms"])
        assert claims["examples"].verdict == verdict and claims["familiar-all"].verdict == "not shown"
        assert claims["examples"].interval.value == pytest.approx(5 * better / 0.05, rel=0.05)
        # of half the cost it has twice the examples for the same: 1 / sqrt(2) of the loss beside
        _, other, spent = study.matched(given["arms"], "small", "operations")
        one = study.Curve.of(given["arms"]["unet-small"])
        assert spent == pytest.approx(3e9 * 100_000)
        assert sum(other) < sum(one.at(50_000)) * 0.8
        page = written(study.STUDY, given, study.page(given))
        told = page[page.index("## Which one to pick") :]
        winner = "transformer" if better > 0 else "U-Net"
        assert f"The data and the parameters are given: the **{winner}**" in told
        assert "What videos show of their prompts decides nothing here" in told
        assert "though 0.0005 did better" in told


def test_curves_are_read_between_checkpoints_by_the_logarithm() -> None:
    study = importlib.import_module("network")
    curve = study.Curve([100, 10_000], [[4.0, 2.0], [2.0, 1.0]])
    assert curve.at(1000) == pytest.approx([3.0, 1.5])
    assert curve.at(1) == [4.0, 2.0] and curve.at(10**6) == pytest.approx([2.0, 1.0])
