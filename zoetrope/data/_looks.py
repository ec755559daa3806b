"""A cache between starts of what probing found in a folder's files.

Optional: without a usable cache files are probed again. A file whose size or time has changed is probed again, and
every file if the version of the reader has changed.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Literal, NamedTuple

from zoetrope import __version__
from zoetrope.config import Config
from zoetrope.data._files import FileState
from zoetrope.files import cache_folder, write_text
from zoetrope.files.plain import read_plain
from zoetrope.video import Info

_log = logging.getLogger(__name__)
FOLDERS = 64  # what is known of so many folders is kept
LARGEST = 2**28  # bytes of what is known of one


class _Look(NamedTuple):
    state: FileState
    info: Info


class _Looks(Config):
    """What is in the files of a folder, by name."""

    format: Literal[2] = 2
    reader: str
    files: dict[str, _Look]


def remembered(
    folder: Path, names: Sequence[str], states: Mapping[str, FileState], look: Callable[[Path], Info | str]
) -> dict[str, Info | str]:
    """The info of the files `names` of a folder, or why they cannot be read: from the cache, or probed now."""
    kept = cache_folder("looks") / f"{_hash(folder)}.json"
    known = _stored_looks(kept)
    found: dict[str, Info | str] = {}
    for name in names:
        old = known.get(name)
        if old is not None and old.state == states.get(name):
            found[name] = old.info
        else:
            found[name] = look(folder / name)
    infos = {name: info for name, info in found.items() if isinstance(info, Info) and name in states}
    if any(known.get(name) != _Look(states[name], info) for name, info in infos.items()):
        others = {name: old for name, old in known.items() if states.get(name) == old.state}
        _store_looks(kept, {**others, **{name: _Look(states[name], info) for name, info in infos.items()}})
    return found


def _hash(folder: Path) -> str:
    return hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:16]


def _reader() -> str:
    """The version of the reader, which determines what is found in a file."""
    return f"zoetrope {__version__}, av {version('av')}: {' '.join(field.name for field in fields(Info))}"


def _stored_looks(path: Path) -> dict[str, _Look]:
    try:
        found = _Looks.from_json(read_plain(path, LARGEST).decode())
    except (OSError, ValueError, RecursionError):
        return {}
    with suppress(OSError):  # a cache that is not ours to write
        os.utime(path)
    return found.files if found.reader == _reader() else {}


def _store_looks(path: Path, files: dict[str, _Look]) -> None:
    """Store the results, whole or not at all, and evict the least recently probed folders."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(_Looks(reader=_reader(), files=files).to_json()))
        for old in sorted(path.parent.glob("*.json"), key=lambda one: one.stat().st_mtime_ns)[:-FOLDERS]:
            old.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        _log.info("%s: is not kept, so that the files are looked at again (%s)", path, error)
