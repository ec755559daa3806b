"""Stable Video Diffusion's recipe: each phase begins as the one before it, is resumed, and pictures become videos."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from zoetrope.__main__ import main
from zoetrope.codecs import save_codec
from zoetrope.data.toybox import Toybox
from zoetrope.diffusion.loss import output_weight
from zoetrope.recipes import load_recipe
from zoetrope.recipes.toybox_codec import CODEC
from zoetrope.text.words import Words
from zoetrope.video import probe, read

NARROW = CODEC.with_(width=4, blocks=1)
PHASES = ("svd@image", "svd@video", "svd")


def small(name: str, folder: Path) -> str:
    """The recipe with a narrow network, for two steps, as a file."""
    made = load_recipe(name)
    [stage] = made.cascade.stages
    level = {**stage.network.to_json()["levels"][0], "width": 32, "blocks": 1}
    phase = {**made.train_spec("base").phases[-1].to_json(), "examples": 8, "batch": 4}
    changes: dict[str, Any] = {
        "base.network": {**stage.network.to_json(), "text_width": 8, "embedding": 32, "levels": [level]},
        "base.codec": NARROW.to_json(),
        "base.sampling.steps": 2,
        "cascade.text": Words(width=8, limit=16).to_json(),
        "base.training.data.source": Toybox(scripts=3, pictures=name == "svd@image").to_json(),
        "base.training.phases": [phase],
        "base.training.warm_up": 0,
        "base.training.cool_down": 0,
        "base.training.checkpoint_every": 8,
        "base.training.sample_every": 8 if name == "svd" else 0,
        "base.training.precision": "fp32",
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps(made.overridden(changes).to_json()))
    return str(path)


def weights(run: Path, what: str = "model") -> dict[str, torch.Tensor]:
    """The last weights of a run, or their average, which others begin with."""
    [*_, last] = sorted((run / "base/checkpoints").iterdir())
    return load_file(last / f"{what}.safetensors")


def test_three_phases_and_videos_of_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    save_codec(NARROW.build(), tmp_path / "codec")
    image, video, last = (small(name, tmp_path) for name in PHASES)
    assert main(["train", image, "--codec", "codec", "--out", "image"]) == 0
    assert main(["train", video, "--codec", "codec", "--init", "image", "--out", "video"]) == 0
    assert "begins exactly as the image network's" in capsys.readouterr().err
    assert main(["train", last, "--codec", "codec", "--init", "video", "--out", "svd"]) == 0
    assert "image network" not in capsys.readouterr().err  # it begins as a video network
    assert list((tmp_path / "svd/base/samples").glob("*.png"))
    before, after = weights(tmp_path / "video"), weights(tmp_path / "svd")
    new = {name.partition(".")[0] for name in after.keys() - before.keys()}
    assert new == {"beside", "first_frame_logsnr"} and before.keys() < after.keys()
    shared = [name for name in before if before[name].shape == after[name].shape]
    assert len(shared) > len(before) - 5
    assert sum(torch.equal(before[name], after[name]) for name in shared) < len(shared) / 10  # all weights learn
    longer = ["--set", "base.training.phases.0.examples=16"]
    assert main(["train", "--resume", "--out", "svd", *longer]) == 0

    pixels = np.zeros((48, 80, 3), dtype=np.uint8)
    pixels[10:30, 20:50] = (220, 30, 30)
    Image.fromarray(pixels).save("star.png")
    words = ["--model", "svd", "--steps", "2", "--frames", "4", "--json"]
    told = ["--given", "motion_strength=4", "--given", "fps=6"]
    assert main(["generate", "--picture", "star.png", *words, *told, "-o", "star.mp4"]) == 0
    info = probe(tmp_path / "star.mp4")
    assert (info.frames, info.height, info.width) == (4, 24, 40)
    with_text = ["generate", "a red star moving down", "--picture", "star.png", *words, "--guidance", "0.5"]
    assert main([*with_text, "-o", "down.mp4"]) == 0
    assert main(["generate", "a red star moving down", *words, "-o", "alone.mp4"]) == 0
    videos = [read(f"{name}.mp4").frames.astype(int) for name in ("star", "down", "alone")]
    assert all(np.abs(one - other).max() > 2 for one in videos for other in videos if one is not other)


def test_a_camera_adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It learns alone, from clips that have the motion, and the model that it is merged into makes videos."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    save_codec(NARROW.build(), tmp_path / "codec")
    own = small("svd", tmp_path)
    assert main(["train", own, "--codec", "codec", "--out", "svd", "--set", "base.training.sample_every=0"]) == 0
    panned = '{"type": "camera", "move": "right", "source": {"type": "toybox", "scripts": 3}}'
    words = ["--codec", "codec", "--init", "svd", "--out", "pan", "--data", panned]
    assert main(["train", own, *words, "--set", 'base.training.lora={"rank": 2}']) == 0
    before, after = weights(tmp_path / "svd", "average"), weights(tmp_path / "pan")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all("attention" in name for name in changed)
    Image.fromarray(np.full((24, 40, 3), 90, dtype=np.uint8)).save("grey.png")
    style = ["--style", "pan", "--style-weight", "0.5"]
    made = ["generate", "--picture", "grey.png", "--model", "svd", "--frames", "2", "--steps", "1"]
    assert main([*made, *style, "-o", "half.mp4"]) == 0


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown size 'imag'; did you mean 'image'"):
        load_recipe("svd@imag")
    made = load_recipe("svd")
    with pytest.raises(ValueError, match="expected the inputs that its network reads"):
        made.override("base.network.first_frame", False)
    with pytest.raises(ValueError, match="first_frame: expected false with region"):
        made.override("base.network.region", True)


def test_its_numbers_are_the_papers() -> None:
    """Prediction of v, EDM's error, log-normal levels; the picture's noise; 25 steps; guidance rises over frames."""
    image, video, last = (load_recipe(name) for name in PHASES)
    for made in (image, video, last):
        [stage], spec = made.cascade.stages, made.train_spec("base")
        level = stage.schedule(torch.tensor([0.2, 0.8], dtype=torch.float64))
        assert torch.allclose(output_weight(spec.weight, stage.prediction, level), torch.ones(2, dtype=torch.float64))
        assert spec.times.kind() == "log_normal" and not spec.learn and stage.sampling.steps == 25
        assert spec.init_missing == "fresh"
    [stage] = last.cascade.stages
    first_frame: Any = stage.input("first_frame")
    assert (first_frame.mean, first_frame.std, first_frame.sigma) == (-3.0, 0.5, 0.02)
    shares: Any = stage.sampling.guidance.shares_of_frames(0, 25, 16)
    assert (shares[0].diff() > 0).all() and (shares[0][0], shares[0][-1]) == (2, 2.5)  # ours: more of the picture
    assert last.cascade.stages[0].made == video.cascade.stages[0].made
