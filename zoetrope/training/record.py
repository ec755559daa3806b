"""What a run is, as its folder says: `run.json`, with what it was run and gone on with, and `recipe.json`."""

import json
import platform
import sys
from pathlib import Path
from typing import Any

import torch

from zoetrope import __version__
from zoetrope.cascade.spec import StageSpec
from zoetrope.config import packages_of
from zoetrope.files import write_text
from zoetrope.foreign import trusting
from zoetrope.strict_json import read_json
from zoetrope.training.spec import Recipe


def read_record(folder: Path, used: Recipe, stage: StageSpec) -> dict[str, Any]:
    """What a folder's run.json says, {} without one. Packages that the recipe `used` now names are trusted.

    Raises ValueError if it is not of this stage and network.
    """
    settings, recipe = folder / "run.json", folder / "recipe.json"
    if not settings.exists():
        return {}
    known: dict[str, Any] = read_json(settings)
    if known["stage"] != stage.name:
        raise ValueError(f"{folder}: is a run of stage {known['stage']!r}, not of {stage.name!r}")
    with trusting(*packages_of(used)):
        written = Recipe.from_json(read_json(recipe)).cascade.stage(stage.name)
    if written.network != stage.network:
        raise ValueError(f"{folder}: holds weights of another network than the recipe's; use another --out")
    return known


def write_record(
    folder: Path, recipe: Recipe, about: dict[str, Any], now: dict[str, Any], known: dict[str, Any]
) -> str:
    """Write both files, with a line of history for each time that the run was begun or gone on with.

    `about` is what stays true of the run, `now` what is true this time, `known` what `read_record` found. Returns what
    run.json holds now.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "recipe.json", json.dumps(recipe.to_json(), indent=1))
    history = [*known.get("history", []), {**_here(), **now}]
    # Once more the recipe, so that what is changed in recipe.json by hand is noticed.
    written = json.dumps({**about, "history": history, "recipe": recipe.to_json()}, indent=1)
    write_text(folder / "run.json", written)
    return written


def _here() -> dict[str, Any]:
    """The command that this process was begun with, and its versions."""
    versions = {"zoetrope": __version__, "torch": torch.__version__, "python": platform.python_version()}
    return {"command": sys.argv, "versions": versions, "threads": torch.get_num_threads()}
