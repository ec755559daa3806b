"""The picture encoder's training: its error, what it learns, and the command line, from run to packaged encoder."""

import importlib.util
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from zoetrope.__main__ import main
from zoetrope.conditioning import Conditioning
from zoetrope.models.checkpoints import find_checkpoints
from zoetrope.pictures import embed
from zoetrope.pictures.small import SmallPictures
from zoetrope.recipes import load_recipe
from zoetrope.text.words import Words
from zoetrope.training.objectives import STUDENT, Lesson
from zoetrope.training.objectives.contrastive import Contrastive

STAGE = load_recipe("pictures").cascade.stage("towers")


def errors_of(logits: Tensor) -> Tensor:
    """The errors on a batch whose pictures and texts are alike as `logits` say."""
    count = len(logits)
    lesson = Lesson(torch.zeros(count, 3, 1, 2, 2), torch.zeros(1), torch.zeros(count), Conditioning())
    return Contrastive()(STAGE, lesson, {STUDENT: lambda *_: logits})


def test_the_error_is_how_well_a_pair_finds_itself_both_ways() -> None:
    torch.testing.assert_close(errors_of(torch.zeros(5, 5)), torch.full((5,), math.log(5)))
    assert errors_of(50 * torch.eye(5)).max() < 1e-6
    logits = torch.randn(4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    by_text, by_picture = (torch.diagonal(logits.softmax(axis)) for axis in (0, 1))
    torch.testing.assert_close(errors_of(logits), (-(by_text.log() + by_picture.log()) / 2).float())


def test_networks_that_denoise_and_those_that_compare() -> None:
    recipe = load_recipe("pictures")
    with pytest.raises(
        ValueError, match=r"training\.towers\.objective: expected 'contrastive', for its network 'towers'"
    ):
        recipe.override("towers.training.objective", {"type": "denoise"})
    with pytest.raises(ValueError, match=r"training\.decoder\.objective: expected another, for its network denoises"):
        load_recipe("mini_prior").override("decoder.training.objective", {"type": "contrastive"})


def small(examples: int) -> list[str]:
    """Changes to the recipe: words for text features, and so few examples."""
    fields: dict[str, Any] = {
        "cascade.text": '{"type": "words", "width": 16}',
        "towers.network.text_width": 16,
        "towers.training.phases.0.examples": examples,
        "towers.training.phases.0.batch": 16,
        "towers.training.warm_up": 16,
        "towers.training.cool_down": 0,
        "towers.training.half_life": 32,
        "towers.training.data.scripts": 50,
        "towers.training.log_every": 64,
    }
    return [word for name, value in fields.items() for word in ("--set", f"{name}={value}")]


def run(*words: str) -> int:
    return main([*words, "--quiet"])


def test_the_command_line_trains_goes_on_and_makes_an_encoder(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert Words(width=16).width == 16
    whole = ["train", "pictures", "--stage", "towers", "--out", "whole", *small(128)]
    assert run(*whole) == 0
    assert run("train", "pictures", "--stage", "towers", "--out", "half", *small(64)) == 0
    more = ["--set", "towers.training.phases.0.examples=128", "--accept-changes"]
    assert run("train", "--out", "half", "--resume", *more) == 0
    averages = [find_checkpoints(Path(name) / "checkpoints")[-1] / "average.safetensors" for name in ("whole", "half")]
    assert averages[0].read_bytes() == averages[1].read_bytes()

    spec = importlib.util.spec_from_file_location(
        "package_pictures", Path(__file__).parents[2] / "benchmarks" / "package_pictures.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.package(Path("whole"), Path("small.safetensors"))
    pictures = torch.rand(2, 3, 24, 40) * 2 - 1
    packaged, own = (
        embed(SmallPictures(path=str(path)), pictures) for path in (tmp_path / "small.safetensors", averages[0])
    )
    torch.testing.assert_close(packaged, own, rtol=0.02, atol=0.02)  # float16
    assert run("generate", "a star", "--model", "whole", "-o", "a.png") == 2
