"""Moving averages of several half-lives: each is what it would be alone, and a resumed one is the same."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from zoetrope.models.checkpoints import find_checkpoints
from zoetrope.models.opening import open_model
from zoetrope.training.loop import Run
from zoetrope.training.spec import Recipe
from zoetrope.training.trained import weights_of

Tiny = Callable[..., Recipe]
Trained = Callable[..., Run]


def newest(folder: Path) -> Path:
    return find_checkpoints(folder / "checkpoints")[-1]


def test_each_is_what_it_would_be_alone(tiny: Tiny, trained: Trained, tmp_path: Path) -> None:
    trained(tiny(half_life=(2, 9)), "both")
    for half_life, name in ((2, "average"), (9, "average-9")):
        trained(tiny(half_life=half_life), f"only{half_life}")
        alone, among = (
            (newest(tmp_path / where) / f"{file}.safetensors").read_bytes()
            for where, file in ((f"only{half_life}", "average"), ("both", name))
        )
        assert alone == among
    files = [load_file(newest(tmp_path / "both") / f"{name}.safetensors") for name in ("average", "average-9")]
    assert any(not torch.equal(files[0][name], files[1][name]) for name in files[0])


def test_resumed_is_the_same_bit_for_bit(tiny: Tiny, trained: Trained, tmp_path: Path) -> None:
    recipe = tiny(half_life=(2, 9, 1))
    trained(recipe, "whole")
    trained(recipe, "parts", until=8)
    trained(recipe, "parts")
    for file in newest(tmp_path / "whole").glob("*.safetensors"):
        assert file.read_bytes() == (newest(tmp_path / "parts") / file.name).read_bytes(), file.name


def test_a_new_half_life_begins_as_the_first_average(
    tiny: Tiny, trained: Trained, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trained(tiny(half_life=2), "run", until=8)
    with caplog.at_level(logging.WARNING):
        run = Run(tiny(half_life=(2, 9)), "base", tmp_path / "run", torch.device("cpu"))
    assert "has no average-9.safetensors: that average begins as the first one is" in caplog.text
    first, second = (network.state_dict() for network in run.state.student.averages.networks)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_another_than_the_first_is_named_behind_the_run(tiny: Tiny, trained: Trained, tmp_path: Path) -> None:
    trained(tiny(half_life=(2, 9)), "run", until=8)
    run, at = tmp_path / "run", newest(tmp_path / "run")
    assert open_model([run]).weights["base"] == open_model([f"{run}@2"]).weights["base"] == at / "average.safetensors"
    assert open_model([f"{run}@9"]).weights["base"] == weights_of(f"{run}@9", "base") == at / "average-9.safetensors"
    with pytest.raises(ValueError, match=r"run@8: expected the half-life of one of its averages, 2 or 9"):
        open_model([f"{run}@8"])
