"""Descriptions of older versions mean what they meant, and so do the paths of fields that are elsewhere now.

The folder `older` holds the `cascade.json` that an earlier mini shipped with, in formats 2 and 4, and the recipes that
shipped in the time of format 2.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.cascade.tuning import Tuning, tuned
from zoetrope.data.toybox import Toybox
from zoetrope.guidance.oscillating import Oscillating
from zoetrope.inputs.low_res import LowRes
from zoetrope.inputs.text import Text
from zoetrope.models.finding import shipped
from zoetrope.models.folder import FILE, FORMAT, read_spec
from zoetrope.recipes import load_recipe
from zoetrope.training.spec import Recipe

OLDER = Path(__file__).parent / "older"


def older(name: str) -> Any:
    return json.loads((OLDER / f"{name}.json").read_text())


def low_res(stage: StageSpec) -> LowRes:
    found = stage.input("low_res")
    assert isinstance(found, LowRes)
    return found


@pytest.mark.parametrize("written", [1, 2, 3])
def test_a_model_of_each_format(written: int, tmp_path: Path) -> None:
    told = {**older("cascade-2"), "format": written}
    (tmp_path / FILE).write_text(json.dumps(told))
    found = read_spec(tmp_path)
    (tmp_path / FILE).write_text(json.dumps(older("cascade-4")))
    assert found == read_spec(tmp_path) and found.noise == "mersenne"
    assert [stage.source for stage in found.stages] == [None, *(stage.shape for stage in found.stages[:-1])]
    (tmp_path / FILE).write_text(json.dumps({**told, "noise": "philox"}))
    assert read_spec(tmp_path).noise == "philox"


def test_what_is_written_today_is_told_from_what_older_versions_read(tmp_path: Path) -> None:
    assert json.loads((shipped()["mini"] / FILE).read_text())["format"] == FORMAT == 4
    (tmp_path / FILE).write_text(json.dumps({**older("cascade-2"), "format": FORMAT + 1}))
    with pytest.raises(ValueError, match=r"written by a newer version of zoetrope \(this one reads format 4\)"):
        read_spec(tmp_path)


def test_levels_fills_and_guidance_of_a_model(tmp_path: Path) -> None:
    told = older("cascade-2")
    told["stages"][1]["fill"], told["stages"][1]["sampling"]["low_res_logsnr"] = "blank", 1.5
    told["stages"][2]["sampling"]["guidance"] = {"high": 15.0, "low": 1.0, "constant": 2}
    told["stages"][2]["distilled"] = None
    told["teachers"] = []
    found = CascadeSpec.from_json({name: value for name, value in told.items() if name != "format"})
    known = read_spec(shipped()["mini"])
    assert low_res(found.stages[1]) == low_res(known.stages[1]).with_(fill="blank", logsnr=1.5)
    assert found.stages[2].sampling.guidance == Oscillating(high=15, low=1, constant=2)
    assert CascadeSpec.from_json(found.to_json()) == found


def without_known_frames(mini: Recipe) -> Recipe:
    """The recipe of mini as it was before its base learnt known frames."""
    changes = {"base.network.fps": None, "base.sampling.known": None, "base.training.known": None}
    return mini.overridden({**changes, "base.training.data": Toybox().to_json()})


@pytest.mark.parametrize("name", ["mini", "imagen_video"])
def test_recipes(name: str) -> None:
    told, today = older(name), load_recipe(name)
    if name == "mini":
        today = without_known_frames(today)
    found = Recipe.from_json(told)
    assert found == today and Recipe.from_json(json.dumps(told)) == today
    for stage in found.cascade.stages:
        training = told["training"][stage.name]
        assert stage.input("text") == Text(dropout=training["text_dropout"])
        assert stage.source is None or low_res(stage).augment == training["augment"]


def test_what_a_recipe_said_of_training_goes_to_its_own_stage() -> None:
    told = older("mini")
    told["training"]["base"]["text_dropout"], told["training"]["tsr1"]["augment"] = 0.25, 0.5
    found, known = Recipe.from_json(told).cascade, load_recipe("mini").cascade
    assert found.stage("base").input("text") == Text(dropout=0.25)
    assert low_res(found.stage("tsr1")) == low_res(known.stage("tsr1")).with_(augment=0.5)
    assert found.stages[2:] == known.stages[2:]


@pytest.mark.parametrize("inputs", [None, 3, "text", {}])
@pytest.mark.parametrize("field", ["text_dropout", "augment"])
def test_inputs_that_are_no_list_are_an_error_of_a_recipe(inputs: object, field: str) -> None:
    told = load_recipe("mini").to_json()
    told["cascade"]["stages"][0]["inputs"] = inputs
    told["training"]["base"][field] = 0.5
    with pytest.raises(ValueError, match=r"stages\.0: .*inputs"):
        Recipe.from_json(told)


PATHS = [
    ("ssr1.sampling.low_res_logsnr", "ssr1.inputs.low_res.logsnr", 3.0),
    ("base.training.text_dropout", "base.inputs.text.dropout", 0.3),
    ("tsr1.fill", "tsr1.inputs.low_res.fill", "blank"),
    ("ssr1.training.augment", "ssr1.inputs.low_res.augment", 0.5),
    ("cascade.stages.ssr1.sampling.low_res_logsnr", "ssr1.inputs.low_res.logsnr", 3.0),
    ("cascade.stages.tsr1.fill", "tsr1.inputs.low_res.fill", "blank"),
    ("training.base.text_dropout", "base.inputs.text.dropout", 0.3),
    ("training.ssr1.augment", "ssr1.inputs.low_res.augment", 0.5),
]


@pytest.mark.parametrize(("old", "new", "value"), PATHS)
def test_paths_of_a_recipe(old: str, new: str, value: object) -> None:
    recipe = load_recipe("imagen_video")
    assert recipe.override(old, value) == recipe.override(new, value) != recipe


@pytest.mark.parametrize(("old", "new", "value"), [path for path in PATHS if "training" not in path[0]])
def test_paths_of_a_model(old: str, new: str, value: object) -> None:
    known = load_recipe("imagen_video").cascade
    found = tuned(known, Tuning(fields=[(old.removeprefix("cascade."), value)]))
    assert found == tuned(known, Tuning(fields=[(new, value)])) != known


def test_what_is_no_path_is_told_as_it_was_written() -> None:
    recipe = load_recipe("mini")
    with pytest.raises(ValueError, match=r"training\.base: unknown field 'text_drop'"):
        recipe.override("training.base.text_drop", 0.3)
    with pytest.raises(ValueError, match=r"base.inputs: unknown entry 'low_res'"):
        recipe.override("base.fill", "blank")
