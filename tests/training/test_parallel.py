"""Trainings of two processes, whose weights are replicated or divided: what they learn, and how they go on."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributed import checkpoint as dcp

from zoetrope.models.checkpoints import find_checkpoints
from zoetrope.training.loop import Run
from zoetrope.training.parallel import Parallel
from zoetrope.training.pieces import Stored
from zoetrope.training.spec import Phase, Recipe
from zoetrope.training.state import read_metrics

from .conftest import Tiny

pytestmark = pytest.mark.first

PARTS = ("model", "average", "average-9", "optimizer", "errors")
CPU = torch.device("cpu")
# Uneven shares, images alone, packs, and at the end a batch of one example for two processes.
PHASES = (Phase(examples=10, batch=5, frames=1, peak=1e-3), Phase(examples=11, batch=5, images=0.4, peak=1e-3))
FIELDS: dict[str, Any] = {
    "optimizer": "muon",
    "half_life": (20, 9),
    "balance": True,
    "accumulate": 2,
    "checkpoint_every": 10,
    "log_every": 5,
    "keep": 10,
}


def made(tiny: Tiny, parallel: str, **more: Any) -> Recipe:
    recipe = tiny(**FIELDS | {"parallel": Parallel.from_json({"type": parallel})} | more)
    return recipe.override("base.training.phases", [phase.to_json() for phase in PHASES])


def entry(run: Path, recipe: Recipe, until: int = 1000) -> dict[str, Any]:
    return {"run": str(run), "recipe": recipe.to_json(), "until": until}


def together(folder: Path, *entries: dict[str, Any]) -> str:
    """Do these trainings in two processes under torchrun; what they wrote to the console."""
    plan = folder / "plan.json"
    plan.write_text(json.dumps(entries))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    here = Path(__file__)
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(here.parents[2])}
    done = subprocess.run(
        [*launch, str(here.with_name("together.py")), str(plan)], capture_output=True, text=True, timeout=600, env=env
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def contents(run: Path) -> dict[str, Tensor]:
    """All tensors of the newest checkpoint, whole."""
    newest = find_checkpoints(run / "checkpoints")[-1]
    assert newest.name == "000000021"
    stored = {part: Stored(newest, part) for part in PARTS}
    return {f"{part}.{name}": one.read(name) for part, one in stored.items() for name in one.names()}


def same(left: Path, right: Path, tolerance: float = 0.0) -> None:
    ours, theirs = contents(left), contents(right)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert torch.allclose(value, theirs[name], rtol=tolerance, atol=tolerance), name


def losses(run: Path) -> list[float]:
    return [line["loss"] for line in read_metrics(run / "metrics.jsonl")]


def test_two_processes(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after another in one launch, for that is what takes the time."""
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    replicated, sharded = made(tiny, "replicated"), made(tiny, "sharded", sample_every=10)
    for run, until in ((Path("alone"), 1000), (Path("begun"), 10), (Path("begun-too"), 10)):
        for progress in (reports := Run(replicated, "base", run, CPU).train(tmp_path / "cache")):
            if progress.examples >= until:
                reports.close()  # type: ignore[attr-defined]
                break
    offload = made(tiny, "replicated").override("base.training.parallel", {"type": "sharded", "offload": True})
    together(
        tmp_path,
        entry(Path("replicated"), replicated),
        entry(Path("sharded"), sharded),
        # gone on with as they were begun
        entry(Path("replicated-again"), replicated, 10),
        entry(Path("replicated-again"), replicated),
        entry(Path("sharded-again"), sharded, 10),
        entry(Path("sharded-again"), sharded),
        # and otherwise
        entry(Path("begun"), replicated),
        entry(Path("begun-too"), sharded),
        entry(Path("turned"), sharded, 10),
        entry(Path("turned"), replicated),
        entry(Path("to-be-finished-alone"), sharded, 10),
        entry(Path("offloaded"), offload),
    )
    alone = losses(Path("alone"))
    for run in ("replicated", "sharded", "offloaded"):
        assert losses(Path(run)) == pytest.approx(alone, rel=1e-4)
        same(Path("alone"), Path(run), 2e-3)
    same(Path("sharded"), Path("offloaded"))
    assert len(list(Path("sharded/samples").iterdir())) == 2

    newest = find_checkpoints(Path("sharded/checkpoints"))[-1]
    assert sorted(path.name for path in newest.iterdir()) == [
        "average-9.safetensors", "average.safetensors", "errors.safetensors", "model", "optimizer", "state.json"
    ]  # fmt: skip
    assert [path.name for path in sorted((newest / "model").iterdir())] == ["00000.safetensors", "00001.safetensors"]
    read_by_torch = {name: torch.empty_like(value) for name, value in whole(newest, "model").items()}
    reader = dcp.HuggingFaceStorageReader(str(newest / "model"))
    dcp.load(read_by_torch, storage_reader=reader, no_dist=True)
    assert all(torch.equal(value, read_by_torch[name]) for name, value in whole(newest, "model").items())

    same(Path("replicated"), Path("replicated-again"))
    same(Path("sharded"), Path("sharded-again"))
    for run in ("begun", "begun-too", "turned"):
        same(Path("alone"), Path(run), 2e-3)
    for _ in Run(replicated, "base", Path("to-be-finished-alone"), CPU).train(tmp_path / "cache"):
        pass
    same(Path("alone"), Path("to-be-finished-alone"), 2e-3)


def whole(checkpoint: Path, part: str) -> dict[str, Tensor]:
    stored = Stored(checkpoint, part)
    return {name: stored.read(name) for name in stored.names()}


def test_what_cannot_be_divided_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'sharded' needs torchrun; one process is enough"):
        Run(made(tiny, "sharded"), "base", tmp_path, CPU)
    with pytest.raises(ValueError, match="unknown parallel 'shardet'; did you mean 'sharded'"):
        Parallel.from_json({"type": "shardet"})
    with pytest.raises(ValueError, match="'adamw8bit' remembers blocks that cannot be divided"):
        Run(made(tiny, "sharded", optimizer="adamw8bit"), "base", tmp_path, CPU)
