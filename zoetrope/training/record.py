"""The record of a run in its folder: `run.json`, with the history of its starts, and `recipe.json`."""

import json
import platform
import sys
from pathlib import Path
from typing import Any

import torch

from zoetrope import __version__
from zoetrope.cascade.spec import StageSpec
from zoetrope.config import packages_of, shown
from zoetrope.config.foreign import trusting
from zoetrope.files import write_text
from zoetrope.files.plain import read_json
from zoetrope.models.checkpoints import FOLDER as CHECKPOINTS
from zoetrope.models.checkpoints import find_checkpoints
from zoetrope.models.provenance import sha256_of
from zoetrope.training.adapters import BASE
from zoetrope.training.spec import Recipe


def read_record(folder: Path, used: Recipe, stage: StageSpec) -> dict[str, Any]:
    """The contents of a folder's run.json, {} without one. Packages that the recipe `used` now names are trusted.

    Raises ValueError if it is not of this stage and network.
    """
    settings, recipe = folder / "run.json", folder / "recipe.json"
    if not settings.exists():
        return {}
    known: dict[str, Any] = read_json(settings)
    if not isinstance(known, dict) or not {"stage", "dtype"} <= known.keys():
        raise ValueError(f"{settings}: expected the record of a run, got {shown(known)}")
    if known["stage"] != stage.name:
        raise ValueError(f"{folder}: is a run of stage {known['stage']!r}, not of {stage.name!r}")
    with trusting(*packages_of(used)):
        written = Recipe.from_json(read_json(recipe)).cascade.stage(stage.name)
    if written.network != stage.network:
        raise ValueError(f"{folder}: holds weights of another network than the recipe's; use another --out")
    return known


def begun_with(folder: Path, known: dict[str, Any], init: Path | None) -> str | None:
    """The checksum of the initial weights of a run; None: it began with random ones. `known` is from `read_record`.

    Raises ValueError for others than it began with, and if they are needed, before its first checkpoint, and not named.
    """
    given = None if init is None else sha256_of(init)
    if not known:
        return given
    begun: str | None = known.get("init")
    if given is not None and given != begun:
        raise ValueError(f"{init}: expected the weights that {folder} has begun with, or no --init, got others")
    kept = find_checkpoints(folder / CHECKPOINTS) or (folder / BASE).exists()
    if begun is not None and given is None and not kept:
        raise ValueError(f"{folder}: ended before its first checkpoint; name its initial weights again (--init)")
    return begun


def write_record(
    folder: Path, recipe: Recipe, about: dict[str, Any], now: dict[str, Any], known: dict[str, Any]
) -> str:
    """Write both files, and add this start of the run to its history.

    `about` holds facts about the whole run, `now` those of this start, `known` the result of `read_record`. Returns the
    new contents of run.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "recipe.json", json.dumps(recipe.to_json(), indent=1))
    history = [*known.get("history", []), {**_environment(), **now}]
    # A second copy of the recipe reveals manual changes to recipe.json.
    written = json.dumps({**about, "history": history, "recipe": recipe.to_json()}, indent=1)
    write_text(folder / "run.json", written)
    return written


def _environment() -> dict[str, Any]:
    """The command line of this process, and versions."""
    versions = {"zoetrope": __version__, "torch": torch.__version__, "python": platform.python_version()}
    return {"command": sys.argv, "versions": versions, "threads": torch.get_num_threads()}
