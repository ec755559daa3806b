"""Folders of trainings as models: what a run on disk says of its cascade, and where its averaged weights are.

A run is a folder with `run.json`, `recipe.json` and `checkpoints/<examples>/average.safetensors`. No more of it is read
here than sampling needs.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from zoetrope.cascade.spec import CascadeSpec
from zoetrope.explain import expect_path, reason
from zoetrope.models.files import inside, read_json

RUN, RECIPE = "run.json", "recipe.json"
DISTILLATION = "distillation.json"  # in a folder of runs that are rounds, of which each replaces the one before


class Trained(NamedTuple):
    """A cascade of runs: its description, and the file with the weights of each stage."""

    spec: CascadeSpec
    weights: dict[str, Path]


def is_run(folder: Path) -> bool:
    """Whether this is the folder of a training."""
    return (folder / RUN).is_file()


def named(name: str | Path) -> tuple[Path, int | None]:
    """The folder that RUN or RUN@HALF_LIFE means, and the half-life of the average to use, None for the first."""
    expect_path("model", name, "a folder, a shipped name or a hub id")
    path = Path(os.path.expanduser(name))
    head, sign, tail = path.name.rpartition("@")
    if not sign or not head or not tail.isdigit() or path.exists():
        return path, None
    return path.with_name(head), int(tail)


def runs_in(folder: Path) -> list[Path]:
    """The runs right in a folder, in the order of their cascade; [] if there is none, or if it is a distillation.

    Raises ValueError if one cannot be read, or if two are of one stage.
    """
    distilled = (folder / DISTILLATION).is_file()
    found = sorted(path.parent for path in folder.glob(f"*/{RUN}")) if folder.is_dir() and not distilled else []
    by_stage: dict[str, Path] = {}
    order: list[str] = []
    for run in found:
        cascade, stage, _ = _read(run)
        if stage in by_stage:
            raise ValueError(f"{folder}: {by_stage[stage].name} and {run.name} are both of stage {stage!r}; name one")
        by_stage[stage] = run
        order += [one.name for one in cascade.stages if one.name not in order]
    return [by_stage[stage] for stage in sorted(by_stage, key=order.index)]


def average_file(run: Path, half_life: int | None = None) -> Path:
    """The file with a moving average of a run's weights in its newest checkpoint, the first one's unless told.

    Raises ValueError if the run has no checkpoint yet, or no average of that half-life.
    """
    _, _, known = _read(run)
    found = (path.parent for path in run.glob("checkpoints/[0-9]*/state.json"))
    complete = sorted((path for path in found if path.name.isdecimal()), key=lambda path: int(path.name))
    if not complete:
        raise ValueError(f"{run}: this run has no checkpoint yet")
    if half_life is not None and half_life not in known:
        raise ValueError(
            f"{run}@{half_life}: expected the half-life of one of its averages, {' or '.join(map(str, known))}"
        )
    first = half_life is None or half_life == known[0]
    file = "average.safetensors" if first else f"average-{half_life}.safetensors"
    return inside(run, complete[-1].relative_to(run) / file)


def read_runs(names: Sequence[str | Path]) -> Trained:
    """The cascade of these runs, of one stage each, in this order; a name may be RUN@HALF_LIFE.

    Raises ValueError if one cannot be read, or if they do not fit each other.
    """
    parts = [(name, *named(name)) for name in names]
    read = [(name, half_life, folder, *_read(folder)) for name, folder, half_life in parts]
    first = read[0][3]
    for name, _, _, cascade, _, _ in read:
        if cascade.text != first.text:
            raise ValueError(f"{name}: reads text with another encoder than {read[0][0]}")
    made = {stage: cascade.stage(stage) for _, _, _, cascade, stage, _ in read}
    weights = {stage: average_file(folder, half_life) for _, half_life, folder, _, stage, _ in read}
    lead = next(iter(made.values()))
    if lead.source is not None:
        raise ValueError(f"{read[0][0]}: stage {lead.name!r} needs a video of {lead.source}, which no run here makes")
    until = first.default_until if first.default_until in made else None
    shared = {field: getattr(first, field) for field in CascadeSpec.model_fields}
    own = {"stages": tuple(made.values()), "teachers": (), "default_until": until}
    spec = CascadeSpec(**{**shared, **own})
    return Trained(spec, weights)


def within(name: str | Path) -> list[str]:
    """A folder of runs as the names of these runs, each with the half-life that the folder was named with; else []."""
    folder, half_life = named(name)
    suffix = "" if half_life is None else f"@{half_life}"
    return [] if is_run(folder) else [f"{run}{suffix}" for run in runs_in(folder)]


def _read(run: Path) -> tuple[CascadeSpec, str, tuple[int, ...]]:
    """A run's cascade, the stage that it trains, and the half-lives of its averages."""
    try:
        stage: str = read_json(run, RUN)["stage"]
        recipe: dict[str, Any] = read_json(run, RECIPE)
        half_life = recipe["training"][stage]["half_life"]
        cascade = CascadeSpec.from_json(recipe["cascade"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{run}: not a run that can be read, from its {RECIPE} and {RUN} ({reason(error, run)})"
        ) from None
    cascade.stage(stage)
    return cascade, stage, tuple(half_life) if isinstance(half_life, list) else (half_life,)
