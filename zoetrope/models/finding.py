"""Resolving the name of a model: a folder, a model shipped with the package or on the hub, or runs."""

import os
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from zoetrope.codecs import DESCRIPTION
from zoetrope.config import unknown
from zoetrope.config.errors import expect_path
from zoetrope.models.folder import FILE
from zoetrope.models.runs import is_distillation, is_run, newest_round, runs_in
from zoetrope.models.weights import PICKLES
from zoetrope.pretrained import FILES


class FoundModel(NamedTuple):
    """A model: the name that was given, and its folder, which holds a `cascade.json`."""

    name: str
    folder: Path


class FoundRun(NamedTuple):
    """A run: the name that was given, and where it is.

    Attributes:
        folder: of the run; for a distillation, that of its newest finished round.
        half_life: of the moving average to sample with, in examples; None: the first average.
    """

    name: str
    folder: Path
    half_life: int | None


def find(name: str | Path) -> tuple[FoundModel | FoundRun, ...]:
    """The model or run of this name; for a folder of runs, all of them in the order of their cascade.

    A model is a folder, a shipped name (mini_image is mini-image too), or a hub id "owner/name", which is downloaded. A
    run is RUN, RUN@HALF_LIFE for one of its moving averages other than the first, or a distillation, which stands for
    its newest finished round.
    Raises ValueError, with the nearest name, if there is none.
    """
    if (run := find_run(name)) is not None:
        return (run,)
    folder, half_life = _parted(name)
    mark = "" if half_life is None else f"@{half_life}"
    runs = [] if (folder / FILE).is_file() else runs_in(folder)
    return tuple(FoundRun(f"{run}{mark}", run, half_life) for run in runs) or (FoundModel(str(name), locate(name)),)


def find_run(name: str | Path) -> FoundRun | None:
    """The run of this name, see `find`; None for anything else.

    Raises ValueError for a distillation without a finished round.
    """
    folder, half_life = _parted(name)
    if is_run(folder):
        return FoundRun(str(name), folder, half_life)
    return FoundRun(str(name), newest_round(folder), half_life) if is_distillation(folder) else None


def locate(name: str | Path) -> Path:
    """The folder of a model: a folder, a shipped name, or a hub id "owner/name", which is downloaded.

    Raises ValueError, with the nearest name, if there is no such model.
    """
    expect_path("model", name, "a folder, a shipped name or a hub id")
    path, name = Path(os.path.expanduser(name)), str(name)
    if (path / FILE).is_file():
        return path
    if (path / DESCRIPTION).is_file():
        raise ValueError(f"{path}: expected a model or a run, got the folder of a codec")
    if path.is_dir():
        raise ValueError(f"{path}: not a model, the folder has no {FILE}, nor the checkpoints of a run")
    if path.suffix and path.exists():
        why = "; pickle files can run code and are never read" if path.suffix in PICKLES else ""
        raise ValueError(f"{path}: expected a model folder with a {FILE}, got a file{why}")
    if (own := shipped().get(name.replace("-", "_"))) is not None:
        return own
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return _download(name)
    if path.exists():
        raise ValueError(f"{name}: expected the folder of a model or of a run, got a file")
    if "/" in name or os.sep in name:
        raise ValueError(f"{name}: expected the folder of a model or of a run, there is none of this name")
    raise ValueError(unknown("model", name, shipped()))


def shipped() -> dict[str, Path]:
    """The models shipped with the package, by name."""
    root = Path(str(resources.files("zoetrope.models")))
    return {path.parent.name: path.parent for path in sorted(root.glob(f"*/{FILE}"))}


def _parted(name: str | Path) -> tuple[Path, int | None]:
    """The folder and the half-life in RUN@HALF_LIFE; None without one."""
    expect_path("model", name, "a folder, a shipped name or a hub id")
    path = Path(os.path.expanduser(name))
    head, sign, tail = path.name.rpartition("@")
    if not sign or not head or not tail.isdigit() or path.exists():
        return path, None
    return path.with_name(head), int(tail)


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    patterns = [FILE, "README.md", *(f"*/{name}" for name in FILES)]
    try:
        folder = Path(snapshot_download(name, allow_patterns=patterns))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"{name}: no folder of this name, no shipped model, and not reachable on the hub ({reason})"
        ) from None
    if not (folder / FILE).is_file():
        raise ValueError(f"{name}: this hub repository is not a zoetrope model, it has no {FILE}")
    return folder
