"""The studies: what they train, and their pages, which say what their numbers say."""

import argparse
import importlib
import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from zoetrope.data.toybox import Toybox
from zoetrope.training.spec import Phase

ROOT = Path(__file__).parents[1]
STUDIES = sorted(path.stem for path in (ROOT / "studies").glob("[!_]*.py"))


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "studies"))


def intervals() -> Any:
    return importlib.import_module("_intervals")


def test_every_study_has_a_page() -> None:
    assert all((ROOT / f"docs/results/{name}.md").exists() for name in STUDIES)


@pytest.mark.parametrize("name", STUDIES)
def test_page_says_what_its_numbers_say(name: str) -> None:
    """And without numbers what is asked and how alone."""
    study, made = importlib.import_module(name).STUDY, importlib.import_module("_page")
    file = ROOT / "docs/results" / f"{name}.json"
    numbers = json.loads(file.read_text()) if file.exists() else None
    told = made.planned(study) if numbers is None else made.written(study, numbers, study.page(numbers))
    assert told == (ROOT / "docs/results" / f"{name}.md").read_text()
    assert study.doubts and study.moves
    assert sys.modules["_intervals"].__file__ == str(ROOT / "studies/_intervals.py")


def page_of(name: str) -> Any:
    """The page of a study as its numbers make it."""
    return importlib.import_module(name).STUDY.page(json.loads((ROOT / f"docs/results/{name}.json").read_text()))


@pytest.mark.parametrize("name", STUDIES)
def test_nothing_is_shown_of_shares_that_flipped_signs_could_have_made(name: str) -> None:
    points = importlib.import_module("_claims").points
    claims = [claim for claim in page_of(name).claims if claim.form is points and not claim.precondition]
    shares = [claim for claim in claims if "saturates" not in claim.text]  # which is no share of prompts
    assert all(claim.apart for claim in shares)
    for claim in shares:
        if claim.verdict != "not shown" and claim.beyond == 0:
            assert intervals().flipped(claim.apart) < 0.05, claim.text


@pytest.mark.parametrize("name", STUDIES)
def test_no_interval_of_shares_is_without_width(name: str) -> None:
    page = (ROOT / f"docs/results/{name}.md").read_text()
    assert not re.findall(r"\b(\d+)% to \1%|([+-]\S+ points) to \2", page)


@pytest.mark.parametrize("name", STUDIES)
def test_one_training_of_each_arm_shows_nothing(name: str) -> None:
    """But for preconditions, and where pairs of sizes stand for seeds."""
    study, page = importlib.import_module(name).STUDY, page_of(name)
    claims = [claim for claim in page.claims if not claim.precondition]
    if any(math.isinf(claim.interval.low) for claim in claims):
        assert {claim.told for claim in claims} == {"not shown"} and page.limit.startswith("not shown. One training")
    else:
        assert not study.arms or len(study.seeds) > 1 or name == "network"


def test_what_distilled_stages_quote_of_motions_is_what_the_study_found() -> None:
    claim = next(each for each in page_of("distillation").claims if "more motions right" in each.text)
    value, low, high = (round(100 * each) for each in claim.interval)
    assert f"{value} points more ({low} to {high})" in (ROOT / "docs/results/distilled.md").read_text()


DIFFER = {
    "conditioning_augmentation": {"cascade.stages.1.inputs.1.augment"},
    "curation": {"training.base.data.path"},
    "image_prior": set[str](),  # but for the weights that they begin with
    "joint_training": {"training.base.data.parts.1.source.scripts", "training.base.phases.0.images"},
    "language": {"cascade.text.type", "cascade.text.limit"},  # no caption is as long as either limit
    "model_size": {f"cascade.stages.0.network.levels.{level}.width" for level in (0, 1)},
    "sprites": set[str](),  # a single one
    "prediction": {"cascade.stages.1.prediction", "training.ssr.weight"},
    "temporal_layers": {f"cascade.stages.1.network.levels.{level}.temporal.0" for level in (0, 1)},
}


@pytest.mark.parametrize("name", [name for name in STUDIES if name in DIFFER])
def test_arms_differ_in_what_is_studied_alone(name: str) -> None:
    first, *others = (leaves(arm.recipe.to_json()) for arm in importlib.import_module(name).STUDY.arms.values())
    paths = {path for other in others for path in first.keys() | other.keys() if first.get(path) != other.get(path)}
    assert paths == DIFFER[name]


def test_only_studies_of_what_ships_train_nothing() -> None:
    nothing = {name for name in STUDIES if not importlib.import_module(name).STUDY.arms}
    assert (
        nothing
        == {"guidance", "distillation", "known_frames", "long_videos"}
        == set(STUDIES) - DIFFER.keys() - {"network"}
    )


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(value, dict | list):
        return {path: value}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return {name: leaf for key, each in items for name, leaf in leaves(each, f"{path}.{key}".lstrip(".")).items()}


@pytest.mark.parametrize("path", sorted((ROOT / "studies").glob("*.py")), ids=lambda path: path.name)
def test_files_are_of_one_concern(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 400


def test_a_measurement_is_made_once(tmp_path: Path) -> None:
    kept, made = importlib.import_module("_measured").Kept(tmp_path / "measured"), []
    for _ in range(2):
        assert kept("one", lambda: made.append(1) or [len(made)]) == [1]


def test_what_is_tried_out_touches_neither_runs_nor_pages_of_the_study() -> None:
    places = importlib.import_module("_main").places
    assert not {*places(0.02)} & {*places(1)} and places(1)[1] == Path("docs/results")


def test_chance_is_that_of_the_world() -> None:
    from zoetrope.data.toybox.prompts import familiar

    chance = importlib.import_module("_judge").CHANCE
    things = [prompt.script.things[0] for prompt in familiar(400)]
    moving = importlib.import_module("_judge").CHANCE_MOVING
    assert moving["motion"] == 1 / len({prompt.script.motion for prompt in familiar(400)})
    assert moving["all"] == chance["all"] * moving["motion"]
    for aspect in ("colour", "shape"):
        assert chance[aspect] == 1 / len({getattr(thing, aspect) for thing in things})


def tiny(**fields: Any) -> Any:
    """An arm that learns in a moment."""
    recipes, arms = importlib.import_module("_recipes"), importlib.import_module("_arms")
    phases = (Phase(examples=8, batch=2, peak=1e-3),)
    recipe = recipes.painter(
        recipes.STILL, phases, widths=(32, 32), text=recipes.MUTE, data=Toybox(scripts=4), **fields
    )
    return arms.Arm(recipe)


def test_a_run_of_another_recipe_is_not_taken_for_an_arms(tmp_path: Path) -> None:
    arm = tiny(precision="fp32")
    assert not arm.trained(tmp_path / "0", 0.5)
    arm.train(tmp_path / "0", 0.5, 0)
    assert arm.trained(tmp_path / "0", 0.5)
    with pytest.raises(ValueError, match=r"0: expected a run of this study's recipe, got one with another \S*phases"):
        arm.trained(tmp_path / "0", 1.0)
    with pytest.raises(ValueError, match=r"another training\.base\.seed; give another --out"):
        arm.trained(tmp_path / "0", 0.5, seed=1)
    with pytest.raises(ValueError, match=r"another training\.base\.clip"):
        tiny(precision="fp32", clip=3.0).trained(tmp_path / "0", 0.5)


def test_measurements_of_other_weights_are_not_reused(tmp_path: Path) -> None:
    kept = importlib.import_module("_measured").Kept(tmp_path / "measured")
    kept.expect({"one": ["a", "b"], "model mini": ["c"]})
    assert kept("number", lambda: 1) == 1
    kept.expect({"one": ["a", "b"], "model mini": ["c"]})
    for other, place in (({"one": ["a", "x"], "model mini": ["c"]}, "one.1"), ({"one": ["a", "b"]}, "model mini")):
        with pytest.raises(ValueError, match=rf"measured: expected measurements of the weights .* \({place}\)"):
            kept.expect(other)


def test_what_ships_is_measured_by_its_weights() -> None:
    made = importlib.import_module("_study")
    for name in ("guidance", "distillation", "known_frames", "long_videos"):
        study = importlib.import_module(name).STUDY
        found = made.networks_of(study, {})
        assert [*found] == ["model mini"] and len(found["model mini"]) == 2  # the distilled base and its original


def asked(monkeypatch: pytest.MonkeyPatch, study: Any, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["study.py", *words])
    importlib.import_module("_main").main(study)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--jobs", "0"), "--jobs: expected a whole number above 0, got '0'"),
        (("--scale", "0"), "--scale: expected a share above 0 and up to 1, got '0'"),
        (("--scale", "nan"), "--scale: expected a share above 0 and up to 1, got 'nan'"),
        (("--scale", "20"), "--scale: expected a share above 0 and up to 1, got '20'"),
        (("--typo",), "unrecognized arguments: --typo"),
    ],
)
def test_mistaken_options_are_told_before_anything_is_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str
) -> None:
    study = importlib.import_module("language").STUDY._replace(prepare=lambda: pytest.fail("data were made"))
    with pytest.raises(SystemExit, match="2"):
        asked(monkeypatch, study, *words)
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--train", "MiniLN", "0"), "--train: unknown arm 'MiniLN'; did you mean 'MiniLM'"),
        (("--train", "MiniLM", "7"), "--train: expected a seed of 0, 1, 2, got '7'"),
        (("--rewrite", "--page", "nowhere"), "language.json: expected the numbers of a page to rewrite"),
    ],
)
def test_other_mistakes_are_told_too(monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], told: str) -> None:
    study = importlib.import_module("language").STUDY._replace(prepare=lambda: pytest.fail("data were made"))
    with pytest.raises(ValueError, match=re.escape(told)):
        asked(monkeypatch, study, *words)


def test_curation_makes_its_clips_once_the_options_are_known() -> None:
    study = importlib.import_module("curation")
    assert study.STUDY.prepare.args == (study.DATA, study.COUNT)


def test_a_preparation_of_another_number_of_clips_is_refused(tmp_path: Path) -> None:
    planted = importlib.import_module("_planted")
    (tmp_path / planted.TRUTH).write_text(json.dumps({"0.mp4": "", "1.mp4": "cuts"}))
    with pytest.raises(ValueError, match="expected 8 clips, or no such folder, got 2 clips"):
        planted.prepare(tmp_path, 8)


def test_a_training_that_fails_leaves_no_other_one_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "study.py"
    script.write_text(
        "import pathlib, sys, time\n"
        "if sys.argv[2] == 'bad':\n    sys.exit(1)\n"
        "time.sleep(1)\npathlib.Path(sys.argv[5]).joinpath('good').touch()\n"
    )
    made = importlib.import_module("_main")
    arm = tiny()
    study = importlib.import_module("language").STUDY._replace(arms={"bad": arm, "good": arm}, seeds=(0,))
    monkeypatch.setattr(sys, "argv", [str(script)])
    options = argparse.Namespace(out=tmp_path, jobs=2, scale=1.0, given=None)
    with pytest.raises(SystemExit, match="the training of bad, seed 0, failed"):
        made._train_all(study, options)
    assert (tmp_path / "good").exists()


def test_a_study_that_is_tried_out_has_lines_of_metrics_for_its_intervals() -> None:
    for arm in importlib.import_module("model_size").ARMS.values():
        spec = arm.asked(0.02, 0).train_spec("base")
        assert spec.phases[0].examples // max(spec.log_every, spec.phases[0].batch) >= 6
        assert arm.asked(1.0, 0).train_spec("base").log_every == arm.recipe.train_spec("base").log_every
