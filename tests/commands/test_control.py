"""`zoetrope train` of a controlled network and `zoetrope generate --control`, from end to end, and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from zoetrope import Cascade
from zoetrope.inputs.edges import Edges, edges_of
from zoetrope.inputs.luma import Luma
from zoetrope.models.checkpoints import find_checkpoints
from zoetrope.recipes import load_recipe
from zoetrope.recipes.controlnet import SIZES, controlled
from zoetrope.training.trained import initial_weights
from zoetrope.video import Video, read

from .conftest import Cli
from .test_train import short

GENERATE = ("generate", "fog", "--until", "base", "--dtype", "fp32", "--quiet")


def clip(name: str, count: int = 4, size: tuple[int, int] = (8, 8), fps: float = 2) -> Path:
    """A clip of a white square that moves on black."""
    frames = np.zeros((count, *size, 3), np.uint8)
    for number in range(count):
        frames[number, 2:6, 1 + number % 4 : 4 + number % 4] = 255
    Video(frames[:1] if count == 1 else frames, fps).save(name)
    return Path(name)


def made(recipe: Path, *controls: Edges | Luma) -> Path:
    """The tiny recipe with a controlled base."""
    own = controlled(load_recipe(recipe), "base", controls, phases=load_recipe(recipe).train_spec("base").phases)
    path = Path("control.json")
    path.write_text(json.dumps(own.to_json()))
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where runs of this file are kept for its later tests."""
    return tmp_path_factory.mktemp("runs")


def begin(cli: Cli, recipe: Path, model: Path, *controls: Edges | Luma) -> None:
    """Train the controlled base for two steps, and go on for two more."""
    words = ["train", made(recipe, *controls), "--init", model, "--out", "run", *short("base", 8)]
    done = cli(*words)
    assert done.code == 0, done.err
    assert "base: its output begins exactly as that of the network that it extends\n" in done.err
    phases = 'base.training.phases=[{"examples": 16, "batch": 4}]'
    done = cli("train", "--out", "run", "--resume", "--set", phases)
    assert done.code == 0, done.err


@pytest.fixture
def run(cli: Cli, recipe: Path, model: Path, runs: Path) -> Path:
    """A run of a base that edges control, trained once."""
    if not (runs / "edges").exists():
        begin(cli, recipe, model, Edges())
        shutil.copytree("run/base", runs / "edges")
    return runs / "edges"


def test_it_learns_alone_and_what_it_controls_stays(run: Path, model: Path) -> None:
    stored = load_file(find_checkpoints(run / "checkpoints")[-1] / "average.safetensors")
    before = load_file(model / "base" / "model.safetensors")
    assert all(torch.equal(stored[name], value.float()) for name, value in before.items())
    new = stored.keys() - before.keys()
    assert new and all(name.startswith("controls.edges.") for name in new)
    moved = [name for name in new if name.startswith("controls.edges.leave") and stored[name].any()]
    assert len(moved) == 2
    assert list((run / "samples").glob("*.png"))


def test_without_a_control_it_is_the_model(cli: Cli, run: Path, model: Path) -> None:
    for name, own in (("model.png", model), ("run.png", run)):
        assert cli(*GENERATE, "--model", own, "--sampler", "ddim", "-o", f"{Path(name).stem}/").code == 0
    assert np.array_equal(read("model/", fps=2).frames, read("run/", fps=2).frames)


def test_drawings_and_clips_control_it(cli: Cli, run: Path) -> None:
    source = clip("clip/")
    edges = edges_of(Video(read(source, fps=2).frames, 2).to_tensor()[None], 0.2)
    Video.from_tensor((edges[0] * 2 - 1).expand(3, -1, -1, -1), 2).save("edges/")
    asked = (*GENERATE, "--model", run, "--json")
    told = {}
    for name, words in (
        ("none", ()),
        ("drawn", ("--control", "edges/")),
        ("named", ("--control", "edges=edges/")),
        ("derived", ("--control-from", "clip/")),
        ("weak", ("--control", "edges/", "--control-scale", "0")),
        ("half", ("--control", "edges/", "--control-scale", "edges=0.5")),
    ):
        done = cli(*asked, *words, "-o", f"{name}/")
        assert done.code == 0, done.err
        told[name] = json.loads(done.out).get("control")
    shown = {name: read(f"{name}/", fps=2).frames for name in told}
    assert np.array_equal(shown["drawn"], shown["named"]) and np.array_equal(shown["drawn"], shown["derived"])
    assert np.array_equal(shown["none"], shown["weak"])
    assert told["none"] is None and told["half"]["edges"]["scale"] == 0.5
    assert told["derived"]["edges"]["derived"] and not told["drawn"]["edges"]["derived"]

    model = Cascade.from_pretrained(run)
    drawn = model.generate("fog", until="base", control="edges/")
    assert np.array_equal(drawn.frames, shown["drawn"])
    derived = model.generate("fog", until="base", control_from={"edges": read("clip/", fps=2)}, control_scale=1.0)
    assert np.array_equal(derived.frames, shown["drawn"])
    half = model.generate("fog", until="base", control=read("edges/", fps=2).frames, control_scale={"edges": 0.5})
    assert np.array_equal(half.frames, shown["half"])
    again = cli(*asked, "--control", "edges/", "-o", "drawn/", "--resume")
    assert again.code == 0 and json.loads(again.out)["files"][0]["skipped"]
    other = cli(*asked, "--control-from", "clip/", "-o", "drawn/", "--resume")
    assert other.code == 2, "another control makes another video"


def test_any_size_and_length_by_fit(cli: Cli, run: Path) -> None:
    clip("picture.png", count=1)
    clip("large/", size=(24, 24))
    clip("long.mp4", count=12, size=(10, 30), fps=4)
    for words in (("picture.png",), ("large/",), ("long.mp4", "--fit", "crop")):
        done = cli(*GENERATE, "--model", run, "--control-from", *words, "-o", f"{len(words)}{words[0][:4]}.mp4")
        assert done.code == 0, done.err


def test_what_does_not_fit_is_refused(cli: Cli, run: Path, model: Path) -> None:
    clip("ten/", count=10)
    clip("odd/", size=(9, 8))
    clip("wide/", size=(16, 24))
    clip("right/")
    clip("fast.mp4", fps=8, size=(16, 16))
    made = "(stage 'base' makes 4x8x8@2fps)"
    for words, told in (
        (("--control", "ten/"), "control edges=ten/: expected 4 frames, or one picture for all, got 10 frames"),
        (("--control", "odd/"), "control edges=odd/: expected a size of 8x8 or a multiple of it, such as 16x16, got"),
        (("--control", "odd/"), made),
        (
            ("--control-from", "wide/"),
            "edges=wide/: expected a size of 8x8 or a multiple of it, such as 16x16, got 16x24",
        ),
        (("--control-from", "fast.mp4"), "control_from edges=fast.mp4: expected 2 frames a second, got 8"),
        (("--control", "edge=right/"), "control: unknown control 'edge'; did you mean 'edges'?"),
        (("--control", "right/", "--control-from", "right/"), "expected 'edges' once, got it in control_from too"),
        (("--control", "right/", "--control", "right/"), "--control right/: expected NAME=FILE for each of several"),
        (("--control", "edges=right/", "--control", "edges=odd/"), "expected one file for edges, got two"),
        (("--control", "right/", "--control-scale", "11"), "scale: expected a number from 0 to 10, got 11"),
        (("--control", "right/", "--control-scale", "much"), "--control-scale: expected a number, or NAME=NUMBER"),
        (("--control-scale", "1"), "control_scale: expected a clip that it is about"),
        (("--control", "right/", "--seconds", "8", "--scheme", "autoregressive"), "--control: expected without"),
        (("--control", "none.mp4"), "none.mp4"),
    ):
        done = cli(*GENERATE, "--model", run, *words, "-o", "out/")
        assert done.code == 2 and told in done.err and len(done.err.splitlines()) == 1, done.err
        assert not Path("out").exists()
    done = cli(*GENERATE, "--model", model, "--control", "right/", "-o", "out/")
    assert done.code == 2 and "control: expected none, for the model reads no control" in done.err
    assert "zoetrope train controlnet" in done.err
    with pytest.raises(ValueError, match=r"control edges: expected a picture \(H, W, 3\) uint8.* got object"):
        Cascade.from_pretrained(run).generate("fog", control=object())


def test_several_controls(cli: Cli, recipe: Path, model: Path) -> None:
    begin(cli, recipe, model, Edges(dropout=0.3), Luma(dropout=0.3))
    clip("clip/")
    asked = (*GENERATE, "--model", "run/base")
    refused = cli(*asked, "--control", "clip/", "-o", "out/")
    assert refused.code == 2
    assert "control: the model has several controls; say which one, edges or luma" in refused.err
    shown = {}
    for name, words in (
        ("edges", ("--control-from", "edges=clip/")),
        ("luma", ("--control", "luma=clip/")),
        ("both", ("--control-from", "edges=clip/", "--control", "luma=clip/", "--control-scale", "luma=0.5")),
    ):
        done = cli(*asked, *words, "-o", f"{name}/")
        assert done.code == 0, done.err
        shown[name] = read(f"{name}/", fps=2).frames
    assert not np.array_equal(shown["edges"], shown["luma"]) and not np.array_equal(shown["edges"], shown["both"])


def test_the_shipped_recipes_begin_as_their_models() -> None:
    for size in (None, *SIZES):
        own = load_recipe("controlnet" if size is None else f"controlnet@{size}")
        assert own.cascade.stage("base").network.reads == {"text", "edges"} and list(own.training) == ["base"]
    initial_weights("mini", "base").check(load_recipe("controlnet@mini"), "base")
    with pytest.raises(ValueError, match="did you mean 'mini_image'"):
        load_recipe("controlnet@mini_images")
    with pytest.raises(ValueError, match="controls: expected inputs such as edges, got 'text'"):
        controlled(load_recipe("mini"), "base", (load_recipe("mini").cascade.stage("base").inputs[0],))


def test_weights_of_another_network_are_named(cli: Cli, recipe: Path, model: Path) -> None:
    words = ["train", made(recipe, Edges()), "--init", model, "--out", "run", *short("base", 8)]
    done = cli(*words, "--set", "base.network.network.head=4")
    assert done.code == 2 and "base.network.network.head: expected 8, as the weights have, got 4" in done.err
    done = cli(*words, "--set", "base.network.network.embedding=24")
    assert done.code == 2 and "base.network.network.embedding: expected 16, as the weights have, got 24" in done.err
    assert not Path("run").exists()
