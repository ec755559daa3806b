"""AdamW with a memory of 8 bits, where bitsandbytes is installed, and what is said where it is not."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from zoetrope.models.checkpoints import find_checkpoints
from zoetrope.training.loop import Run
from zoetrope.training.spec import Phase, Recipe
from zoetrope.training.state import read_metrics

Tiny = Callable[..., Recipe]
Trained = Callable[..., Run]


def test_without_the_package_its_name_is_told(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    with pytest.raises(ValueError, match=r"optimizer: 'adamw8bit' expects the package bitsandbytes .*pip install"):
        Run(tiny(optimizer="adamw8bit"), "base", tmp_path / "run", torch.device("cpu"))


def test_it_learns_and_goes_on_bit_for_bit(tiny: Tiny, trained: Trained, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    recipe = tiny(optimizer="adamw8bit", phases=(Phase(examples=48, batch=8, peak=5e-3),), half_life=8)
    levels = [level.to_json() | {"width": 64} for level in recipe.cascade.stage("base").network.levels]  # type: ignore[attr-defined]
    recipe = recipe.override("base.network.levels", levels)  # tensors of 4096 elements and more
    trained(recipe, "whole")
    trained(recipe, "parts", until=16)
    trained(recipe, "parts")
    one, other = (find_checkpoints(tmp_path / name / "checkpoints")[-1] for name in ("whole", "parts"))
    for file in one.glob("*.safetensors"):
        assert file.read_bytes() == (other / file.name).read_bytes(), file.name
    kept = load_file(one / "optimizer.safetensors")
    assert any(value.dtype == torch.uint8 and value.numel() >= 4096 for value in kept.values())
    lines = read_metrics(tmp_path / "whole/metrics.jsonl")
    assert lines[-1]["loss"] < lines[0]["loss"]
