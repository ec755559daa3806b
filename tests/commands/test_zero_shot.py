"""Videos from a model of pictures on the command line and in Python, and what is told of requests that cannot be."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.cascade.tuning import routine_told
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.models.cascade import Cascade
from zoetrope.models.folder import write_model
from zoetrope.networks.dit import DiTConfig
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.recipes import load_recipe
from zoetrope.routines.hierarchical import Hierarchical
from zoetrope.routines.straight import Straight
from zoetrope.routines.zero_shot import ZeroShot
from zoetrope.shapes import VideoShape
from zoetrope.text.t5 import T5
from zoetrope.video import read

from .conftest import Cli

SMALL = VideoShape(frames=1, height=8, width=12, fps=2)
LARGE = VideoShape(frames=1, height=16, width=24, fps=2)
MOVES: dict[str, Any] = {"motion": [0, 2], "moved_at": 0.5, "noised_to": 0.75}


def pictures_spec(encoder: T5) -> CascadeSpec:
    """A base and super-resolution of single pictures."""
    levels = (Level(width=8), Level(width=16, spatial_attention=True, text_attention=True))
    network = VideoUNetConfig(text_width=16, embedding=16, head=8, positions=True, levels=levels)
    larger = VideoUNetConfig(text_width=16, embedding=16, head=8, low_res=True, levels=(Level(width=8),))
    base = StageSpec(name="base", shape=SMALL, network=network, sampling=SamplingSpec(steps=4, guidance=1.0))
    ssr = StageSpec(name="ssr", shape=LARGE, inputs=usual_inputs(SMALL), network=larger, sampling=SamplingSpec(steps=2))
    return CascadeSpec(name="pictures", text=encoder, stages=(base, ssr))


@pytest.fixture(scope="module")
def pictures(encoder: T5, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of pictures, with random weights."""
    spec, folder = pictures_spec(encoder), tmp_path_factory.mktemp("models") / "pictures"
    torch.manual_seed(0)
    networks = {stage.name: stage.network.build() for stage in spec.stages}
    for network in networks.values():
        for weight in network.parameters():
            torch.nn.init.normal_(weight, std=0.25)
    write_model(folder, spec, networks, "# pictures\n")
    return folder


def test_a_model_of_pictures_makes_a_video(cli: Cli, pictures: Path) -> None:
    words = ["generate", "fog", "--model", pictures, "--frames", "4", "--json", "--dtype", "fp32"]
    routine = json.dumps({"type": "zero_shot", **MOVES})
    done = cli(*words, "--fps", "6", "--routine", routine, "-o", "a/", "--save-stages", "stages")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["settings"]["base"]["routine"] == ZeroShot(**MOVES).to_json()
    assert told["settings"]["ssr"]["shared_noise"] and not told["settings"]["base"]["shared_noise"]
    [file] = told["files"]
    assert (file["frames"], file["height"], file["width"], file["fps"]) == (4, 16, 24, 6)
    assert [(stage["name"], stage["steps"]) for stage in file["stages"]] == [("base", 2 + 3), ("ssr", 2)]
    assert "instead of" not in done.err, "the number of frames is the routine's"
    made = read("a/", fps=6).frames
    assert len({frame.tobytes() for frame in made}) == 4

    # The same, field by field, and in Python.
    fields = [word for name, value in MOVES.items() for word in ("--set", f"base.sampling.routine.{name}={value}")]
    assert cli(*words, "--routine", "zero_shot", *fields, "-o", "b/").code == 0
    assert np.array_equal(read("b/", fps=2).frames, made)
    cascade = Cascade.from_pretrained(pictures)
    for value in (ZeroShot(**MOVES), {"type": "zero_shot", **MOVES}, routine):
        assert np.array_equal(cascade.generate("fog", frames=4, routine=value).frames, made)
    by_name = cascade.generate("fog", frames=4, routine="zero_shot").frames
    assert by_name.shape == made.shape and not np.array_equal(by_name, made)

    # One frame is the picture that the model makes anyway.
    one, plain = (cascade.generate("fog", **more).frames for more in ({"routine": routine}, {}))
    assert np.array_equal(one, plain)


def test_key_frames_and_the_clips_between(cli: Cli, pictures: Path) -> None:
    words = ["generate", "fog", "--model", pictures, "--frames", "7", "--until", "base", "--json", "--dtype", "fp32"]
    routine = json.dumps({"type": "hierarchical", "most": 3, "smoothed_at": [0.5]})
    done = cli(*words, "--memory", "2GB", "--routine", routine, "-o", "a/")
    assert done.code == 0, done.err
    assert json.loads(done.out)["settings"]["base"]["routine"]["interpolator"] == {"type": "linear"}
    made = read("a/", fps=2).frames
    cascade = Cascade.from_pretrained(pictures)
    ways = (Hierarchical(most=3, smoothed_at=(0.5,)), Hierarchical(most=3, smoothed_at=()), "straight")
    same, rougher, straight = (cascade.generate("fog", frames=7, until="base", routine=way).frames for way in ways)
    assert np.array_equal(same, made) and not np.array_equal(rougher, made) and not np.array_equal(straight, made)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--routine", "zero_shoot"), "routine: unknown routine 'zero_shoot'; did you mean 'zero_shot'?"),
        (("--routine", '{"type": "zero_shot", "moton": 1}'), "unknown field 'moton'; did you mean 'motion'?"),
        (
            ("--routine", '{"type": "zero_shot", "noised_to": 0.2}'),
            "routine: ZeroShot: noised_to: expected moved_at = 0.9 or more",
        ),
        (("--routine", "{"), "routine: expected JSON"),
        (("--routine", "zero_shot", "--windows", "2"), "windows: expected null with routine 'zero_shot'"),
        (("--routine", "zero_shot", "--seconds", "9"), "expected a single clip (frames) with routine 'zero_shot'"),
        (
            ("--routine", "zero_shot", "--known", "0=a.png", "--known-method", "replacement"),
            "expected no known frames with routine 'zero_shot'",
        ),
    ],
)
def test_requests_that_cannot_be(cli: Cli, pictures: Path, words: Sequence[str], message: str) -> None:
    Cascade.from_pretrained(pictures).generate("fog").save("a.png")
    done = cli("generate", "fog", "--model", pictures, "--frames", "4", *words, "-o", "out/")
    assert done.code == 2 and message in done.err and len(done.err.splitlines()) == 1, done.err
    assert not Path("out").exists()


def test_models_that_are_not_of_pictures(cli: Cli, model: Path, pictures: Path, encoder: T5) -> None:
    done = cli("generate", "fog", "--model", model, "--routine", "zero_shot")
    assert done.code == 2 and "stage 'base': routine 'zero_shot': network.levels: expected spatial_att" in done.err
    spec = pictures_spec(encoder)
    base, ssr = spec.stages
    moving = base.network.with_(levels=[{"width": 8, "spatial_attention": True, "temporal": "attention"}])
    transformer = DiTConfig(text_width=16, width=16, head=8, depth=1)
    for network, message in (
        (moving, "routine 'zero_shot': network: expected one of single pictures, got one that mixes frames"),
        (transformer, "spatial attention can look at other frames, such as video_unet, got 'dit'"),
    ):
        cascade = Cascade(spec.with_(stages=(base.with_(network=network), ssr)), lambda stage: stage.network.build())
        with pytest.raises(ValueError, match=message):
            cascade.generate("fog", routine="zero_shot")
        assert cascade.tuned(routine="straight").spec.stages[0].network == network
    with pytest.raises(ValueError, match=r"routine: expected a name such as zero_shot, or a routine .*, got 3"):
        routine_told(3)


def test_a_model_that_has_the_routine_is_saved_and_opened(pictures: Path, tmp_path: Path) -> None:
    cascade = Cascade.from_pretrained(pictures).tuned(routine=ZeroShot(**MOVES), frames=4)
    cascade.save_pretrained(tmp_path / "zero")
    again = Cascade.from_pretrained(tmp_path / "zero")
    assert again.spec == cascade.spec and again.spec.stages[0].sampling.routine == ZeroShot(**MOVES)
    assert again.generate("fog").frames.shape == (4, 16, 24, 3)
    plain = again.tuned(routine=Straight(), frames=1).generate("fog").frames  # the pictures are still there
    shutil.rmtree(tmp_path / "zero")
    rounded = Cascade.from_pretrained(pictures).generate("fog").frames.astype(int)
    assert np.abs(plain - rounded).mean() < 3  # weights are kept in bfloat16


def test_the_recipe_trains_on_pictures_and_makes_videos(cli: Cli) -> None:
    """A few examples from a few scripts, then go on."""
    quick = ["--quiet", "--set", "base.training.data.scripts=4", "--set", "ssr.training.data.scripts=4"]
    phases = {"base": {"examples": 8, "batch": 4, "frames": 1}, "ssr": {"examples": 2, "batch": 1, "images": 1.0}}
    for stage, phase in phases.items():
        narrow = ["--set", f"{stage}.network.embedding=16", "--set", f"{stage}.training.phases={json.dumps([phase])}"]
        done = cli("train", "text2video_zero", "--stage", stage, "--out", f"runs/{stage}", *quick, *narrow)
        assert done.code == 0, done.err
    done = cli("generate", "a red star", "--model", "runs", "-o", "star.mp4", "--json", "--steps", "2")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["files"][0]["frames"] == 8 and told["settings"]["base"]["routine"]["type"] == "zero_shot"


def test_the_recipe_is_mini_image_with_the_routine() -> None:
    ours, plain = load_recipe("text2video_zero"), load_recipe("mini_image")
    for stage, own in zip(ours.cascade.stages, plain.cascade.stages, strict=True):
        weights, others = (network.bare().state_dict() for network in (stage.network, own.network))
        assert {name: x.shape for name, x in weights.items()} == {name: x.shape for name, x in others.items()}
        assert stage.shape.frames == 8
    pictures = [sum(phase.examples for phase in recipe.train_spec("base").phases) for recipe in (ours, plain)]
    assert pictures[0] == pictures[1] and ours.train_spec("ssr").examples * 8 == plain.train_spec("ssr").examples
