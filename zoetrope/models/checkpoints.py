"""Reading checkpoints of a run: which are complete, and whether their files are undamaged.

A checkpoint is a folder named by the examples seen. Its `state.json`, written last, lists the size and the CRC-32 of
each file.
"""

import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoetrope.config.errors import reason
from zoetrope.models.files import read_json_of

FOLDER = "checkpoints"  # of all checkpoints, in a run
POSITION = "state.json"
CHUNK = 1 << 22


class Damaged(ValueError):
    """A file of a checkpoint is missing or differs from what was written."""


def find_checkpoints(checkpoints: Path) -> list[Path]:
    """The complete checkpoints of a folder, oldest first."""
    found = (path for path in checkpoints.glob("[0-9]*") if path.name.isdecimal() and (path / POSITION).exists())
    return sorted(found, key=lambda path: int(path.name))


def read_position(checkpoint: Path) -> dict[str, Any]:
    """The contents of `state.json`: "examples", "threads", "processes", and the checksums of "files" by name.

    Raises Damaged if it differs from what was written: the folder's name also records the examples, unless the
    checkpoint was copied under another name, and "checksum" covers the rest. Earlier versions wrote neither "checksum"
    nor "files".
    """
    path = checkpoint / POSITION
    try:
        value = read_json_of(checkpoint, POSITION)
        about = {name: value[name] for name in ("threads", "processes", "files") if name in value}
        named = int(checkpoint.name) if checkpoint.name.isdecimal() else value["examples"]
        if value["examples"] != named:
            raise Damaged(f"{path}: is of {value['examples']} examples, in a folder that is named {checkpoint.name}")
        known = value.get("checksum", digest(about)) if "files" in about else digest(about)
        if value.keys() - {"examples", "checksum", *about} or known != digest(about):
            raise Damaged(f"{path}: is not as it was written")
    except Damaged:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"{path}: cannot be read ({reason(error, path)})") from None
    return dict(value)


def check_file(file: Path) -> None:
    """Raise Damaged, which names the file, if it belongs to a checkpoint and differs from what was written."""
    if (file.parent / POSITION).exists():
        sums = read_position(file.parent).get("files", {})
        if file.name in sums:
            expect_as_written(file, sums[file.name])


def expect_as_written(file: Path, known: Sequence[int]) -> None:
    """Raise Damaged, which names the file, unless its size and checksum are the `known` ones."""
    if not file.is_file():
        raise Damaged(f"{file}: no such file")
    if [*size_and_crc(file)] != [*known]:
        raise Damaged(f"{file}: is not as it was written, by its checksum in {POSITION}")


def digest(about: Mapping[str, Any]) -> int:
    """The CRC-32 of the contents of `state.json` other than the examples."""
    return zlib.crc32(json.dumps(about, sort_keys=True).encode())


def size_and_crc(file: Path) -> tuple[int, int]:
    """A file's size in bytes and the CRC-32 of its content."""
    size, value = 0, 0
    with file.open("rb") as content:
        while chunk := content.read(CHUNK):
            size, value = size + len(chunk), zlib.crc32(chunk, value)
    return size, value
