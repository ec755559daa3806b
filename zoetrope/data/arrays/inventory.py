"""What is in files of arrays, before a source says how to read them."""

import os
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from zoetrope.data._listing import MEDIA
from zoetrope.data.arrays.index import ENDINGS as INDEXES
from zoetrope.data.arrays.index import columns_of, index_rows
from zoetrope.data.arrays.listing import files_in
from zoetrope.data.arrays.reading import ending, open_reader
from zoetrope.wording import counted

MOST_FILES = 5  # that are opened
STACKS = {".tif", ".tiff"}
_MOST_FOLDERS = 1000  # that are looked into


class ArrayFile(NamedTuple):
    """A file, and its arrays in words, a line for each."""

    path: Path
    lines: list[str]


def are_arrays(path: Path) -> bool:
    """Whether a path is read as arrays, even if nothing else is said: a file, pattern or index by its ending.

    Of a folder it is so if arrays, and neither videos nor images, are among the first files in it; TIFF files alone
    may be either, and are images.
    """
    if ending(path) is not None or path.suffix.lower() in INDEXES:
        return True
    if not path.is_dir():
        return False
    arrays = False
    for at, folders, files in islice(os.walk(path), _MOST_FOLDERS):
        stores = [name for name in folders if ending(Path(at, name)) is not None]
        folders[:] = [name for name in folders if name not in stores and not name.startswith(".")]
        kinds = {os.path.splitext(name)[1].lower() for name in files}
        if kinds & (MEDIA - STACKS):
            return False
        plain = (name for name in files if os.path.splitext(name)[1].lower() not in STACKS)
        arrays = arrays or bool(stores) or any(ending(Path(at, name)) is not None for name in plain)
    return arrays


def inventory(path: Path) -> list[ArrayFile]:
    """The first files of a path, with what is in them. Raises ValueError for files that cannot be read."""
    if path.suffix.lower() in INDEXES:
        rows = index_rows(path)
        files = [Path(os.path.normpath(path.parent / str(row.fields["file"]))) for row in rows]
        found = [ArrayFile(path, [f"{counted(len(rows), 'line')} with {', '.join(sorted(columns_of(rows)))}"])]
        paths = list(dict.fromkeys(files))
    else:
        found = list[ArrayFile]()
        paths = [path] if ending(path) is not None else files_in(path)[0]
    for one in paths[:MOST_FILES]:
        reader = open_reader(one)
        lines = []
        for name, field in reader.fields.items():
            dims = f" ({', '.join(field.dims)})" if field.dims else ""
            unit = f", {field.unit}" if field.unit else ""
            fault = f"; {field.fault}" if field.fault else ""
            size = "x".join(map(str, field.shape))
            lines.append(f"{name or '(one array)'}: {size}{dims}, {field.dtype}{unit}{fault}")
        reader.close()
        found.append(ArrayFile(one, lines))
    return found
