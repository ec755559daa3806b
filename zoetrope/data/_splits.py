"""What the metadata of a folder say of its files, line by line: captions and splits."""

import posixpath
from pathlib import Path
from typing import NamedTuple

from zoetrope.data._captions import single_spaced
from zoetrope.data._files import Names, files_of
from zoetrope.data._metadata import NAMES, rows


class FileMark(NamedTuple):
    """The caption and the split of a line of metadata, each None where it has none."""

    text: str | None
    split: str | None


def marks_of(folder: Path) -> dict[str, list[FileMark]]:
    """What the metadata say of each file that they name, one mark for a line; the topmost metadata of a file count.

    Lines are read as for a data set, but one without a usable caption marks its file too: it may get a caption later.
    """
    files, _ = files_of(folder)
    names, found = Names(folder, files), dict[str, list[FileMark]]()
    metadata = [name for name in files if posixpath.basename(name).lower() in NAMES]
    for called in sorted(metadata, key=lambda name: (name.count("/"), name)):
        above = frozenset(found)
        for row in rows(folder / called, called):
            given = row.fields.get("file_name")
            if not isinstance(given, str):
                continue
            try:
                name = names.meant(given, posixpath.dirname(called))
            except ValueError:  # it names no file
                continue
            if name not in above:
                found.setdefault(name, []).append(FileMark(_caption(row.fields), _split(row.fields)))
    return found


def _caption(fields: dict[str, object]) -> str | None:
    text = fields.get("text")
    try:
        return (single_spaced(text) or None) if isinstance(text, str) else None
    except ValueError:  # it cannot be printed, and is none
        return None


def _split(fields: dict[str, object]) -> str | None:
    """The split, as text that can be written to a file."""
    split = fields.get("split")
    return None if split in (None, "") else str(split).encode("utf-8", "backslashreplace").decode()
