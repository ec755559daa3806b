"""Configuration: strict, frozen, complete in JSON, and with errors that say where and what instead."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec
from zoetrope.config import overridden, override, parse_json, shown, unknown
from zoetrope.config.differences import ABSENT, Difference, differences
from zoetrope.data.toybox import Toybox
from zoetrope.files.plain import read_json
from zoetrope.models.folder import FILE, FORMAT, read_spec
from zoetrope.networks import NetworkConfig
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.recipes.mini import recipe
from zoetrope.samplers import Sampler
from zoetrope.samplers.ancestral import Ancestral
from zoetrope.samplers.ddim import DDIM
from zoetrope.schedules.cosine import Cosine
from zoetrope.shapes import VideoShape
from zoetrope.training.spec import Phase, Recipe, TrainSpec


def test_configs_are_frozen_values() -> None:
    level = Level(width=8)
    with pytest.raises(ValueError, match="frozen"):
        level.width = 9
    assert level == Level(width=8) and hash(level) == hash(Level(width=8))


def test_unknown_fields_are_errors_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match=r"Level: unknown field 'widht'; did you mean 'width'\?"):
        Level(widht=8)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="unknown field 'colour'; known: blocks"):
        Level.from_json({"width": 8, "colour": 1})


def test_wrong_and_missing_values_name_their_path() -> None:
    with pytest.raises(ValueError, match="width: is missing"):
        Level()  # type: ignore[call-arg]
    with pytest.raises(ValueError, match=r"width: .*, got 'wide'"):
        Level(width="wide")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"levels\.1\W+width: .*, got -3"):
        VideoUNetConfig.from_json({"levels": [{"width": 8}, {"width": -3}]})
    with pytest.raises(ValueError, match=r"shift: .*finite"):
        Cosine(shift=float("nan"))


def test_errors_deep_in_a_recipe_are_one_line_with_their_path() -> None:
    tree = recipe().to_json()
    tree["cascade"]["stages"][1]["network"]["levels"][0]["width"] = 0
    with pytest.raises(ValueError, match=r"cascade\W+stages\.1\W+network\W+levels\.0\W+width") as caught:
        Recipe.from_json(tree)
    assert "\n" not in str(caught.value)


def test_kinds_are_files() -> None:
    assert {"ddim", "ancestral", "heun", "dpmpp_2m"} <= set(Sampler.names())
    assert Sampler.named("ddim") is DDIM
    assert DDIM.kind() == "ddim"
    assert Sampler.from_json({"type": "ancestral", "gamma": 1}) == Ancestral(gamma=1)
    assert NetworkConfig.from_json('{"type": "video_unet", "patch": 2}') == VideoUNetConfig(patch=2)


def test_unknown_kinds_are_errors() -> None:
    with pytest.raises(ValueError, match=r"unknown sampler 'dimm'; did you mean 'ddim'\?"):
        Sampler.from_json({"type": "dimm"})
    with pytest.raises(ValueError, match='"type": one of'):
        Sampler.from_json({})
    with pytest.raises(ValueError, match="expected type 'ddim', got 'heun'"):
        DDIM.from_json({"type": "heun"})


def test_a_kind_inside_a_config_keeps_its_own_fields() -> None:
    spec = SamplingSpec(sampler=Ancestral(gamma=0.7), threshold=0.9)
    assert spec.to_json()["sampler"] == {"type": "ancestral", "gamma": 0.7}
    assert SamplingSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_override_goes_by_name_or_position() -> None:
    mini = recipe()
    changed = override(mini.cascade, "stages.base.sampling.steps", 7)
    assert changed.stage("base").sampling.steps == 7
    assert changed.stage("tsr1") == mini.cascade.stage("tsr1")
    assert override(mini.cascade, "stages.0.sampling.steps", "7") == changed
    assert mini.override("base.sampling.steps", 7).cascade == changed
    assert mini.override("base.training.clip", 2).train_spec("base").clip == 2
    assert mini.override("cascade.stages.base.sampling.steps", 7).cascade == changed


def test_override_of_what_is_not_there() -> None:
    mini = recipe()
    with pytest.raises(ValueError, match=r"stages: unknown entry 'bas'; did you mean 'base'\?"):
        override(mini.cascade, "stages.bas.sampling.steps", 7)
    with pytest.raises(ValueError, match=r"stages\.base\.sampling: unknown field 'step'; did you mean 'steps'\?"):
        override(mini.cascade, "stages.base.sampling.step", 7)
    with pytest.raises(ValueError, match="is a plain value, it has no field 'more'"):
        override(mini.cascade, "stages.base.sampling.steps.more", 7)
    with pytest.raises(ValueError, match="steps"):
        override(mini.cascade, "stages.base.sampling.steps", "many")
    with pytest.raises(ValueError, match=r"unknown stage 'bse'; did you mean 'base'\?"):
        mini.override("bse.sampling.steps", 7)


def test_changes_are_validated_together() -> None:
    mini = recipe().cascade
    small = mini.with_(stages=mini.until("base"), teachers=())
    changes = {"stages.base.shape.height": 21, "stages.base.shape.width": 33, "stages.base.network.patch": 1}
    with pytest.raises(ValueError, match="height: expected a multiple of 2, got 21; the nearest is 20"):
        overridden(small, changes)
    changes["stages.base.network.levels"] = [{"width": 64, "temporal": "attention"}]
    assert overridden(small, changes).stage("base").shape.sizes == (16, 21, 33)
    both = {"base.shape.frames": 8, "base.shape.fps": 1.5, "tsr1.source.frames": 8, "tsr1.source.fps": 1.5}
    made = recipe().overridden(both).cascade
    assert made.stages[0].shape == made.stages[1].source == VideoShape(frames=8, height=24, width=40, fps=1.5)
    with pytest.raises(ValueError, match="lasts other seconds"):
        recipe().overridden(dict(list(both.items())[:3]))


def test_what_is_given_whole_can_be_changed_further() -> None:
    mini = recipe()
    changes = {"base.sampling.sampler": "ancestral", "base.sampling.sampler.gamma": 0.7}
    assert mini.overridden({"base.sampling.sampler": Ancestral()}).cascade.stages[0].sampling.sampler == Ancestral()
    with pytest.raises(ValueError, match="is a plain value"):
        mini.overridden(changes)
    changes["base.sampling.sampler"] = given = {"type": "ancestral"}  # type: ignore[assignment]
    assert mini.overridden(changes).cascade.stages[0].sampling.sampler == Ancestral(gamma=0.7)
    assert given == {"type": "ancestral"}
    assert mini.overridden({"base.distillation.steps": 4, "tsr1.distillation.steps": 1}).distil_spec("base").steps == 4
    assert mini.overridden({}) == mini


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (
            "sampling.guidance",
            "high",
            "guidance: unknown guidance 'high'; known: inputs, oscillating, over_frames, picture, temporal, text",
        ),
        ("sampling.guidance", -1, "guidance: weight: expected at least 0"),
        ("sampling.guidance", {"high": 3, "lo": 2}, "Oscillating: unknown field 'lo'; did you mean 'low'?"),
        ("sampling.threshold", "dynamic", "threshold: expected 'static' or a number, got 'dynamic'"),
        ("sampling.threshold", 3, "threshold: expected above 0 and at most 1, got 3"),
        ("sampling.sampler", {"type": "heun", "eta": 1}, "Heun: unknown field 'eta'; there are none"),
        ("training.half_life", [1, 0], "half_life.1: expected above 0, got 0"),
        ("training.half_life", "x", "half_life: expected an integer or a list, got 'x'"),
        ("training.lr", 1, "training.base: unknown field 'lr'; did you mean 'phases.0.peak'?"),
        ("training.learning_rate", 1, "did you mean 'phases.0.peak'?"),
        ("training.peak", 1, "training.base: unknown field 'peak'; did you mean 'phases.0.peak'?"),
        ("training.zzz", 1, "training.base: unknown field 'zzz'; known: accumulate, balance"),
        ("training.phases", [{"examples": 1, "batch_size": 3}], "unknown field 'batch_size'; did you mean 'batch'?"),
    ],
)
def test_an_error_is_one_complaint_about_one_field(path: str, value: object, told: str) -> None:
    with pytest.raises(ValueError) as caught:
        recipe().override(f"base.{path}", value)
    message = str(caught.value)
    assert told in message
    assert len(message) < 420 and "\n" not in message
    assert len(re.findall("unknown|expected|is missing|is a plain", message)) == 1


def test_values_in_errors_are_short() -> None:
    stage = recipe().cascade.stages[0].to_json()
    for value in (stage, [stage] * 9, "x" * 10_000, 9**9999, {"a": [[[[1]]]]}):
        with pytest.raises(ValueError) as caught:
            recipe().override("cascade.stages.0.prediction", value)
        assert len(str(caught.value)) < 250
    with pytest.raises(ValueError, match=r"got 0; and 97 more$"):
        VideoUNetConfig.from_json({"levels": [{"width": 0}] * 100})
    assert shown("red") == "'red'" and shown([1, 2, 3, 4]) == "[1, 2, 3, ...]"


def test_json_is_strict_and_bounded(tmp_path: Path) -> None:
    assert parse_json('{"a": [1, 2.5, null, "\u00e9"]}') == parse_json(b'{"a":[1,2.5,null,"\xc3\xa9"]}')
    assert parse_json("[" * 64 + "]" * 64)
    for text in ("[" * 65 + "]" * 65, "[" * 100_000 + "]" * 100_000, '{"a":[' * 50_000 + "]}" * 50_000):
        with pytest.raises(ValueError, match="nested at most 64 deep"):
            parse_json(text)
    wrong = [("9" * 5000, "300 digits"), ("1e999", "below 1e308"), ("[NaN]", "finite"), ("-Infinity", "finite")]
    for text, told in [*wrong, ("{", "line 1 column 2"), ("", "line 1"), (b"\xff", "UTF-8")]:  # type: ignore[list-item]
        with pytest.raises(ValueError, match=told) as caught:
            parse_json(text)
        assert len(str(caught.value)) < 120 and "\n" not in str(caught.value)
        (tmp_path / "a.json").write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(ValueError, match=rf"a\.json: not readable as JSON \(.*{told}"):
            read_json(tmp_path / "a.json")
    for refused in ("[" * 100_000, '{"type": ' + "9" * 5000 + "}"):
        with pytest.raises(ValueError, match="expected "):
            Recipe.from_json(refused)
    with pytest.raises(ValueError, match="at most 4 "):
        parse_json("[1,2]", longest=4)
    (tmp_path / "a.json").write_text("[1,2]")
    assert read_json(tmp_path / "a.json", longest=5) == [1, 2]
    with pytest.raises(ValueError, match="at most 4 bytes"):
        read_json(tmp_path / "a.json", longest=4)
    with pytest.raises(ValueError, match="expected a plain file"):
        read_json(tmp_path)


def test_the_shipped_recipe_comes_back_from_json() -> None:
    mini = recipe()
    assert Recipe.from_json(json.loads(json.dumps(mini.to_json()))) == mini
    assert CascadeSpec.from_json(mini.cascade.to_json()) == mini.cascade


def test_every_field_is_in_json() -> None:
    assert VideoShape(frames=1, height=2, width=3, fps=4).to_json() == {"frames": 1, "height": 2, "width": 3, "fps": 4}
    assert set(VideoUNetConfig().to_json()) == {"type", *VideoUNetConfig.model_fields}


def test_a_model_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    value = {"format": FORMAT, **recipe().cascade.to_json()}
    (tmp_path / FILE).write_text(json.dumps(value))
    assert read_spec(tmp_path) == recipe().cascade
    (tmp_path / FILE).write_text(json.dumps({**value, "format": FORMAT + 1}))
    with pytest.raises(ValueError, match="newer version"):
        read_spec(tmp_path)
    (tmp_path / FILE).write_text(json.dumps({**value, "format": FORMAT, "colour": 1}))
    with pytest.raises(ValueError, match=r"cascade\.json: .*CascadeSpec: unknown field 'colour'"):
        read_spec(tmp_path)
    (tmp_path / FILE).write_text("{")
    with pytest.raises(ValueError, match="not readable as JSON"):
        read_spec(tmp_path)
    (tmp_path / FILE).write_text("{}")
    with pytest.raises(ValueError, match='"format"'):
        read_spec(tmp_path)


def test_unknown_names_what_is_near() -> None:
    assert unknown("stage", "bse", ["base", "tsr1"]) == "unknown stage 'bse'; did you mean 'base'?"
    assert unknown("field", "lr", ["lora", "rate"]) == "unknown field 'lr'; known: lora, rate"
    assert unknown("field", "lr", ["lora", "peak"]) == "unknown field 'lr'; did you mean 'peak'?"
    assert unknown("type", "unet", ["video_unet", "other"]).endswith("did you mean 'video_unet'?")
    assert len(unknown("type", "x" * 10_000, ["y"])) < 120
    assert unknown("stage", "zzz", ["tsr1", "base"]) == "unknown stage 'zzz'; known: base, tsr1"


def test_among_very_many_names_one_is_unknown_at_once() -> None:
    names = [f"{'x' * 90}{number}" for number in range(20_000)]
    begun = time.process_time()
    told = unknown("label", "x" * 100, names)
    assert time.process_time() - begun < 2 and len(told) < 12_000 and told.endswith("and 19,900 more")


def test_a_misspelt_field_is_told_alone() -> None:
    with pytest.raises(ValueError) as caught:
        Phase.from_json({"exmples": 8})
    assert str(caught.value) == "Phase: unknown field 'exmples'; did you mean 'examples'?"


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: SamplingSpec(low_res_logsnr=1.0), "it is inputs.low_res.logsnr of the stage"),
        (lambda: TrainSpec(data=Toybox(), phases=(Phase(examples=1),), text_dropout=0.2), "it is inputs.text.dropout"),
        (lambda: TrainSpec(data=Toybox(), phases=(Phase(examples=1),), augment=0.2), "it is inputs.low_res.augment"),
    ],
)
def test_a_field_that_went_elsewhere_is_told_with_its_place(make: Callable[[], object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        make()


def test_differences_are_told_place_by_place() -> None:
    one = {"b": {"seed": 1, "widths": [8, 16]}, "a": [{"x": 1}], "old": None, "levels": [1, 2], "same": [0]}
    other = {"b": {"seed": 2, "widths": [8, 32]}, "a": [{"x": 1, "y": {}}], "levels": [1], "same": [0], "new": [1]}
    assert list(differences(one, other)) == [
        Difference("b.seed", 1, 2),
        Difference("b.widths.1", 16, 32),
        Difference("a.0.y", ABSENT, {}),
        Difference("old", None, ABSENT),
        Difference("levels", [1, 2], [1]),
        Difference("new", ABSENT, [1]),
    ]
    assert list(differences(one, json.loads(json.dumps(one)))) == []
    assert list(differences([], {}, "base")) == [Difference("base", [], {})]
