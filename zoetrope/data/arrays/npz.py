"""NumPy's .npz files: members that are stored are mapped to memory, and compressed ones read as a stream."""

import math
import struct
import zipfile
from pathlib import Path
from typing import IO, Literal, NamedTuple

import numpy as np

from zoetrope.data.arrays.reading import Box, Field, Reader

_PIECE = 2**20  # bytes that are skipped at a time
_LOCAL = 30  # bytes of the fixed part of a member's header; the lengths of name and extra field end it


class _Member(NamedTuple):
    """Where a member is: its name in the archive, whether it is in Fortran's order, and its start if it is stored."""

    name: str
    fortran: bool
    start: int | None


class Npz(Reader):
    """Arrays by the names that they were saved with."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fields = {}
        self._members: dict[str, _Member] = {}
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if not info.filename.endswith(".npy"):
                    continue
                name = info.filename.removesuffix(".npy")
                with archive.open(info) as file:
                    shape, fortran, dtype = _header(file)
                    length = file.tell()
                stored = info.compress_type == zipfile.ZIP_STORED
                start = _start(path, info.header_offset) + length if stored else None
                self.fields[name] = Field(shape, dtype)
                self._members[name] = _Member(info.filename, fortran, start)

    def raw(self, name: str, box: Box) -> np.ndarray:
        """See `Reader`."""
        field, member = self.fields[name], self._members[name]
        if member.start is None:
            return self._streamed(field, member, box)
        order: Literal["C", "F"] = "F" if member.fortran else "C"
        return np.array(np.memmap(self.path, field.dtype, "r", member.start, field.shape, order)[box])

    def _streamed(self, field: Field, member: _Member, box: Box) -> np.ndarray:
        """A box of a compressed member: what lies before it is read over, in the order in which it is stored."""
        shape = field.shape[::-1] if member.fortran else field.shape
        own = box[::-1] if member.fortran else box
        outer, rest = own[0], own[1:]
        row = math.prod(shape[1:])
        with zipfile.ZipFile(self.path) as archive, archive.open(member.name) as file:
            _header(file)
            _skip(file, outer.start * row * field.dtype.itemsize)
            rows = []
            for number in range(outer.start, outer.stop):
                if (number - outer.start) % (outer.step or 1):
                    _skip(file, row * field.dtype.itemsize)
                    continue
                content = file.read(row * field.dtype.itemsize)
                rows.append(np.frombuffer(content, field.dtype, row).reshape(shape[1:])[rest].copy())
        found = np.stack(rows)
        return found.transpose() if member.fortran else found


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, "np.dtype[np.generic]"]:
    """Shape, order and type of an array, from the beginning of a .npy file."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    return tuple(shape), bool(fortran), dtype


def _start(path: Path, header: int) -> int:
    """Where the content of a member begins in the archive."""
    with path.open("rb") as file:
        file.seek(header)
        name, extra = struct.unpack("<HH", file.read(_LOCAL)[-4:])
    return header + _LOCAL + int(name) + int(extra)


def _skip(file: IO[bytes], count: int) -> None:
    while count > 0:
        got = len(file.read(min(count, _PIECE)))
        if not got:
            raise ValueError("it ends too early")
        count -= got
