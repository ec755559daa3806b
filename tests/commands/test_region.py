"""A network that learns known regions, from `train` to `generate --mask`; and what is said of masks that do not fit."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from zoetrope.video import Video, read

from .conftest import Cli

HOLE = np.zeros((8, 8), bool)
HOLE[2:6, 3:8] = True


def save_mask(name: str, hole: np.ndarray = HOLE) -> str:
    Video(np.repeat(hole[None, ..., None], 3, -1).astype(np.uint8) * 255, 1).save(name)
    return name


def clip(count: int = 4) -> np.ndarray:
    frames = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    Video(frames, 2).save("clip/")
    return frames


def test_a_network_that_learns_regions(cli: Cli, recipe: Path) -> None:
    """Trained, interrupted, resumed and sampled; given pixels come back as they are."""
    inputs = 'base.inputs=[{"type": "text"}, {"type": "region", "tasks": ["first_frame", "inpainting"]}]'
    words = ["--set", inputs, "--set", "base.network.region=true", "--set", "base.training.sample_every=8"]
    for examples in (8, 16):
        phases = f'base.training.phases=[{{"examples": {examples}, "batch": 4}}]'
        resume = ["--resume"] if examples == 16 else []
        done = cli("train", recipe, "--stage", "base", "--out", "run", *words, "--set", phases, *resume)
        assert done.code == 0, done.err
    frames = clip()
    save_mask("mask.png")
    made = ["generate", "fog", "--model", "run", "--known", ":=clip/", "--mask", "mask.png", "--json", "-o", "out/"]
    done = cli(*made)
    assert done.code == 0, done.err
    found = read("out/", fps=2).frames
    assert np.array_equal(found[:, ~HOLE], frames[:, ~HOLE]) and not np.array_equal(found[:, HOLE], frames[:, HOLE])
    told = json.loads(done.out)["known"]
    assert told["mask"] == "mask.png" and told["frames"] == [0, 1, 2, 3]
    save_mask("mask.png", ~HOLE)
    again = cli(*made, "--resume")
    assert again.code == 2, "another mask of the same name makes another video"
    first = cli("generate", "fog", "--model", "run", "--known", "0=clip/frame_0000.png", "-o", "first/")
    assert first.code == 0, first.err
    assert np.array_equal(read("first/", fps=2).frames[0], frames[0])


def test_a_model_that_has_not_learnt_regions(cli: Cli, model: Path) -> None:
    clip()
    save_mask("mask.png")
    words = ["generate", "fog", "--model", model, "--until", "base", "--known", ":=clip/", "--mask", "mask.png"]
    refused = cli(*words, "-o", "out/")
    assert refused.code == 2 and "--known-method reconstruction" in refused.err and not Path("out").exists()
    for method in ("reconstruction", "replacement"):
        done = cli(*words, "--known-method", method, "-o", "out/")
        assert done.code == 0, done.err
        assert np.array_equal(read("out/", fps=2).frames[:, ~HOLE], read("clip/", fps=2).frames[:, ~HOLE])
        shutil.rmtree("out")


@pytest.mark.parametrize(
    ("hole", "told"),
    [
        (np.zeros((8, 8), bool), "mask: expected some white"),
        (np.ones((8, 8), bool), "mask: expected some black"),
        (np.eye(9, dtype=bool), "mask=mask.png: expected a size of 8x8, as base makes, got 9x9; the fit 'crop'"),
    ],
)
def test_masks_that_do_not_fit(cli: Cli, model: Path, hole: np.ndarray, told: str) -> None:
    clip()
    save_mask("mask.png", hole)
    words = ["generate", "fog", "--model", model, "--until", "base", "--known", ":=clip/", "-o", "out/"]
    done = cli(*words, "--mask", "mask.png", "--known-method", "replacement")
    assert done.code == 2 and told in done.err and len(done.err.splitlines()) == 1
    assert not Path("out").exists()


def test_a_mask_of_nothing(cli: Cli, model: Path) -> None:
    save_mask("mask.png")
    done = cli("generate", "fog", "--model", model, "--mask", "mask.png", "-o", "out/")
    assert done.code == 2 and "expected known frames that it is about" in done.err
