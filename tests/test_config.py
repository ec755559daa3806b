"""Configuration: strict, frozen, complete in JSON, and with errors that say where and what instead."""

import json
from pathlib import Path

import pytest

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec
from zoetrope.config import override, unknown
from zoetrope.diffusion.schedule import Cosine
from zoetrope.models.folder import FILE, FORMAT, read_spec
from zoetrope.networks import NetworkConfig
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.recipes.mini import recipe
from zoetrope.samplers import Sampler
from zoetrope.samplers.ancestral import Ancestral
from zoetrope.samplers.ddim import DDIM
from zoetrope.shapes import VideoShape
from zoetrope.training.spec import Recipe


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
    with pytest.raises(ValueError, match=r"unknown samplers type 'dimm'; did you mean 'ddim'\?"):
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
    assert unknown("stage", "zzz", ["tsr1", "base"]) == "unknown stage 'zzz'; known: base, tsr1"
