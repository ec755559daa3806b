"""Files with arrays, one format per file of this folder: what is in them, and windows of it, read lazily.

A `Reader` is an opened file. It says which arrays are in it, and reads any box of one of them, with memory for that box
alone; readers of formats whose blocks are compressed need that of the blocks too.
"""

import importlib
import math
import os
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from zoetrope.config.errors import reason
from zoetrope.data.arrays.clock import FrameTimes
from zoetrope.fields.packing import Packing

Box = tuple[slice, ...]
"""A part of an array: for each axis a slice with a start, a stop and a positive step."""

ENDINGS = {
    ".npy": ("npy", "Npy"),
    ".npz": ("npz", "Npz"),
    ".h5": ("hdf5", "Hdf5"),
    ".hdf5": ("hdf5", "Hdf5"),
    ".hdf": ("hdf5", "Hdf5"),
    ".zarr": ("zarr", "Zarr"),
    ".nc": ("netcdf", "NetCdf"),
    ".nc4": ("netcdf", "NetCdf"),
    ".cdf": ("netcdf", "NetCdf"),
    ".tif": ("tiff", "Tiff"),
    ".tiff": ("tiff", "Tiff"),
    ".nii": ("nifti", "Nifti"),
    ".nii.gz": ("nifti", "Nifti"),
}
STORES = ("zarr.json", ".zgroup", ".zarray")  # what makes a folder a zarr store, whatever it is called
NUMBERS = "iufb"  # kinds of dtypes
_OPEN = 32  # files at a time, in each process
_EXACT = 2**53  # whole numbers up to it are exact in float64


class Field(NamedTuple):
    """An array in a file.

    Attributes:
        shape: its axes' lengths.
        dtype: of what is stored.
        unit: as the file says; None: it does not.
        dims: the names of its axes, where the file has them; otherwise ().
        missing: stored values that stand for no value, beside NaN.
        factor, offset: a value is factor * stored + offset.
        fault: why its values cannot be read, although others of the file can; None: nothing is wrong.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    unit: str | None = None
    dims: tuple[str, ...] = ()
    missing: tuple[float, ...] = ()
    factor: float = 1.0
    offset: float = 0.0
    fault: str | None = None


class Reader(ABC):
    """An opened file.

    Attributes:
        path: of the file.
        fields: its arrays by name. A file of a format that holds one array without a name calls it "".
    """

    path: Path
    fields: dict[str, Field]

    @abstractmethod
    def raw(self, name: str, box: Box) -> np.ndarray:
        """A box of an array as it is stored."""

    def packed(self, name: str, box: Box) -> np.ndarray:
        """A box of an array as its file holds it, which `raw` may have decoded."""
        return np.asarray(self.raw(name, box))

    def clock(self, name: str, axis: int) -> FrameTimes | None:
        """The times of an array's entries along an axis, as far as the file tells them; None: it does not."""
        return None

    def close(self) -> None:
        """Let the file go."""
        return

    def read(self, name: str, box: Box, fill: Sequence[float] = ()) -> np.ndarray:
        """A box of an array as float64 numbers; NaN where there is no value, or one of `fill` is stored.

        Raises ValueError that names file and array if it cannot be read, and for whole numbers that float64 rounds.
        """
        field = self.fields[name]
        if field.fault is not None:
            raise ValueError(f"{called(self.path, name)}: {field.fault}")
        try:
            stored = np.asarray(self.raw(name, box))
        except MemoryError:
            raise
        except Exception as error:  # whatever a format's library raises for a file that is damaged
            raise ValueError(f"{called(self.path, name)}: cannot be read ({reason(error)})") from error
        absent = np.zeros(stored.shape, dtype=bool)
        for gap in field.missing:
            absent |= stored == gap
        packed = self.packed(name, box) if fill else stored
        for gap in fill:
            absent |= packed == gap
        if stored.dtype.kind in "iu" and stored.dtype.itemsize == 8 and not absent.all():
            there = stored[~absent]
            reach = max(abs(int(there.min())), abs(int(there.max())))
            if reach > _EXACT:
                raise ValueError(
                    f"{called(self.path, name)}: expected whole numbers up to 2^53, got {reach}, which would be rounded"
                )
        return Packing(field.missing, field.factor, field.offset).unpacked(stored, absent)


def called(path: Path, name: str) -> str:
    """What messages call an array."""
    return f"{path}: {name}" if name else str(path)


def expect_numbers(path: Path, name: str, field: Field) -> None:
    """Raise ValueError unless an array holds real numbers and has entries, and nothing is wrong with it."""
    if field.fault is not None:
        raise ValueError(f"{called(path, name)}: {field.fault}")
    if field.dtype.kind not in NUMBERS:
        raise ValueError(f"{called(path, name)}: expected numbers, got {field.dtype}")
    if not math.prod(field.shape):
        raise ValueError(f"{called(path, name)}: expected entries, got the shape {field.shape}")


def ending(path: Path) -> str | None:
    """The ending that says how a path is read, in small letters; None: it is not read as arrays."""
    name = path.name.lower()
    for known in (".nii.gz", *ENDINGS):
        if name.endswith(known):
            return known
    return ".zarr" if is_store(path) else None


def is_store(path: Path) -> bool:
    """Whether a path is a folder that zarr wrote."""
    return path.is_dir() and any((path / name).is_file() for name in STORES)


def open_reader(path: Path) -> Reader:
    """The opened file. Raises ValueError that names it if it is missing, damaged, or of a kind that is not read."""
    kind = ending(path)
    if kind is None:
        raise ValueError(f"{path}: expected a file of arrays ({', '.join(ENDINGS)})")
    if not path.exists():
        raise ValueError(f"{path}: there is no such file")
    if not path.is_file() and not (kind == ".zarr" and path.is_dir()):
        raise ValueError(f"{path}: expected a plain file")
    module, name = ENDINGS[kind]
    made = getattr(importlib.import_module(f"zoetrope.data.arrays.{module}"), name)
    try:
        opened: Reader = made(path)
    except ValueError as error:
        if str(error).startswith(str(path)):
            raise
        raise ValueError(f"{path}: cannot be read as {kind} ({reason(error, path)})") from error
    except MemoryError:
        raise
    except Exception as error:  # whatever a format's library raises for a file that is damaged
        raise ValueError(f"{path}: cannot be read as {kind} ({reason(error, path)})") from error
    return opened


def library(module: str, extra: str, path: Path) -> Any:
    """A library that reads a format. Raises ValueError that names the extra if it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        message = f"{path}: expected the package {package} to be installed ({error}); try: pip install"
        raise ValueError(f"{message} 'zoetrope[{extra}]'") from None


class OpenReaders:
    """Opened files by path: the last few, separately in each process."""

    def __init__(self) -> None:
        self._readers: OrderedDict[str, Reader] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {"_readers": OrderedDict()}

    def reader(self, path: Path) -> Reader:
        """The opened file; see `open_reader`."""
        key = os.fspath(path)
        if key in self._readers:
            self._readers.move_to_end(key)
            return self._readers[key]
        opened = self._readers[key] = open_reader(path)
        while len(self._readers) > _OPEN:
            self._readers.popitem(last=False)[1].close()
        return opened

    def close(self) -> None:
        """Let all files go."""
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()
