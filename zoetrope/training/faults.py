"""Reports of batches whose loss or gradient was not finite, with what is needed to find the cause."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

from torch import distributed as dist

from zoetrope.files import write_text
from zoetrope.processes.ranks import Ranks
from zoetrope.training.batch import Batch
from zoetrope.training.meters import Outcome
from zoetrope.training.objectives import STUDENT
from zoetrope.training.packed import PackedBatch

FOLDER = "bad"


def all_names(batch: Batch | PackedBatch, ranks: Ranks) -> list[str]:
    """The names of all examples of a batch, including those of other processes; every process must call this."""
    own = dict(zip(batch.part.tolist(), batch.names, strict=True))
    parts = [own]
    if ranks.world > 1:
        parts = [{} for _ in range(ranks.world)]
        dist.all_gather_object(parts, own)
    names = {place: name for part in parts for place, name in part.items()}
    return [names[place] for place in range(batch.size)]


def write_fault(run: Path, examples: int, names: Sequence[str], outcome: Outcome) -> Path:
    """Write `bad/<examples>.json` for the batch at this position: its examples' names, times and errors.

    Non-finite values are written as strings ("nan", "inf", "-inf"), because JSON has no numbers for them. The file
    appears whole or not at all.
    """
    rows = [
        {"name": name, "t": time, "loss": _json_number(error)}
        for name, time, error in zip(names, outcome.times.tolist(), outcome.errors.tolist(), strict=True)
    ]
    about = {} if outcome.player == STUDENT else {"player": outcome.player}
    means = {"examples": examples, "loss": _json_number(outcome.loss), "grad_norm": _json_number(outcome.norm)}
    value = {**about, **means, "batch": rows}
    folder = run / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{examples:09d}.json"
    write_text(path, json.dumps(value, indent=1))
    return path


def _json_number(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)
