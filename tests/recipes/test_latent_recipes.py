"""The recipes of codecs and of Video LDM: alpha = 1 is the image model, and each begins as the one before it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from zoetrope.__main__ import main
from zoetrope.codecs import load_codec
from zoetrope.conditioning import Conditioning
from zoetrope.data.toybox import Toybox
from zoetrope.inputs.text import text_given
from zoetrope.models.weights import read_weights, write_weights
from zoetrope.networks._unet_block import Mix
from zoetrope.recipes import load_recipe
from zoetrope.recipes.toybox_codec import CODEC
from zoetrope.recipes.video_ldm import IMAGE, NEW, inflated
from zoetrope.text.words import Words
from zoetrope.video import probe, read, save_image


def test_alpha_of_one_is_the_image_model_exactly(tmp_path: Path) -> None:
    torch.manual_seed(0)
    narrow = {"levels": tuple(level.with_(width=32, blocks=1) for level in IMAGE.levels), "embedding": 32}
    image = IMAGE.with_(**narrow).build()
    video = inflated()
    video = video.with_(levels=tuple(level.with_(width=32, blocks=1) for level in video.levels), embedding=32).build()
    with torch.no_grad():
        for name, weight in (*image.named_parameters(), *video.named_parameters()):
            if not name.startswith("frame_position"):  # which pictures have no use for
                weight.add_(0.1 * torch.randn_like(weight))
    write_weights(image, tmp_path / "image.safetensors", torch.float32)
    fresh = read_weights(video, tmp_path / "image.safetensors", missing="fresh")
    assert fresh and all("temporal" in name or "mix" in name for name in fresh)
    z, logsnr = torch.randn(1, 4, 5, 6, 10), torch.tensor([-1.0])
    text = text_given(torch.randn(1, 3, 384))
    frames = [image(z[:, :, [number]], logsnr, text) for number in range(5)]
    alone = torch.cat(frames, dim=2)
    assert float((video(z, logsnr, text) - alone).detach().abs().max()) > 1e-3
    with torch.no_grad():
        for module in video.modules():
            if isinstance(module, Mix):
                module.logit.fill_(torch.inf)
    torch.testing.assert_close(video(z, logsnr, text), alone, rtol=1e-5, atol=1e-5)


def test_the_image_model_is_frozen(tmp_path: Path) -> None:
    from zoetrope.training.adapters import freeze

    made, own = load_recipe("video_ldm"), load_recipe("video_ldm@image")
    spec = made.train_spec("base")
    network = made.cascade.stage("base").network.build()
    freeze(network, spec.freeze, spec.learn)
    image = dict(own.cascade.stage("base").network.build().named_parameters())
    still = {name for name, weight in network.named_parameters() if not weight.requires_grad}
    assert still == {name for name in image if "text" not in name and "frame_position" not in name}
    learning = {name for name, weight in network.named_parameters() if weight.requires_grad and name not in image}
    assert learning and all("temporal" in name or "mix" in name for name in learning) and NEW
    z = torch.randn(1, 4, 2, 6, 10)
    network(z, torch.zeros(1), Conditioning()).sum().backward()
    assert all(weight.grad is None for name, weight in network.named_parameters() if name in still)


def test_their_grids() -> None:
    made, mini = load_recipe("video_ldm").cascade.stage("base"), load_recipe("mini").cascade.stage("base")
    assert made.made == mini.shape and made.shape.sizes == (16, 6, 10) and made.codec == CODEC
    assert load_recipe("video_ldm@image").cascade.stage("base").made.sizes == (1, 24, 40)
    for name in ("toybox_codec@vide", "video_ldm@imag"):
        with pytest.raises(ValueError, match=r"unknown size .*; did you mean"):
            load_recipe(name)


def test_mini_with_a_base_of_latents_learns_frames_that_are_far_apart() -> None:
    made, mini = load_recipe("mini_latents"), load_recipe("mini")
    base, own = made.cascade.stage("base"), load_recipe("video_ldm@image").cascade.stage("base")
    assert base.made == mini.cascade.stage("base").shape and made.cascade.stages[1:] == mini.cascade.stages[1:]
    assert made.train_spec("base").known == mini.train_spec("base").known
    network = base.network.build()
    more = set(network.state_dict()) - set(own.network.build().state_dict())
    assert more and all("temporal_attention" in name or "mix.logit" in name for name in more)
    with torch.no_grad():
        for weight in network.parameters():  # layers that are zero at the start too
            weight.add_(0.1 * torch.randn_like(weight))
    z, text = torch.randn(1, 4, 4, 6, 10), text_given(torch.randn(1, 3, 384))
    near, far, farther = (
        network(z, torch.zeros(1), replace(text, times=torch.tensor([[0.0, 1.0, 2.0, last]]))).detach()
        for last in (3.0, 30.0, 59.0)
    )
    assert float((near - far).abs().max()) > 1e-3 and float((far - farther).abs().max()) > 1e-3


def small(name: str, folder: Path) -> str:
    """The recipe with narrow networks, for two steps of each stage, as a file."""
    made, narrow, changes = load_recipe(name), CODEC.with_(width=4, blocks=1), dict[str, Any]()
    for stage in made.cascade.stages:
        network = stage.network.to_json()
        if network["type"] == "reconstruction":
            changes[f"{stage.name}.network.codec"] = narrow.with_(temporal=network["codec"]["temporal"]).to_json()
        else:
            levels = [{**level, "width": 32 if stage.codec.encodes else 8, "blocks": 1} for level in network["levels"]]
            fields = {"text_width": 8, "embedding": 32, "levels": levels, "head": 32 if stage.codec.encodes else 8}
            changes[f"{stage.name}.network"] = network | fields
            changes["cascade.text"] = Words(width=8, limit=16).to_json()
        if stage.codec.encodes:
            changes[f"{stage.name}.codec"] = narrow.to_json()
    for name_of, spec in made.training.items():
        where, [phase, *_] = f"{name_of}.training", spec.phases
        changes |= {
            f"{where}.phases": [{"examples": 8, "batch": 4, "rates": phase.rates}],
            f"{where}.warm_up": 0,
            f"{where}.cool_down": 0,
            f"{where}.sample_every": 8 if name_of == "tsr1" else 0,
            f"{where}.precision": "fp32",
        }
        if spec.data.codec_folder is not None:
            changes[f"{where}.data.source"] = Toybox(scripts=3, pictures=name.endswith("image")).to_json()
        elif made.cascade.text is not None:
            changes[f"{where}.data"] = Toybox(scripts=3).to_json()
    path = folder / f"{name}.json"
    path.write_text(json.dumps(made.overridden(changes).to_json()))
    return str(path)


def test_codec_to_video_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("zoetrope.training.codecs.MEASURED", 4)
    codec, video_codec, image, video = (
        small(name, tmp_path) for name in ("toybox_codec", "toybox_codec@video", "video_ldm@image", "video_ldm")
    )
    assert main(["train", codec, "--out", "codec"]) == 0
    assert main(["train", video_codec, "--init", "codec", "--out", "video_codec"]) == 0
    stills, clips = (load_codec(tmp_path / f"{name}/autoencoder/codec") for name in ("codec", "video_codec"))
    assert not stills.codec.temporal and clips.codec.temporal  # type: ignore[attr-defined]
    for name, weight in stills.state_dict().items():
        assert not name.startswith("encoder") or torch.equal(weight, clips.state_dict()[name])
    assert main(["train", image, "--codec", "video_codec", "--out", "image"]) == 0
    first = ["--set", "tsr1.training.phases.0.examples=4"]
    assert main(["train", video, "--codec", "video_codec", "--init", "image", "--out", "video", *first]) == 0
    assert sorted(path.name for path in (tmp_path / "video").iterdir() if path.is_dir()) == ["base", "ssr1", "tsr1"]
    assert main(["train", "--resume", "--stage", "tsr1", "--out", "video/tsr1", "--set", f"{first[1][:-1]}8"]) == 0
    assert len(list((tmp_path / "video/tsr1/samples").glob("*.png"))) == 1
    begun, learnt = (
        load_file(next((tmp_path / run / "checkpoints").glob(f"*{number}")) / "average.safetensors")
        for run, number in (("image/base", 8), ("video/tsr1", 8))
    )
    frozen = [name for name in begun if name in learnt and "text" not in name and "frame_position" not in name]
    assert frozen and all(torch.equal(begun[name], learnt[name]) for name in frozen)
    save_image(tmp_path / "star.png", np.zeros((48, 80, 3), np.uint8))
    words = ["--model", "video", "--steps", "1", "--frames", "4"]
    assert main(["generate", "a red star moving down", *words, "--out", "star/", "--known", "0=star.png"]) == 0
    made = read(tmp_path / "star", fps=48).frames
    assert made.shape == (64, 48, 80, 3) and not made[0].any() and made[1].any()
    assert main(["generate", "a red star moving down", *words, "--until", "tsr1", "--out", "star.mp4"]) == 0
    info = probe(tmp_path / "star.mp4")
    assert (info.frames, info.height, info.width, info.fps) == (16, 24, 40, 12)
