"""Make-A-Video and Lumiere: their recipes, and small models that begin as an image model, learn, and make videos."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from zoetrope import Cascade
from zoetrope.__main__ import main
from zoetrope.cascade.long.film import Made
from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.cascade.upscaling import upscaling
from zoetrope.commands._stages import GridOptions
from zoetrope.data.mixture import Mixture
from zoetrope.data.toybox import Toybox
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.models.checkpoints import find_checkpoints
from zoetrope.models.folder import write_model
from zoetrope.networks.video_unet import VideoUNetConfig
from zoetrope.recipes import _mini_image, load_recipe
from zoetrope.recipes.lumiere import NEW
from zoetrope.recipes.make_a_video import unpaired
from zoetrope.shapes import VideoShape
from zoetrope.text.words import Words
from zoetrope.training.adapters import freeze
from zoetrope.training.spec import Recipe
from zoetrope.video import Video, probe

NAMES = ("make_a_video", "lumiere")
SILENT: dict[str, dict[str, Any]] = {
    "make_a_video": {"picture_width": None, "rate": False}
}  # inputs that start unheard
STILLS = (VideoShape(frames=1, height=24, width=40, fps=3), VideoShape(frames=1, height=48, width=80, fps=3))


def narrow(network: VideoUNetConfig) -> VideoUNetConfig:
    """A network of some thousand weights with the same levels."""
    levels = tuple(level.with_(width=8 * (1 + place), blocks=1) for place, level in enumerate(network.levels))
    return network.with_(levels=levels, text_width=8, embedding=16, head=8)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The narrow image model with random weights."""
    stages = tuple(
        StageSpec(name=name, shape=shape, inputs=usual_inputs(source), network=narrow(network))
        for name, shape, source, network in (
            ("base", STILLS[0], None, _mini_image.BASE),
            ("ssr", STILLS[1], STILLS[0], _mini_image.SSR),
        )
    )
    torch.manual_seed(0)
    networks = {stage.name: stage.network.build() for stage in stages}
    for name, weight in [pair for network in networks.values() for pair in network.named_parameters()]:
        if not name.startswith("frame_position"):
            torch.nn.init.normal_(weight, std=0.1)
    folder = tmp_path_factory.mktemp("image") / "model"
    spec = CascadeSpec(name="image", text=Words(width=8, limit=16), stages=stages)
    write_model(folder, spec, networks, "# image\n")
    return folder


def small(name: str, folder: Path, frames: int) -> Path:
    """The recipe with narrow networks and small clips, as a file."""
    made = GridOptions("8x16", frames).of(load_recipe(f"{name}@mini").override("ssr.training.span", 8))
    changes: dict[str, Any] = {"cascade.text": Words(width=8, limit=16).to_json()}
    for stage in made.cascade.stages:
        training, spec = f"{stage.name}.training", made.train_spec(stage.name)
        changes[f"{stage.name}.sampling.steps"] = 2
        if isinstance(stage.network, VideoUNetConfig):
            changes[f"{stage.name}.network"] = narrow(stage.network).to_json()
        else:
            changes[f"{stage.name}.network"] = stage.network.with_(width=16, depth=1, text_width=8).to_json()
        phases = [phase.with_(examples=4, batch=2).to_json() for phase in spec.phases]
        changes[f"{training}.phases"] = phases
        data = unpaired(Toybox(pictures=True, scripts=9), Toybox(seed=1, scripts=9))
        if stage.makes_vectors:
            changes[f"{training}.data.source"] = Toybox(pictures=True, scripts=9).to_json()
        else:
            changes[f"{training}.data"] = (data if name == "make_a_video" else Toybox(scripts=9)).to_json()
        for field, value in (("sample_every", 0), ("warm_up", 0), ("cool_down", 0), ("log_every", 2)):
            changes[f"{training}.{field}"] = value
        changes[f"{training}.precision"] = "fp32"
    path = folder / f"{name}.json"
    path.write_text(json.dumps(made.overridden(changes).to_json()))
    return path


@pytest.mark.parametrize("name", NAMES)
def test_sizes_and_files(name: str) -> None:
    for size in ("", "@mini"):
        made = load_recipe(f"{name}{size}")
        assert Recipe.from_json(json.dumps(made.to_json())) == made
        assert all(spec.init_missing == "fresh" for spec in made.training.values())
        assert made.training.keys() == {stage.name for stage in made.cascade.stages}
    with pytest.raises(ValueError, match="unknown size 'minu'"):
        load_recipe(f"{name}@minu")


def test_what_the_papers_say() -> None:
    video, lumiere = load_recipe("make_a_video"), load_recipe("lumiere")
    shapes = [stage.shape.sizes for stage in video.cascade.stages]
    assert shapes == [(16, 64, 64), (16, 256, 256), (16, 768, 768)]
    alone = video.cascade.stages[-1]
    assert alone.sampling.shared_noise and alone.network.framewise() == alone.network
    rates = [phase.rates for phase in video.train_spec("base").phases]
    assert rates[0][0] == 30 and rates[-1][-1] == 1 and [max(one) for one in rates] == sorted(map(max, rates))[::-1]
    for made in (video, load_recipe("make_a_video@mini")):
        for spec in (made.training[stage.name] for stage in made.cascade.stages if not stage.makes_vectors):
            assert isinstance(spec.data, Mixture)
            assert [(part.only, part.captions) for part in spec.data.parts] == [("pictures", True), ("clips", False)]
            assert spec.learn == () and spec.freeze == ()

    shapes = [stage.shape.sizes for stage in lumiere.cascade.stages]
    assert shapes == [(80, 128, 128), (80, 1024, 1024)] and lumiere.cascade.stages[0].shape.fps == 16
    base = lumiere.cascade.stages[0].network
    assert isinstance(base, VideoUNetConfig) and base.strides == (1, 2, 4, 8, 16)
    temporal = [level.temporal for level in base.levels]
    assert temporal == [("convolution",)] * 4 + [("attention",)]
    network = narrow(base).build()
    freeze(network, (), lumiere.train_spec("base").learn)
    new = network.state_dict().keys() - narrow(base).framewise().bare().state_dict().keys()
    assert {name for name, weight in network.named_parameters() if weight.requires_grad} <= new
    frozen = {name for name in new if not dict(network.named_parameters())[name].requires_grad}
    assert all("feed_forward" in name for name in frozen), frozen


@pytest.mark.parametrize("name", NAMES)
def test_the_small_ones_begin_as_the_small_image_model(name: str) -> None:
    made, own = load_recipe(f"{name}@mini"), load_recipe("mini_image").cascade
    for stage in (one for one in made.cascade.stages if not one.makes_vectors):
        still, theirs = stage.network.framewise(), own.stage(stage.name).network
        assert isinstance(still, VideoUNetConfig) and still.with_(**SILENT.get(name, {}), fps=theirs.fps) == theirs
        assert (stage.shape.height, stage.shape.width) == own.stage(stage.name).shape.sizes[1:]
        assert own.text == made.cascade.text


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("make_a_video", "base: its output begins exactly as the image network's, frame by frame"),
        ("lumiere", "base: frames 0, 4, 8 and so on of its output begin "),
    ],
)
def test_a_small_one_learns_goes_on_and_makes_videos(
    name: str, told: str, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, runs = small(name, tmp_path, 8), tmp_path / "runs"
    assert main(["train", str(recipe), "--init", str(image), "--out", str(runs)]) == 0
    err = capsys.readouterr().err
    assert told in err and "ssr: its output begins exactly as the image network's, frame by frame" in err
    image_weights = load_file(image / "base/model.safetensors")
    found = find_checkpoints(runs / "base/checkpoints")[-1]
    ours = load_file(found / "model.safetensors")
    moved = {key for key, value in image_weights.items() if not torch.equal(ours[key], value.float())}
    if name == "lumiere":
        learnt = [*NEW, "*text*", "frame_position*"]
        assert moved and all(any(Path(key).match(one) for one in learnt) for key in moved)
    else:
        assert len(moved) > 20
    assert main(["train", "--resume", "--out", str(runs), "--quiet"]) == 0
    assert main(["generate", "a red star", "--model", str(runs), "-o", str(tmp_path / "a.mp4"), "--quiet"]) == 0
    info, last = probe(tmp_path / "a.mp4"), load_recipe(recipe).cascade.stages[-1].shape
    assert (info.frames, info.height, info.width) == last.sizes
    more = ["generate", "a star", "--model", str(runs), "--style", str(image), "-o", str(tmp_path / "b.mp4")]
    assert main([*more, "--until", "base", "--quiet"]) == 0


def stop(made: Made) -> None:
    raise KeyboardInterrupt


def test_sixteen_frames_are_interpolated(image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe, runs = small("make_a_video", tmp_path, 16), tmp_path / "runs"
    words = ["train", str(recipe), "--init", str(image), "--out", str(runs), "--stages", "prior,base"]
    assert main(words) == 0
    assert f"prior: begins with random weights, for {image} has no such stage" in capsys.readouterr().err
    out = tmp_path / "long.mp4"
    words = ["generate", "a red star", "--model", str(runs), "--fps", "15", "--seconds", str(76 / 15), "--quiet"]
    assert main([*words, "--scheme", "interpolation", "-o", str(out)]) == 0
    assert (probe(out).frames, probe(out).fps) == (76, 15)
    # Stopped after a block it goes on to the same video, for the prior imagines the same; a picture makes another.
    model = Cascade.from_pretrained(runs)
    longer: dict[str, Any] = {"seconds": 24 / model.spec.stage("base").shape.fps, "prompt": "a star"}
    Video(np.full((1, 8, 16, 3), 200, np.uint8), 1).save(tmp_path / "grey.png")
    folder, opening = tmp_path / "unfinished", Video(np.full((3, 8, 16, 3), 90, np.uint8), 3)
    with pytest.raises(KeyboardInterrupt):
        list(model.extend(None, **longer, folder=folder, progress=stop))
    again = Cascade.from_pretrained(runs).extend(None, **longer, folder=folder, resume=True)
    imagined = [np.stack(list(model.extend(None, **longer))), np.stack(list(again))]
    assert (next(model.extend(opening, **longer)) == opening.frames[0]).all()
    shown = np.stack(list(model.extend(None, **longer, given={"picture": tmp_path / "grey.png"})))
    assert len(shown) == 24 and (imagined[0] == imagined[1]).all() and (imagined[0] != shown).any()
    spec, small_video = load_recipe(recipe).cascade, VideoShape(frames=16, height=8, width=16, fps=3)
    enlarging = upscaling(spec, small_video, after=None, until=None, fit="exact", add_frames=False)
    assert [stage.name for stage in enlarging.stages] == ["ssr"]
