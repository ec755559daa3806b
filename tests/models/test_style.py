"""Weights between a model's own and a style's: shares, layers that the style lacks, what is refused, the command."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from zoetrope.__main__ import main
from zoetrope.cascade.spec import CascadeSpec, Distilled, SamplingSpec, StageSpec
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.inputs.map import Map
from zoetrope.models.cascade import Cascade
from zoetrope.models.folder import write_model
from zoetrope.models.opening import open_model
from zoetrope.models.style import styled
from zoetrope.networks import Network, NetworkConfig, SizedInput
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.shapes import VideoShape
from zoetrope.text.words import Words
from zoetrope.video import read

SHAPE = VideoShape(frames=4, height=8, width=8, fps=2)
VIDEO = (
    Level(width=8, temporal=("convolution",)),
    Level(width=16, spatial_attention=True, text_attention=True, temporal=("attention",)),
)
STILL = tuple(level.with_(temporal=()) for level in VIDEO)

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a model with random weights: make("name", seed, levels)."""

    def made(name: str, seed: int, levels: tuple[Level, ...] = VIDEO, stage: str = "base", **fields: Any) -> Path:
        text = fields.pop("text", Words(width=8, limit=16))
        network = VideoUNetConfig(text_width=text.width, embedding=16, head=8, levels=levels)
        own = StageSpec(name=stage, shape=SHAPE, network=network, sampling=SamplingSpec(steps=2), **fields)
        spec = CascadeSpec(name=name, text=text, stages=(own,))
        write_model(tmp_path / name, spec, {stage: random(network, seed)}, f"# {name}\n")
        return tmp_path / name

    return made


def weights(model: Any) -> dict[str, torch.Tensor]:
    network = model.network(model.spec.stage("base"))
    assert not any(weight.requires_grad for weight in network.parameters())
    found: dict[str, torch.Tensor] = network.state_dict()
    return found


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 1.0])
def test_weights_lie_between(make: Make, share: float) -> None:
    model, style = open_model(make("video", 0)), open_model(make("style", 1))
    own, theirs, mixed = weights(model), weights(style), weights(styled(model, make("style", 1), share))
    assert mixed.keys() == own.keys()
    for name, value in mixed.items():
        torch.testing.assert_close(value, (1 - share) * own[name] + share * theirs[name], rtol=0, atol=1e-6)
        if share in (0, 1):
            assert torch.equal(value, (theirs if share else own)[name])


def test_an_image_style_leaves_what_is_of_time(make: Make) -> None:
    model, image = make("video", 0), make("style", 1, STILL)
    own, theirs = weights(open_model(model)), weights(open_model(image))
    mixed = weights(styled(open_model(model), image, 0.5))
    temporal = {name for name in own if "temporal" in name}
    assert temporal == own.keys() - theirs.keys() and temporal
    assert all(torch.equal(mixed[name], own[name]) for name in temporal)
    assert all(torch.equal(mixed[name], own[name].lerp(theirs[name], 0.5)) for name in theirs)


def test_a_style_that_is_given_other_maps_is_refused(tmp_path: Path) -> None:
    """Though its tensors have the same shapes."""
    for name, aligned in (("own", ("land", "oro")), ("style", ("oro", "land"))):
        sized = tuple(SizedInput(name=one, size=1) for one in aligned)
        network = VideoUNetConfig(text_width=None, embedding=16, head=8, levels=VIDEO[:1], aligned=sized)
        inputs = tuple(Map(told=one) for one in aligned)
        stage = StageSpec(name="base", shape=SHAPE, inputs=inputs, network=network)
        spec = CascadeSpec(name=name, text=None, stages=(stage,))
        write_model(tmp_path / name, spec, {"base": random(network, 0)}, f"# {name}\n")
    with pytest.raises(ValueError, match=r"style of stage 'base': .*expected oro \(2\) and land \(2\), in this order"):
        styled(open_model(tmp_path / "own"), tmp_path / "style")


def test_a_style_with_other_heads_is_refused(tmp_path: Path) -> None:
    """Though its tensors have the same shapes."""
    for name, head in (("own", 8), ("style", 4)):
        network = VideoUNetConfig(text_width=8, embedding=16, head=head, levels=(Level(width=16, text_attention=True),))
        spec = CascadeSpec(
            name=name, text=Words(width=8), stages=(StageSpec(name="base", shape=SHAPE, network=network),)
        )
        write_model(tmp_path / name, spec, {"base": random(network, 0)}, f"# {name}\n")
    with pytest.raises(
        ValueError, match=r"style of stage 'base': .*network\.head: expected 4, as the weights have, got 8"
    ):
        styled(open_model(tmp_path / "own"), tmp_path / "style")


def random(network: NetworkConfig, seed: int) -> Network:
    torch.manual_seed(seed)
    built = network.build()
    for weight in built.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    return built


def test_a_style_of_a_distilled_stage_leaves_its_teacher_as_it_was(tmp_path: Path) -> None:
    network = VideoUNetConfig(text_width=8, embedding=16, head=8, levels=VIDEO)
    taught = StageSpec(name="base", shape=SHAPE, network=network, sampling=SamplingSpec(steps=2))
    student = taught.with_(distilled=Distilled(steps=2))
    spec = CascadeSpec(name="few", text=Words(width=8), stages=(student,), teachers=(taught,))
    for name, seed in (("few", 0), ("style", 2)):
        write_model(
            tmp_path / name, spec, {"base": random(network, seed)}, "#", {"base": random(network, seed + 1)},
            torch.float32, torch.float32,
        )  # fmt: skip
    plain, mixed = open_model(tmp_path / "few"), styled(open_model(tmp_path / "few"), tmp_path / "style", 0.5)
    assert not torch.equal(weights(mixed)["null_text"], weights(plain)["null_text"])
    teacher = plain.network(taught).state_dict()
    Cascade.of(mixed).save_pretrained(tmp_path / "mixed", dtype=torch.float32, teacher_dtype=torch.float32)
    for model in (mixed, open_model(tmp_path / "mixed")):
        assert all(torch.equal(value, teacher[name]) for name, value in model.network(taught).state_dict().items())
    with pytest.raises(ValueError, match="is mixed into the distilled stage 'base'; mix it into the originals instead"):
        mixed.originals()


def shared(tmp_path: Path, model: str, seed: int, stages: int) -> Path:
    """A model of some of three stages, the last of which runs the second's network."""
    network = VideoUNetConfig(text_width=8, embedding=16, head=8, levels=VIDEO)
    chain = [StageSpec(name="base", shape=SHAPE, network=network)]
    for name, owner, frames in (("tsr1", None, 8), ("tsr2", "tsr1", 16)):
        made, inputs = SHAPE.with_(frames=frames, fps=frames / 2), usual_inputs(chain[-1].shape)
        own = network.with_(low_res=True)
        chain.append(StageSpec(name=name, shape=made, network=own, inputs=inputs, weights_of=owner))
    spec = CascadeSpec(name=model, text=Words(width=8), stages=tuple(chain[:stages]))
    networks = {one.name: random(one.network, seed + place) for place, one in enumerate(spec.stages[:2])}
    write_model(tmp_path / model, spec, networks, "#", dtype=torch.float32)
    return tmp_path / model


def run(tmp_path: Path, model: Path) -> Path:
    """A run that trains the stage "tsr1" of a model, with its weights."""
    cascade = json.loads((model / "cascade.json").read_text())
    cascade.pop("format")
    folder, at = tmp_path / "run", tmp_path / "run/checkpoints/8"
    at.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"stage": "tsr1"}))
    (folder / "recipe.json").write_text(json.dumps({"cascade": cascade, "training": {"tsr1": {"half_life": 4}}}))
    (at / "state.json").write_text(json.dumps({"examples": 8}))
    shutil.copyfile(model / "tsr1/model.safetensors", at / "average.safetensors")
    return folder


def test_stages_that_share_a_network_share_its_weights(tmp_path: Path) -> None:
    """Those of a style or a run that lacks one of them too; a copy of the model has the same."""
    model, style = shared(tmp_path, "model", 0, 3), shared(tmp_path, "style", 9, 2)
    mixed = styled(open_model(model), style, 0.5)
    Cascade.of(mixed).save_pretrained(tmp_path / "mixed", dtype=torch.float32)
    for opened in (mixed, open_model(tmp_path / "mixed"), open_model([model, run(tmp_path, style)])):
        tsr1, tsr2 = (opened.network(opened.spec.stage(name)).state_dict() for name in ("tsr1", "tsr2"))
        assert all(torch.equal(value, tsr2[name]) for name, value in tsr1.items())


def test_what_is_no_style_of_the_model(make: Make) -> None:
    model = open_model(make("video", 0))
    wide = (VIDEO[0], VIDEO[1].with_(width=24))
    for name, found, wrong in (
        ("wide", make("wide", 1, wide), r"has shape \(.*24.*\), expected \(.*16"),
        ("more", make("more", 1, (*VIDEO, VIDEO[1])), "tensors are unexpected, first 'coarser.1"),
        ("other", make("other", 1, stage="basis"), "unknown stage 'basis'; known: base"),
        ("text", make("text", 1, text=Words(width=8, limit=9)), "read text of words 8 9, expected words 8 16"),
        ("eps", make("eps", 1, prediction="eps"), "these weights predict 'eps', expected 'v'"),
    ):
        with pytest.raises(ValueError, match=wrong) as error:
            styled(model, found)
        assert name in str(error.value), str(error.value)
    for weight in (-0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match="expected a number from 0 to 1"):
            styled(model, make("style", 1), weight)
    with pytest.raises(ValueError, match="no such"):
        (path := make("style", 1)).joinpath("base/model.safetensors").unlink()
        styled(model, path)


def test_videos_in_a_style(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command, and Python."""
    monkeypatch.chdir(tmp_path)
    video, style = make("video", 0), make("style", 1)
    words = ["generate", "fog", "--model", str(video), "--quiet", "--dtype", "fp32", "-o"]
    made = {}
    for name, options in (
        ("plain", []),
        ("usual", ["--style", str(style)]),
        ("none", ["--style", str(style), "--style-weight", "0"]),
        ("all", ["--style", str(style), "--style-weight", "1"]),
    ):
        assert main([*words, f"{name}/", *options]) == 0
        made[name] = read(f"{name}/").frames
    assert np.array_equal(made["none"], made["plain"])
    assert np.array_equal(made["all"], Cascade.from_pretrained(style).generate("fog").frames)
    python = Cascade.of(styled(open_model(video), style, 0.7)).generate("fog").frames
    assert np.array_equal(made["usual"], python) and (python != made["plain"]).any()
    shutil.rmtree(style)
    assert main([*words, "x/", "--style", str(style)]) == 2


def test_the_style_is_told(make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video, style = make("video", 0), make("style", 1)
    words = ["generate", "fog", "--model", str(video), "--json", "-o", str(tmp_path / "a.mp4")]

    def told(*options: str) -> dict[str, Any]:
        assert main([*words, *options]) == 0
        value: dict[str, Any] = json.loads(capsys.readouterr().out)
        return value

    plain, strong, weak = told(), told("--style", str(style)), told("--style", str(style), "--style-weight", "0.5")
    assert strong["weights"]["base"]["from"] == f"{video}, 0.7 of {style}"
    ids = [each["weights"]["base"]["id"] for each in (plain, strong, weak)]
    assert len(set(ids)) == 3
    again = told("--style", str(style), "--style-weight", "0.5", "--resume")
    assert again["files"][0].get("skipped")
    assert main([*words, "--style", str(style), "--resume"]) == 2  # which is another video
