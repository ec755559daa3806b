"""`zoetrope train --init` of an image model: a video model that begins as it, learns, goes on, and makes videos."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from zoetrope.models.checkpoints import find_checkpoints
from zoetrope.recipes import load_recipe
from zoetrope.text import TextEncoder
from zoetrope.training.spec import Recipe

from .conftest import Cli
from .test_train import short

LEVEL: dict[str, Any] = {"width": 8, "spatial_attention": True, "text_attention": True}
COARSE: dict[str, Any] = {"width": 16, "text_attention": True}
STILL = 'base.training.phases=[{"examples": 24, "batch": 4, "frames": 1, "peak": 0.01}]'
FRESH = ["--set", "base.training.init_missing=fresh"]


def made(recipe: Path, *levels: dict[str, Any], name: str) -> Path:
    """The recipe with these levels in its base, as a file; recipes of images learn fast."""
    phases = [{"examples": 8, "batch": 4}]
    changed = load_recipe(recipe).overridden({"base.network.levels": list(levels), "base.training.phases": phases})
    Path(f"{name}.json").write_text(json.dumps(changed.to_json()))
    return Path(f"{name}.json")


def images(cli: Cli, recipe: Path) -> Path:
    """A run of an image model."""
    own = made(recipe, LEVEL, COARSE, name="image")
    words = ["--set", STILL, "--set", "base.training.sample_every=0", "--set", "base.training.warm_up=0"]
    done = cli("train", own, "--stage", "base", "--out", "image", *words, "--quiet")
    assert done.code == 0, done.err
    return Path("image")


def stored(run: str) -> dict[str, torch.Tensor]:
    return load_file(find_checkpoints(Path(run) / "checkpoints")[-1] / "average.safetensors")


def test_an_image_model_becomes_a_video_model(cli: Cli, recipe: Path) -> None:
    run = images(cli, recipe)
    both = ["convolution", "attention"]
    video = made(recipe, LEVEL | {"temporal": both}, COARSE | {"temporal": both}, name="video")
    words = ["train", video, "--stage", "base", "--init", run, *short("base", 8)]
    refused = cli(*words, "--out", "refused")
    assert refused.code == 2 and "if it begins as theirs and has more" in refused.err
    assert "--set base.training.init_missing=fresh" in refused.err and not Path("refused").exists()

    learn = ["--set", 'base.training.learn=["*temporal*"]']
    done = cli(*words, *FRESH, *learn, "--out", "video")
    assert done.code == 0, done.err
    new = stored("video").keys() - stored("image").keys()
    assert f"{len(stored('image'))} tensors taken from it, {len(new)} begin fresh" in done.err
    assert "base: its output begins exactly as the image network's, frame by frame\n" in done.err
    assert all(torch.equal(stored("video")[name], value) for name, value in stored("image").items())
    assert any(stored("video")[name].abs().max() > 0 for name in new if name.endswith("temporal_attention.out.weight"))
    more = ["--set", 'base.training.phases=[{"examples": 12, "batch": 4}]']
    assert cli("train", "--out", "video", "--resume", *more).code == 0
    assert cli("generate", "fog", "--model", "video", "-o", "fog.mp4").code == 0

    file = find_checkpoints(run / "checkpoints")[-1] / "average.safetensors"
    by_file = cli(*words[:5], file, *short("base", 4), *FRESH, "--out", "by-file")
    assert by_file.code == 0 and "begins exactly as the image network's" in by_file.err


def test_a_space_time_unet_begins_in_every_nth_frame(cli: Cli, recipe: Path) -> None:
    run = images(cli, recipe)
    level, coarse = LEVEL | {"temporal": ["convolution"]}, COARSE | {"temporal": ["attention"], "every": 2}
    words = ["--stage", "base", "--init", run, *FRESH]
    video = made(recipe, level, coarse, name="video")
    learn = ["--set", 'base.training.learn=["*temporal*", "fewer*", "more*"]']
    done = cli("train", video, *words, *short("base", 4), *learn, "--out", "video")
    assert done.code == 0 and "base: frames 0, 2, 4 and so on of its output begin exactly as" in done.err
    assert cli("generate", "fog", "--model", "video", "-o", "fog.mp4").code == 0
    for field, value, wrong in (
        ("images", 0.5, "packs of independent images cannot cross a stride of 2 frames, which mixes them"),
        ("appended", 2, "packs of independent images cannot cross a stride of 2 frames, which mixes them"),
        ("frames", 1, "phases.0.frames: expected a multiple of 2, got 1; the nearest is 2"),
    ):
        phases = f'base.training.phases=[{{"examples": 4, "batch": 4, "{field}": {value}}}]'
        refused = cli("train", video, *words, "--set", phases, "--out", "refused")
        assert refused.code == 2 and wrong in refused.err and not Path("refused").exists()


def test_what_does_not_begin_as_the_image_network_is_told(cli: Cli, recipe: Path) -> None:
    run = images(cli, recipe)
    looking = LEVEL | {"looks": "all", "temporal": ["attention"]}
    video = made(recipe, looking, COARSE, name="video")
    done = cli("train", video, "--stage", "base", "--init", run, *FRESH, *short("base", 4), "--out", "video")
    assert (
        done.code == 0
        and "base: its output begins otherwise than the image network's, whose weights it has: by" in done.err
    )


def test_weights_of_other_networks_are_named(cli: Cli, recipe: Path, tmp_path: Path) -> None:
    run = images(cli, recipe)
    temporal: dict[str, Any] = {"temporal": ["attention"]}

    def refused(own: Path, *words: str) -> str:
        done = cli("train", own, "--stage", "base", "--init", run, *FRESH, *words, "--out", "refused")
        assert done.code == 2 and not Path("refused").exists()
        return done.err

    wide = made(recipe, LEVEL | temporal, COARSE | {"width": 24} | temporal, name="wide")
    assert "base.network.levels.1.width: expected 16, as the weights have, got 24" in refused(wide)
    deep = made(recipe, LEVEL | temporal, COARSE, COARSE, name="deep")
    assert "base.network.levels: expected 2, as the weights have, got 3" in refused(deep)
    video = made(recipe, LEVEL | temporal, COARSE | temporal, name="video")
    assert "base.network.head: expected 8, as the weights have, got 4" in refused(video, "--set", "base.network.head=4")
    assert "these weights predict 'v', expected 'eps'" in refused(video, "--set", "base.prediction=eps")

    told = json.loads(video.read_text())
    other = TextEncoder.from_json({"type": "minilm"})
    told["cascade"]["text"] = other.to_json()
    for stage in told["cascade"]["stages"]:
        stage["network"]["text_width"] = other.width
    Path("text.json").write_text(json.dumps(Recipe.from_json(told).to_json()))
    wrong = refused(Path("text.json"))
    assert "these weights read text of t5 of width 16, expected minilm of width 384, the recipe's" in wrong
