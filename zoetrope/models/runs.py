"""Folders of runs and distillations, as far as sampling needs them.

A run is a folder with `run.json`, `recipe.json` and `checkpoints/<examples>/average.safetensors`. A distillation is a
folder of runs, its rounds, each of which teaches the next; see `zoetrope.training.distil`.
"""

import math
from pathlib import Path
from typing import Any, NamedTuple

from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.config import unknown
from zoetrope.config.errors import reason
from zoetrope.models.checkpoints import FOLDER, find_checkpoints
from zoetrope.models.description import described
from zoetrope.models.files import inside, read_json_of

RUN, RECIPE, DISTILLATION = "run.json", "recipe.json", "distillation.json"
TEACHER, FIRST = "teacher.safetensors", "first.safetensors"  # weights in a distillation; see `original_of`


class RunRecord(NamedTuple):
    """The description in a run's folder; kinds that it names are not looked up yet.

    Attributes:
        stage: the stage that it trains.
        stages: the names of all stages of its cascade, in order.
        cascade: the cascade as JSON, see `read_cascade`.
        training: the training of the stage as JSON.
        half_lives: of its moving averages, in examples; by default the first average is sampled with.
    """

    folder: Path
    stage: str
    stages: tuple[str, ...]
    cascade: dict[str, Any]
    training: dict[str, Any]
    half_lives: tuple[int, ...]

    def average_file(self, half_life: int | None = None) -> Path:
        """The file with a moving average of its weights in its newest checkpoint, by default the first average.

        Raises ValueError if there is no checkpoint yet, or no average of that half-life.
        """
        known, found = self.half_lives, find_checkpoints(self.folder / FOLDER)
        if not found:
            raise ValueError(f"{self.folder}: this run has no checkpoint yet")
        if half_life is not None and half_life not in known:
            legal = " or ".join(map(str, known))
            raise ValueError(f"{self.folder}@{half_life}: expected the half-life of one of its averages, {legal}")
        first = half_life is None or half_life == known[0]
        file = "average.safetensors" if first else f"average-{half_life}.safetensors"
        return inside(self.folder, found[-1].relative_to(self.folder) / file)


def is_run(folder: Path) -> bool:
    """Whether this is the folder of a run."""
    return (folder / RUN).is_file()


def is_distillation(folder: Path) -> bool:
    """Whether this is the folder of a distillation."""
    return (folder / DISTILLATION).is_file()


def read_run(folder: Path) -> RunRecord:
    """The record of a run. Raises ValueError if it cannot be read."""
    try:
        stage = read_json_of(folder, RUN)["stage"]
        recipe = read_json_of(folder, RECIPE)
        stages = tuple(one["name"] for one in recipe["cascade"]["stages"])
        if stage not in stages:
            raise ValueError(unknown("stage", str(stage), map(str, stages)))
        training = recipe["training"][stage]
        half_life = training["half_life"]
        half_lives = tuple(half_life) if isinstance(half_life, list) else (half_life,)
        return RunRecord(folder, stage, stages, recipe["cascade"], training, half_lives)
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable(folder, error) from None


def read_cascade(run: RunRecord) -> CascadeSpec:
    """The cascade that a run's stage belongs to. Raises ValueError if it cannot be read."""
    try:
        return described(CascadeSpec, run.cascade)
    except ValueError as error:
        raise _unreadable(run.folder, error) from None


def runs_in(folder: Path) -> list[Path]:
    """The runs directly in a folder, in the order of their cascade; [] if there is none, or if it is a distillation.

    Raises ValueError if one cannot be read, or if two train the same stage.
    """
    if not folder.is_dir() or is_distillation(folder):
        return []
    by_stage: dict[str, Path] = {}
    order: list[str] = []
    for path in sorted(folder.glob(f"*/{RUN}")):
        run = read_run(path.parent)
        if run.stage in by_stage:
            message = f"{by_stage[run.stage].name} and {run.folder.name}"
            raise ValueError(f"{folder}: {message} are both of stage {run.stage!r}; name one")
        by_stage[run.stage] = run.folder
        order += [stage for stage in run.stages if stage not in order]
    return [by_stage[stage] for stage in sorted(by_stage, key=order.index)]


def newest_round(distillation: Path) -> Path:
    """The newest finished round of a distillation: the one whose stage takes the fewest steps.

    Raises ValueError if none is finished, or if one cannot be read.
    """
    begun = (_round(path.parent) for path in distillation.glob(f"*/{RUN}"))
    rounds = sorted((one for one in begun if one is not None), key=lambda one: -one.steps)
    if done := [one for one in rounds if one.examples >= one.total]:
        return done[-1].folder
    first = "none has begun" if not rounds else "{0.folder.name} has seen {0.examples} of {0.total} examples"
    raise ValueError(f"{distillation}: no round of this distillation is finished yet ({first.format(*rounds[:1])})")


def original_in(distillation: Path) -> tuple[StageSpec, Path] | None:
    """The undistilled stage that a distillation goes back to, and the file of its weights; None if lost.

    It is the teacher, or the stage that the teacher was distilled from. Raises ValueError if the distillation cannot be
    read.
    """
    try:
        about = read_json_of(distillation, DISTILLATION)
        teacher = described(CascadeSpec, read_json_of(distillation, RECIPE)["cascade"]).stage(about["stage"])
        if teacher.distilled is None:
            return teacher, inside(distillation, TEACHER)
        return (described(StageSpec, about["first"]), inside(distillation, FIRST)) if "first" in about else None
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{distillation}: not a distillation that can be read ({reason(error, distillation)})"
        ) from None


def original_of(run: Path) -> tuple[StageSpec, Path] | None:
    """The stage that a run's stage was distilled from, and the file of its weights; None if there is none, or lost."""
    home = run.resolve().parent
    return original_in(home) if is_distillation(home) else None


def _unreadable(folder: Path, error: Exception) -> ValueError:
    message = f"{folder}: not a run that can be read, from its {RECIPE} and {RUN}"
    return ValueError(f"{message} ({reason(error, folder)})")


class _Round(NamedTuple):
    """A round: the steps of its stage, infinity for any number, and the examples that it has seen and lasts."""

    folder: Path
    steps: float
    examples: int
    total: int


def _round(folder: Path) -> _Round | None:
    """The round in a folder; None if its stage is not distilled."""
    run, found = read_run(folder), find_checkpoints(folder / FOLDER)
    try:
        distilled = run.cascade["stages"][run.stages.index(run.stage)].get("distilled")
        if distilled is None:
            return None
        steps = math.inf if distilled["steps"] is None else int(distilled["steps"])
        total = sum(int(phase["examples"]) for phase in run.training["phases"])
        return _Round(folder, steps, int(found[-1].name) if found else 0, total)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _unreadable(folder, error) from None
