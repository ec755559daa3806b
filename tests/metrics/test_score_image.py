"""The scores of a model of pictures: its prompts, its judgement, its tables, and the whole script on a small model."""

import hashlib
import importlib
import json
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.data.toybox.scene import is_held_out
from zoetrope.data.toybox.vocabulary import COLOURS, FLAT_SHAPES, HELD_OUT_COLOUR_SHAPE, MOTIONS
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.models.folder import write_model
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.shapes import VideoShape
from zoetrope.text.words import Words
from zoetrope.video import read

SMALL, LARGE = VideoShape(frames=1, height=12, width=20, fps=1), VideoShape(frames=1, height=24, width=40, fps=1)


@pytest.fixture
def scoring(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return importlib.import_module("score_image")


def test_prompts_are_unseen_seen_or_in_new_words_and_tell_no_motion(scoring: ModuleType) -> None:
    sets = {name: draw(36) for name, draw in scoring.SETS.items()}
    combinations = [pair for pair in HELD_OUT_COLOUR_SHAPE if pair[1] in FLAT_SHAPES]
    assert [one.pairs[0] for one in sets["unseen"]] == combinations * 4
    assert not any(is_held_out(one.script) for name in ("seen", "words") for one in sets[name])
    new = {word for table in COLOURS.values() for word in table.words.held_out}
    new |= {word for table in FLAT_SHAPES.values() for word in table.held_out}
    for one in sets["words"]:
        assert one.aspects and all(word in one.text and word in new for word in one.words.values())
    told = {phrase for motion in MOTIONS.values() for phrase in (*motion.train, *motion.held_out)}
    for name, prompts in sets.items():
        assert len(prompts) == 36
        assert [one.text for one in prompts if any(phrase in one.text for phrase in told)] == []
        if name != "words":
            assert all(one.aspects[:2] == ("colour", "shape") for one in prompts)
            assert {len(one.aspects) for one in prompts} == {2, 3}  # some tell the background
    assert sets["unseen"][:7] == scoring.unseen(7)


def test_true_pictures_are_right_and_those_of_others_by_chance(scoring: ModuleType) -> None:
    prompts = scoring.unseen(27)
    true = [[scoring.true_picture(one, 2 * n + k, LARGE) for k in range(2)] for n, one in enumerate(prompts)]
    assert all(not np.array_equal(*pair) for pair in true)
    right, wrong = (scoring.summary(scoring.judged(prompts, each)) for each in (true, scoring.others(true)))
    assert right["pictures"] == 54 and right["prompts"] == 27
    for aspect in ("colour", "shape", "colour and shape"):
        assert right["aspects"][aspect]["right"] >= 53 and right["aspects"][aspect]["clusters"] == 27
        assert right["by what is new"][aspect]["clusters"] == 9
        assert wrong["aspects"][aspect]["right"] <= 20
    for kind, total in (("colour", 54), ("shape", 54)):
        classes = [share for name, share in right["classes"].items() if name.startswith(f"{kind} ")]
        assert sum(share["samples"] for share in classes) == total
        assert sum(share["right"] for share in classes) == right["aspects"][kind]["right"]
    assert len(right["combinations"]) == 9
    with pytest.raises(ValueError, match="expected at least 2"):
        scoring.others(true[:1])


def test_both_are_right_only_together(scoring: ModuleType) -> None:
    one = scoring.seen(1)[0]._replace(aspects=("colour", "shape"))
    truth = one.truth
    halves = [{**truth, "colour": None}, {**truth, "shape": "other"}, truth]
    found = [scoring.Judged(number, truth, saw) for number, saw in enumerate(halves)]
    told = scoring.summary(found)["aspects"]
    assert {name: share["right"] for name, share in told.items()} == {"colour": 2, "shape": 2, "colour and shape": 1}
    alone = scoring.summary([scoring.Judged(0, {"colour": "red"}, {"colour": "red"})])
    assert alone["aspects"].keys() == {"colour"} and "| - |" in scoring.table({"words": {"base": alone}})


def network(low_res: bool) -> VideoUNetConfig:
    """A network of some thousand weights."""
    levels = (Level(width=8), Level(width=8, text_attention=True))
    return VideoUNetConfig(low_res=low_res, text_width=8, embedding=16, head=8, patch=2, levels=levels)


def test_a_model_is_scored_after_every_stage(
    scoring: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = SamplingSpec(steps=2)
    stages = (
        StageSpec(name="base", shape=SMALL, network=network(False), sampling=plain),
        StageSpec(name="ssr", shape=LARGE, inputs=usual_inputs(SMALL), network=network(True), sampling=plain),
    )
    torch.manual_seed(0)
    networks = {stage.name: stage.network.build() for stage in stages}
    model = CascadeSpec(name="untrained", text=Words(width=8, limit=16), stages=stages)
    write_model(tmp_path / "model", model, networks, "# untrained\n")
    asked = ["--model", str(tmp_path / "model"), "--out", str(tmp_path / "out"), "--prompts", "9", "--noises", "2"]
    scoring.main([*asked, "--sets", "unseen"])
    told = json.loads((tmp_path / "out/scores.json").read_text())
    scores = told["sets"]["unseen"]
    assert list(scores) == ["base", "ssr", scoring.TRUE, scoring.OTHER]
    assert all(told["pictures"] == 18 for told in scores.values())
    assert scores["ssr"]["aspects"]["shape"]["right"] <= 2 and scores[scoring.TRUE]["aspects"]["shape"]["right"] >= 17
    assert told["model"] == "untrained" and told["weights"].keys() == {"base", "ssr"}
    table = (tmp_path / "out/table.md").read_text()
    assert table.strip() in capsys.readouterr().out and "| unseen | true pictures | 9 x 2 | 100.0 %" in table
    assert read(tmp_path / "out/unseen.png").frames.shape == (1, 2 * 28, 9 * 44, 3)
    assert "| unseen | ssr | colour 97 % |" in table and "| unseen | true pictures | colour 97 %" not in table
    scoring.main([*asked, "--sets", "words"])
    again = json.loads((tmp_path / "out/scores.json").read_text())["sets"]
    assert again["unseen"] == scores and again["words"]["base"]["words"]


def test_a_model_of_videos_is_refused(scoring: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mini: expected a model of single pictures, got one of 128 frames"):
        scoring.main(["--model", "mini", "--out", str(tmp_path)])


def test_new_words_are_told_one_by_one_and_are_what_is_new(scoring: ModuleType) -> None:
    prompts = scoring.words(36)
    blue = {"colour": "blue"}
    found = [scoring.Judged(0, blue, blue, words={"colour": "bluish"})]
    found += [scoring.Judged(n, blue, {"colour": None}, words={"colour": "navy"}) for n in (1, 2, 3)]
    told = scoring.summary(found)
    assert {name: share["right"] for name, share in told["words"].items()} == {"colour bluish": 1, "colour navy": 0}
    assert told["by what is new"]["colour"]["clusters"] == 2 and told["aspects"]["colour"]["clusters"] == 4
    assert scoring.failures({"words": {"base": told}}) == {"words: colour navy"}
    assert scoring.failures({"words": {scoring.TRUE: told}}) == set()
    true = [[scoring.true_picture(one, n, LARGE)] for n, one in enumerate(prompts)]
    told = scoring.summary(scoring.judged(prompts, true))
    for aspect in ("colour", "shape"):
        new = [one.words[aspect] for one in prompts if aspect in one.words]
        assert told["by what is new"][aspect]["clusters"] == len(set(new))
        assert sum(told["words"][f"{aspect} {word}"]["samples"] for word in set(new)) == len(new)
    table = scoring.table({"words": {"base": told}})
    assert "| words: of further words |" in table and "| words: words |" in table and "| words: classes |" not in table


MODEL = Path(__file__).parents[2] / "zoetrope/models/mini_image"


def test_the_card_of_mini_image_tells_the_scores_and_names_what_fails(scoring: ModuleType) -> None:
    """What is measured stands beside the card: its tables are the card's, and so are its failures."""
    told, card = json.loads((MODEL / "scores.json").read_text()), (MODEL / "README.md").read_text()
    for stage, digest in told["weights"].items():
        found = hashlib.sha256((MODEL / stage / "model.safetensors").read_bytes()).hexdigest()
        assert found == digest, f"{stage}: scores.json is of other weights; measure anew with benchmarks/score_image.py"
    assert told["weights"].keys() == {"base", "ssr"} and "unseen" in told["sets"]
    missing = [line for line in scoring.table(told["sets"]).splitlines() if line not in card.splitlines()]
    assert not missing, f"README.md lacks {missing}"
    known = card.split("## Known failures")[1].split("\n## ")[0]
    assert set(re.findall(r"^- `(.+?)`", known, re.MULTILINE)) == scoring.failures(told["sets"])
