"""A transformer whose weights are divided among two processes learns from packed clips what one process does."""

from pathlib import Path

import pytest
import torch

from zoetrope.models.checkpoints import find_checkpoints
from zoetrope.networks.dit import DiTConfig
from zoetrope.training.grids import Grid
from zoetrope.training.loop import Run
from zoetrope.training.parallel.replicated import Replicated
from zoetrope.training.parallel.sharded import Sharded
from zoetrope.training.pieces import Stored
from zoetrope.training.spec import Recipe

from .stages import recipe
from .test_parallel import entry, losses, together

GRIDS = (Grid(frames=2, height=8, width=12), Grid(frames=4, height=12, width=8))


def packed(parallel: Replicated | Sharded) -> Recipe:
    """Batches of five clips of two grids, an uneven share of each for two processes."""
    network = DiTConfig(text_width=8, width=16, depth=2, head=8, patch=(1, 4, 4), fps=3)
    made = recipe().override("base.network", network.to_json())
    fields = {
        "grids": [grid.to_json() for grid in GRIDS],
        "grid_batches": "packed",
        "phases": [{"examples": 15, "batch": 5, "peak": 1e-3}],
        "parallel": parallel.to_json(),
        "checkpoint_every": 10,
        "log_every": 5,
        "warm_up": 0,
        "sample_every": 0,
        "precision": "fp32",
    }
    return made.overridden({f"base.training.{name}": value for name, value in fields.items()})


@pytest.mark.long
def test_two_processes_pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    for _ in Run(packed(Replicated()), "base", Path("alone"), torch.device("cpu")).train(tmp_path / "cache"):
        pass
    together(tmp_path, entry(Path("sharded"), packed(Sharded())), entry(Path("replicated"), packed(Replicated())))
    for name in ("sharded", "replicated"):
        assert losses(Path(name)) == pytest.approx(losses(Path("alone")), rel=1e-4)
        ours, theirs = (Stored(find_checkpoints(Path(run) / "checkpoints")[-1], "model") for run in ("alone", name))
        assert set(ours.names()) == set(theirs.names()) and list(ours.names())
        for weight in ours.names():
            torch.testing.assert_close(ours.read(weight), theirs.read(weight), rtol=2e-3, atol=2e-3)
