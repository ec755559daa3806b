"""What to train: the stages of a recipe, their grid, and a folder for each inside a common one."""

import json as js
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from zoetrope.commands._options import at_least, size_named
from zoetrope.config import unknown
from zoetrope.config.errors import reason
from zoetrope.files.plain import read_json

if TYPE_CHECKING:
    from zoetrope.training.spec import Recipe
    from zoetrope.training.trained import InitialWeights

FILE = "stages.json"
TRACKED = ("tensorboard", "wandb", "wandb.json")
BEGUN = ("recipe.json", "run.json", "lock.json", "data.json", "base.safetensors", "codec", *TRACKED)
CODEC = ("codec.json", "model.safetensors")


class StageTraining(NamedTuple):
    """The training of one stage: its folder, recipe and initial weights, and whether it is already finished."""

    stage: str
    folder: Path
    recipe: "Recipe"
    init: "InitialWeights | None"
    finished: bool


class Whole(NamedTuple):
    """The purpose of a folder of runs: the stages to train, and their initial weights."""

    stages: tuple[str, ...]
    init: str | None

    @classmethod
    def read(cls, out: Path) -> "Whole | None":
        """The description in a folder, None without one. Raises ValueError if it cannot be read."""
        path = out / FILE
        if not path.exists():
            return None
        try:
            value = read_json(path)
            return cls(tuple(value["stages"]), value["init"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: expected stages and init as JSON ({reason(error, path)})") from None

    def write(self, out: Path) -> None:
        """Write it into the folder, whole or not at all."""
        from zoetrope.files import write_text

        out.mkdir(parents=True, exist_ok=True)
        write_text(out / FILE, js.dumps(self._asdict()))


class GridOptions(NamedTuple):
    """The options for the grid of the cascade's first stage; None: as in the recipe."""

    size: str | None = None
    frames: int | None = None
    fps: float | None = None

    def of(self, recipe: "Recipe") -> "Recipe":
        """The recipe on this grid. Raises ValueError, with the nearest legal size, if a network cannot process it."""
        from zoetrope.cascade.grid import on_grid

        if self == GridOptions():
            return recipe
        if several := [name for name, spec in recipe.training.items() if spec.grids]:
            path = f"{several[0]}.training.grids"
            raise ValueError(f"--size, --frames, --fps: {path} says on which grids it is trained; --set it instead")
        at_least("--frames", self.frames, 1)
        at_least("--fps", self.fps, 0)
        size = None if self.size is None else size_named(self.size)
        cascade = on_grid(recipe.cascade, size=size, frames=self.frames, fps=self.fps)
        return recipe.with_(cascade=cascade)


def located(recipe: "Recipe") -> "Recipe":
    """The recipe with absolute paths to its data and to files of objectives, so that a run resumes from any folder."""
    for stage, spec in recipe.training.items():
        recipe = recipe.override(f"training.{stage}.data", spec.data.located().to_json())
        if (objective := spec.objective.located()) != spec.objective:
            recipe = recipe.override(f"training.{stage}.objective", objective.to_json())
    return recipe


def holds_stages(out: Path) -> bool:
    """Whether a folder holds runs, started together or separately."""
    from zoetrope.models.runs import is_run, runs_in

    return (out / FILE).is_file() or (not is_run(out) and bool(runs_in(out)))


def stages_named(recipe: "Recipe", text: str | None) -> tuple[str, ...]:
    """The stages that "a,b" means, in the order of the cascade, or all that the recipe trains.

    Raises ValueError, with the nearest name, for one that it does not train.
    """
    trained = [stage.name for stage in recipe.cascade.stages if stage.name in recipe.training]
    if text is None:
        return tuple(trained)
    wanted = [name.strip() for name in text.split(",") if name.strip()]
    if not wanted:
        raise ValueError(f"--stages: expected names such as {','.join(trained[:2])}, got {text!r}")
    for name in wanted:
        if name not in trained:
            raise ValueError("--stages: " + unknown("stage", name, trained))
    return tuple(name for name in trained if name in wanted)


def is_finished(folder: Path, recipe: "Recipe", stage: str) -> bool:
    """Whether a run has seen all of its examples."""
    from zoetrope.models.checkpoints import find_checkpoints

    found = find_checkpoints(folder / "checkpoints")
    return bool(found) and int(found[-1].name) >= recipe.train_spec(stage).examples


def run_summary(folder: Path, stage: str, examples: int, last: Any) -> dict[str, Any]:
    """The summary of a run that has ended, as JSON."""
    from zoetrope.models.checkpoints import find_checkpoints

    at = find_checkpoints(folder / "checkpoints")[-1]
    value = {"run": str(folder), "stage": stage, "examples": examples, "checkpoint": str(at)}
    return value if last is None else value | {"loss": last.loss, "examples_per_second": last.examples_per_second}


def summary(parts: Sequence[dict[str, Any]]) -> str:
    """A line for each run."""
    lines = [f"{one['run']}: {one['examples']} examples, newest checkpoint {one['checkpoint']}" for one in parts]
    return "\n".join(lines)


def expect_free(out: Path, option: str) -> None:
    """Raise ValueError unless a new run may go to `out`, which `option` names: files of a user's own stay."""
    from zoetrope.training.lock import FILE as LOCK
    from zoetrope.training.lock import holder
    from zoetrope.training.writing import remove

    if (out / "metrics.jsonl").exists() or any((out / "checkpoints").glob("*")):
        way = "go on with it by --resume, or " if option == "--out" else ""
        raise ValueError(f"{out}: already holds a run; {way}choose another {option}")
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out}: expected a folder or a new name, got a file")
    there = {path.name for path in out.iterdir()} if out.exists() else set[str]()
    codec = {path.name for path in (out / "codec").iterdir()} if "codec" in there else set[str]()
    if there - {*BEGUN} or codec - {*CODEC} or (there and LOCK not in there):  # a run's first file is its lock
        raise ValueError(f"{out}: holds other files; choose another {option}")
    if (who := holder(out)) is not None:
        raise ValueError(f"{out}: process {who.pid} on {who.host} is training here; choose another {option}")
    for name in BEGUN:  # of a run that ended before it had learnt anything
        remove(out / name)
