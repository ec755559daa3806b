"""What the scores of a model are made of: verdicts on videos, shares by class and by word, their tables."""

import hashlib
import importlib
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from zoetrope.cascade.tuning import Tuning, tuned
from zoetrope.data.toybox.prompts import Prompt, combinations, familiar, hues, wordings
from zoetrope.data.toybox.render import render
from zoetrope.data.toybox.scene import Script, Thing, held_out_pairs, scene
from zoetrope.metrics.intervals import Proportion
from zoetrope.models.opening import open_model
from zoetrope.shapes import VideoShape
from zoetrope.video import Video

SHAPE = VideoShape(frames=16, height=24, width=40, fps=3)


@pytest.fixture
def judging(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return importlib.import_module("_judging")


@pytest.fixture
def scores(judging: ModuleType) -> ModuleType:
    return importlib.import_module("_scores")


def shown(prompt: Prompt, seed: int = 0) -> Video:
    """A true video of a prompt."""
    frames = render(scene(prompt.script, seed), SHAPE)
    return Video.from_tensor(torch.from_numpy(frames).permute(3, 0, 1, 2).float() * 2 - 1, SHAPE.fps)


def test_unseen_words_are_found() -> None:
    for prompt in wordings(64):
        assert prompt.unseen and all(word in prompt.text for word in prompt.unseen.values())
    assert {"colour"} == {aspect for prompt in hues(8) for aspect in prompt.unseen}
    assert not any(prompt.unseen for prompt in (*combinations(8), *familiar(8)))
    assert any(len(prompt.unseen) == 1 for prompt in wordings(64))


def test_true_videos_are_right_and_those_of_others_are_not(judging: ModuleType) -> None:
    prompts = combinations(6)
    told = judging.summary(judging.verdicts("combinations", prompts, [[shown(p), shown(p, 1)] for p in prompts]))
    assert told["videos"] == 12 and told["prompts"] == 6
    assert told["aspects"]["colour"]["right"] >= 11
    assert told["aspects"]["all"]["clusters"] == len({held_out_pairs(prompt.script) for prompt in prompts})
    swapped = [[shown(p)] for p in (*prompts[1:], prompts[0])]
    assert judging.summary(judging.verdicts("combinations", prompts, swapped))["aspects"]["all"]["right"] <= 1
    for aspect in ("colour", "shape", "motion"):
        every = told["classes"][aspect].values()
        assert sum(share["samples"] for share in every) == 12
        assert sum(share["right"] for share in every) == told["aspects"][aspect]["right"]


def test_only_what_unseen_words_tell_is_judged(judging: ModuleType) -> None:
    prompts = wordings(24)
    told = judging.summary(judging.verdicts("wordings", prompts, [[shown(p)] for p in prompts]))
    for aspect in ("colour", "shape", "motion"):
        asked = sum(aspect in prompt.unseen for prompt in prompts)
        assert told["aspects"][aspect]["samples"] == asked
        assert sum(share["samples"] for share in told["words"][aspect].values()) == asked
    assert "all" not in told["aspects"]
    # A wrong motion, told by a word that training knows, costs nothing.
    prompt = next(p for p in prompts if "motion" not in p.unseen and p.script.motion != "still")
    still = prompt._replace(script=prompt.script.with_(motion="still"))
    (verdict,) = judging.verdicts("wordings", [prompt], [[shown(still)]])
    assert "motion" not in verdict.hits and verdict.hits["colour"]


def test_an_interval_is_that_of_further_words_and_combinations(judging: ModuleType) -> None:
    """Prompts of one held-out word or combination are no independent samples of what is held out."""
    prompts = wordings(48)
    blue = Script(things=(Thing(shape="circle", colour="blue"),), motion="still", background="white")
    made = [[shown(p._replace(script=blue) if p.unseen.get("colour") == "reddish" else p)] for p in prompts]
    told = judging.summary(judging.verdicts("wordings", prompts, made))["aspects"]["colour"]
    asked = [p.unseen["colour"] for p in prompts if "colour" in p.unseen]
    alone = Proportion.of([word != "reddish" for word in asked])
    assert told["clusters"] == len(set(asked)) < told["samples"] == len(asked)
    assert told["low"] < alone.low - 0.1
    prompts = [prompt for prompt in combinations(40) if held_out_pairs(prompt.script) == (("red", "star"),)]
    told = judging.summary(judging.verdicts("combinations", prompts, [[shown(p)] for p in prompts]))
    assert len(prompts) > 1 and {share["clusters"] for share in told["aspects"].values()} == {1}


def share(right: int, samples: int, low: float, high: float) -> dict[str, Any]:
    return {"right": right, "samples": samples, "clusters": samples // 4, "low": low, "high": high}


def test_tables_tell_what_is_reached_and_what_never_works(scores: ModuleType) -> None:
    aspects = {
        "colour": share(99, 100, 0.96, 1),
        "shape": share(91, 100, 0.84, 0.95),
        "motion": share(70, 100, 0.6, 0.8),
    }
    classes = {"motion": {"spin": share(0, 44, 0, 0.1), "up": share(40, 56, 0.6, 0.9)}}
    told = {
        "videos": 100,
        "prompts": 25,
        "aspects": aspects,
        "classes": classes,
        "words": {},
    }
    text = scores.table({"combinations": {"base": told}})
    for line in (
        "| colour 95 % | 99.0 % (96 to 100) | yes |",
        "| shape 90 % | 91.0 % (84 to 95) | not decided |",
        "| motion 85 % | 70.0 % (60 to 80) | no |",
        "| motion spin | 11 | 0 of 44 |",
        "| 25 x 4 |",
    ):
        assert line in text
    wordings = told | {"words": {"motion": {"twirling": share(0, 8, 0, 1), "falling": share(8, 8, 0.5, 1)}}}
    assert scores.zeros({"combinations": {"base": told}}) == {"motion spin"}
    assert scores.zeros({"combinations": {"base": told}, "wordings": {"base": wordings}}) == {
        "motion spin", "motion twirling",
    }  # fmt: skip
    assert "| motion twirling | 2 | 0 of 8 |" in scores.table({"wordings": {"base": wordings}})


MINI = Path(__file__).parents[2] / "zoetrope/models/mini"


def test_the_card_of_mini_tells_the_scores_and_names_what_never_works(scores: ModuleType) -> None:
    """What is measured stands beside the card: its tables are the card's, and a class that is 0 is a known failure."""
    told, card = json.loads((MINI / "scores.json").read_text()), (MINI / "README.md").read_text()
    for stage, digest in told["weights"].items():
        found = hashlib.sha256((MINI / stage / "model.safetensors").read_bytes()).hexdigest()
        assert found == digest, f"{stage}: scores.json is of other weights; measure anew with benchmarks/score_mini.py"
    missing = [line for line in scores.table(told["sets"]).splitlines() if line not in card.splitlines()]
    assert not missing, f"README.md lacks {missing}"
    known = card.split("## Known failures")[1].split("\n## ")[0]
    named = set(re.findall(r"^- `(.+?)`", known, re.MULTILINE))
    assert named == scores.zeros(told["sets"])
    for name in {"colour", "shape", "motion"}:
        assert told["sets"]["combinations"]["base"]["classes"][name]


def test_stages_that_were_asked_for_fewer_prompts_stand_beside_the_others(scores: ModuleType) -> None:
    """As after a quick look at some stages and a whole measurement of others, in one folder."""

    def told(classes: dict[str, int]) -> dict[str, Any]:
        found = {name: {**share(right, 4, 0, 1), "clusters": right} for name, right in classes.items()}
        return {"videos": 4, "prompts": 1, "aspects": {}, "classes": {"motion": found}, "words": {}}

    for first, second in (("base", "ssr"), ("ssr", "base")):
        rows = {"base": told({"rest": 3, "spin": 1}), "ssr": told({"spin": 2, "up": 4})}
        text = scores.table({"familiar": {name: rows[name] for name in (first, second)}}).splitlines()
        cells = {"rest": {"base": "3 of 4", "ssr": "-"}, "up": {"base": "-", "ssr": "4 of 4"}}
        for motion, each in cells.items():
            assert any(line.endswith(f"| {each[first]} | {each[second]} |") and motion in line for line in text)


def test_scores_of_other_sampling_are_kept_apart(
    scores: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A quick look with few steps replaces no set of the whole measurement, and joins none."""
    model = open_model("mini")
    whole = scores.write_scores(tmp_path, model, torch.float32, {"familiar": {"base": 1}, "pairs": {"base": 2}})
    assert scores.write_scores(tmp_path, model, torch.float32, {"pairs": {"base": 3}})["familiar"] == whole["familiar"]
    quick = model._replace(spec=tuned(model.spec, Tuning(steps=4)))
    assert scores.write_scores(tmp_path, quick, torch.float32, {"pairs": {"base": 4}}) == {"pairs": {"base": 4}}
    [aside] = tmp_path.glob("scores-*.json")
    assert json.loads(aside.read_text())["sets"] == {"familiar": {"base": 1}, "pairs": {"base": 3}}
    assert aside.name in capsys.readouterr().out
    old = {name: value for name, value in json.loads((tmp_path / "scores.json").read_text()).items()}
    del old["sampling"]  # as it was written before
    (tmp_path / "scores.json").write_text(json.dumps(old))
    assert set(scores.write_scores(tmp_path, quick, torch.float32, {"hues": {"base": 5}})) == {"pairs", "hues"}


def test_a_mean_of_one_value_reaches_no_aim(scores: ModuleType) -> None:
    assert scores.mean_reached({"value": 0.9, "half": None}, 0.7) == "not decided"
    assert [scores.mean_reached({"value": 0.9, "half": half}, 0.7) for half in (0.1, 0.3)] == ["yes", "not decided"]
    assert scores.mean_reached({"value": 0.5, "half": 0.1}, 0.7) == "no"
