"""The status of a training, from its folder: its progress, its speed, and whether a process is running it."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from zoetrope.config.errors import reason
from zoetrope.models.checkpoints import find_checkpoints
from zoetrope.models.runs import is_distillation, is_run
from zoetrope.training.distil import Distillation
from zoetrope.training.lock import failure, holder
from zoetrope.training.state import read_metrics
from zoetrope.training.trained import run_recipe

RunState = Literal["running", "stopped", "finished", "failed", "damaged"]


class Standing(NamedTuple):
    """The status of one run.

    Attributes:
        stage: what it trains, "-" for a damaged run.
        examples, total: seen so far, and in all; for a run that is not running, those of its newest checkpoint.
        loss, examples_per_second: from the last line of metrics; None without one, or if nothing was learnt.
        eta: remaining seconds, None unless it is running.
        error: why it failed, or what of it cannot be read, if that is so.
    """

    run: Path
    stage: str
    state: RunState
    examples: int
    total: int
    loss: float | None
    examples_per_second: float | None
    eta: float | None
    checkpoint: Path | None
    error: str | None


def standing(run: Path) -> Standing:
    """The status of a run. Raises ValueError if the folder is not that of a run."""
    recipe, stage = run_recipe(run)
    total = recipe.train_spec(stage).examples
    found = find_checkpoints(run / "checkpoints")
    kept = int(found[-1].name) if found else 0
    lines = read_metrics(run / "metrics.jsonl")
    last = lines[-1] if lines else None
    error = None
    if holder(run) is not None:
        state: RunState = "running"
    elif kept >= total:
        state = "finished"
    else:
        error = failure(run)
        state = "stopped" if error is None else "failed"
    examples = max(kept, int(last["examples"])) if state == "running" and last else kept
    speed, loss = (_number(last, name) for name in ("examples_per_second", "loss"))
    eta = (total - examples) / speed if state == "running" and speed else None
    return Standing(run, stage, state, examples, total, loss, speed, eta, found[-1] if found else None, error)


def standings(folder: Path) -> list[Standing]:
    """The status of every run of a folder, see `trainings_in`; among several, one that cannot be read is "damaged".

    Raises ValueError if there is no run, or if the only one cannot be read.
    """
    runs = trainings_in(folder)
    return [standing(run) if len(runs) == 1 else _any_standing(run) for run in runs]


def _any_standing(run: Path) -> Standing:
    """The status of a run, or of a distillation whose rounds are not known, whatever became of its files."""
    try:
        if is_distillation(run):
            Distillation.open(run)
        return standing(run)
    except (ValueError, OSError) as error:
        return Standing(run, "-", "damaged", 0, 0, None, None, None, None, reason(error, run))


def _number(line: Mapping[str, Any] | None, name: str) -> float | None:
    """A number from a line of metrics, None if it is missing."""
    value = None if line is None else line.get(name)
    return None if value is None else float(value)


def trainings_in(folder: Path) -> list[Path]:
    """The runs of a folder: itself, those in it, or the started rounds of a distillation.

    Raises ValueError if there is none.
    """
    if is_run(folder):
        return [folder]
    if is_distillation(folder):
        return [part.folder for part in Distillation.open(folder).rounds() if is_run(part.folder)]
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    runs = sorted((path for path in inside if is_run(path)), key=_place)
    found = [*runs, *(run for path in inside if is_distillation(path) for run in _rounds(path))]
    if not found:
        why = "holds no run" if folder.is_dir() else "is no folder"
        raise ValueError(f"{folder}: expected the folder of a training, or one with trainings in it; it {why}")
    return found


def _rounds(folder: Path) -> list[Path]:
    """The started rounds of a distillation, or its folder if that cannot be read."""
    try:
        return trainings_in(folder)
    except ValueError:
        return [folder]


def _place(run: Path) -> float:
    """The index of a run's stage in its cascade; runs that cannot be read come last."""
    try:
        recipe, stage = run_recipe(run)
    except (ValueError, OSError):
        return math.inf
    return [one.name for one in recipe.cascade.stages].index(stage)
