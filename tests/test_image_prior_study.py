"""The study of what an image model is worth: its two trainings, and a page that says what its numbers say."""

import importlib
import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from zoetrope.models.finding import shipped
from zoetrope.models.opening import open_model
from zoetrope.models.weights import read_network

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "studies"))


def study() -> Any:
    return importlib.import_module("image_prior")


def test_arms_differ_in_the_weights_that_they_begin_with_alone() -> None:
    scratch, inherited = study().ARMS.values()
    assert scratch.recipe == inherited.recipe and scratch._replace(init=inherited.init) == inherited
    assert scratch.init is None and inherited.init == study().MODEL


@pytest.mark.skipif("mini_image" not in shipped(), reason="no image model ships to begin with")
@pytest.mark.long
def test_both_are_trained_and_judged_from_what_they_begin_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Two batches of few scripts and a measurement of few prompts; the image model's weights are hardly moved."""
    monkeypatch.setattr(study(), "PROMPTS", 2)
    monkeypatch.setattr(study(), "STEPS", 1)
    folders, caplog_text = dict[str, list[Path]](), dict[str, str]()
    for name, arm in study().ARMS.items():
        few = {"base.training.data.scripts": 8, "base.training.log_every": 8, "base.training.checkpoint_every": 8}
        few["base.training.phases"] = [{"examples": 4, "batch": 2, "peak": 1e-3}]
        short = arm._replace(recipe=arm.recipe.overridden(few))
        caplog.clear()
        with caplog.at_level(logging.INFO):
            short.train(tmp_path / name / "0", 1.0, 0)
        caplog_text[name], folders[name] = caplog.text, [tmp_path / name / "0"]
        assert short.trained(tmp_path / name / "0", 1.0)
    assert "begins exactly as the image network's, frame by frame" in caplog_text[study().INHERITED]
    assert "begins" not in caplog_text[study().SCRATCH]
    model = open_model(study().MODEL)
    taught = read_network(model.spec.stages[0], model.weights["base"]).state_dict()
    apart = []
    for each in folders.values():
        made = importlib.import_module("_sampler").Sampler.of_run(each[0]).network.state_dict()
        apart.append(sum(float((made[key] - taught[key]).abs().mean()) for key in made.keys() & taught.keys()))
    assert apart[1] < apart[0] / 4
    numbers = study().measure(folders, importlib.import_module("_measured").Kept(tmp_path / "measured"))
    for each in numbers["arms"].values():
        assert [one["examples"] for one in each] == [4, 4, 4]
        assert all(torch.tensor(one[aspect]).shape == (1, 2) for one in each for aspect in study().ASPECTS)
    assert numbers["truth"]["look"] == [1, 1]


def numbers(inherited: dict[int, float], scratch: dict[int, float]) -> dict[str, Any]:
    """Shares of prompts that are right after so many clips, of three seeds."""

    def table(share: float) -> list[list[float]]:
        return [[float(number < 20 * share + (seed == number == 19)) for number in range(20)] for seed in range(3)]

    def told(shares: dict[int, float]) -> list[dict[str, Any]]:
        return [{"examples": n, **dict.fromkeys(study().ASPECTS, table(each))} for n, each in shares.items()]

    arms = {study().SCRATCH: told(scratch), study().INHERITED: told(inherited)}
    truth = dict.fromkeys(study().ASPECTS, [1.0] * 20)
    return {"arms": arms, "truth": truth, "minutes": {name: [1.0] * 3 for name in arms}}


def test_the_page_decides_by_the_interval() -> None:
    written = importlib.import_module("_page").written
    for shares, goal, verdict in (
        ((0.7, 0.8, 0.9), 0.5, "shown"),
        ((0.5, 0.5, 0.6), 0.9, "the opposite"),
        ((0.5, 0.5, 0.5), 0.5, "not shown"),
    ):
        given = numbers(dict(zip((10, 20, 40), shares, strict=True)), {10: 0.3, 20: 0.4, 40: goal})
        page = study().page(given)
        half = [claim for claim in page.claims if "after 20 clips from the image model" in claim.text]
        assert [claim.told for claim in half] == [verdict] * 3 and half[0].text.endswith("after 40 from scratch")
        text = written(study().STUDY, given, page)
        reached = "is reached after 10 from" if shares[0] >= goal else "is not reached from"
        assert f"what 40 clips from scratch reach ({goal:.1%}) {reached} the image model" in text
        assert all(any(f"| {name} | 40 |" in line for line in text.splitlines()) for name in study().ARMS)


def test_nothing_is_testable_if_an_arm_learnt_no_words() -> None:
    page = study().page(numbers({10: 0.5, 20: 0.6, 40: 0.7}, {10: 0.0, 20: 0.05, 40: 0.05}))
    told = [claim.told for claim in page.claims]
    assert told[:2] == ["not shown to hold", "holds"] and set(told[2:]) == {"not testable"}
    assert "- motion: what 40 clips from scratch reach (5.0%) is no more than chance (10.0%)" in page.notes


def test_five_prompts_of_64_show_nothing_though_all_speak_for_the_image_model() -> None:
    right, none = [[float(number < 5) for number in range(64)]] * 3, [[0.0] * 64] * 3
    learnt = {**dict.fromkeys(study().ASPECTS, none), "colour": [[1.0] * 64] * 3}
    arms = {study().SCRATCH: [{"examples": n, **learnt} for n in (10, 20, 40)]}
    arms[study().INHERITED] = [{"examples": n, **learnt, "all": right} for n in (10, 20, 40)]
    told = {claim.text: claim.told for claim in study().claims_of(arms)}
    assert {each for text, each in told.items() if text.startswith("colour, shape and motion")} == {"not shown"}
