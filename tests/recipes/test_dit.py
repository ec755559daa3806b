"""The transformer's recipe: its sizes, and one model that makes both shapes, both lengths and pictures."""

import json
from pathlib import Path

import pytest
import torch

from zoetrope.cascade.grid import far_from, on_grid
from zoetrope.models.cascade import Cascade
from zoetrope.networks.dit import SIZES, DiTConfig
from zoetrope.recipes import load_recipe
from zoetrope.training.loop import Run
from zoetrope.training.spec import Recipe
from zoetrope.video import probe, read

SMALL = {
    "cascade.text": {"type": "words", "width": 8, "limit": 16},
    "base.network": {"type": "dit", "text_width": 8, "width": 16, "depth": 1, "head": 8, "patch": [2, 4, 4], "fps": 3},
    "base.sampling.steps": 2,
    "base.training.data.scripts": 20,
    "base.training.phases": [{"examples": 16, "batch": 8, "frames": 1}, {"examples": 24, "batch": 2}],
    "base.training.sample_every": 0,
    "base.training.log_every": 8,
    "base.training.warm_up": 0,
    "base.training.cool_down": 0,
    "base.training.precision": "fp32",
}


def test_the_published_sizes() -> None:
    for name, size in SIZES.items():
        made = load_recipe(f"dit@{name}")
        network = made.cascade.stages[0].network
        assert isinstance(network, DiTConfig)
        assert (network.depth, network.width, network.width // network.head) == size[:3]
        assert made.name == f"dit-{name.lower()}" and made.train_spec("base").grid_batches == "packed"
        assert Recipe.from_json(json.dumps(made.to_json())) == made
    with pytest.raises(ValueError, match="unknown size 'M'; known: B, L, S, XL"):
        load_recipe("dit@M")


def test_it_is_trained_on_two_shapes_and_two_lengths() -> None:
    made = load_recipe("dit")
    stage = made.cascade.stages[0]
    sizes = {shape.sizes for shape in stage.grids}
    assert sizes == {(f, *size) for f in (16, 8, 1) for size in ((24, 40), (40, 24))}
    assert stage.schedule.kind() == "linear" and stage.prediction == "flow"
    near = on_grid(made.cascade, size=(32, 32), frames=12)
    assert far_from(made.cascade, near) == ""
    assert "instead of 24 to 40" in far_from(made.cascade, on_grid(made.cascade, size=(24, 80)))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of a run of the recipe, with a network of some thousand weights."""
    folder = tmp_path_factory.mktemp("dit")
    run = Run(load_recipe("dit").overridden(SMALL), "base", folder / "run", torch.device("cpu"))
    for _ in run.train(folder / "cache"):
        pass
    return folder / "run"


def test_one_model_makes_all_of_them(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    cascade = Cascade.from_pretrained(model)
    for height, width in ((24, 40), (40, 24), (32, 32)):
        for frames in (16, 8, 1):
            video = cascade.generate("a red ball", size=(height, width), frames=frames)
            assert video.frames.shape == (frames, height, width, 3)
    assert "worse" not in caplog.text
    cascade.generate("a red ball", size=(24, 80), frames=8)
    assert "80 pixels wide instead of 24 to 40; it may look worse than what it was trained for" in caplog.text


def test_generate_in_several_sizes(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from zoetrope.__main__ import main

    monkeypatch.chdir(tmp_path)

    def cli(*words: str) -> int:
        monkeypatch.setattr("sys.argv", ["zoetrope", "generate", "a red ball", "--model", str(model), *words])
        return main() or 0

    sizes = ["--size", "24x40", "--size", "40x24"]
    assert cli(*sizes, "--seconds", "2.5", "-o", "ball.mp4", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [file["path"] for file in told["files"]] == ["ball-24x40.mp4", "ball-40x24.mp4"]
    assert [part["size"] for part in told["sizes"]] == ["24x40", "40x24"]
    for size in ((24, 40), (40, 24)):
        info = probe(f"ball-{size[0]}x{size[1]}.mp4")
        assert (info.height, info.width, info.frames, info.fps) == (*size, 8, 3)
    assert cli(*sizes, "--frames", "1", "-o", "ball.png", "--quiet") == 0
    assert read("ball-40x24.png").frames.shape == (1, 40, 24, 3)
    assert cli(*sizes, "--frames", "1", "--quiet") == 0
    assert read("a-red-ball.png").frames.shape == (1, 24, 40, 3)
    assert read("a-red-ball-2.png").frames.shape == (1, 40, 24, 3)
    capsys.readouterr()
    assert cli("--size", "24x40", "--size", "25x40", "-o", "no.mp4") == 2
    assert "the nearest that all stages can is 24x40" in capsys.readouterr().err and not list(tmp_path.glob("no*"))
    assert cli("--size", "24x40", "--frames", "16", "--memory", "1MB", "-o", "no.mp4") == 2
    assert "smaller or shorter ones (--size, --frames) need less" in capsys.readouterr().err
