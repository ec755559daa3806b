"""HDF5 files, in whatever groups: an array's name is its path, such as "t0_fields/density"."""

from pathlib import Path
from typing import Any

import numpy as np

from zoetrope.data.arrays.attributes import attribute_text, described
from zoetrope.data.arrays.clock import FrameTimes, clock_of
from zoetrope.data.arrays.reading import NUMBERS, Box, Field, Reader, library


class Hdf5(Reader):
    """Every data set of numbers or text in the file."""

    def __init__(self, path: Path) -> None:
        h5py = library("h5py", "hdf5", path)
        self.path = path
        self.fields = {}
        self._file = h5py.File(path, "r")

        def note(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset) and item.shape:
                try:
                    dtype = item.dtype
                except TypeError as error:  # one that NumPy does not have, such as a time of HDF5
                    self.fields[name] = Field(item.shape, np.dtype(object), fault=f"cannot be read ({error})")
                else:
                    self.fields[name] = described(item.shape, dtype, item.attrs, _dims(item))

        self._file.visititems(note)

    def raw(self, name: str, box: Box) -> np.ndarray:
        """See `Reader`."""
        return self._file[name][box]

    def clock(self, name: str, axis: int) -> FrameTimes | None:
        """See `Reader`: the scale that is attached to the axis, or else a data set called "time" beside it."""
        scales = list(self._file[name].dims[axis].values())
        folder = name.rpartition("/")[0]
        beside = f"{folder}/time".lstrip("/")
        found = scales[0] if scales else self._file[beside] if beside in self.fields else None
        if found is None or found.shape != (self.fields[name].shape[axis],):
            return None
        known = self.fields.get((found.name or "").lstrip("/"))
        if known is not None and known.dtype.kind not in NUMBERS:
            return None
        unit, calendar = (attribute_text(found.attrs.get(key)) for key in ("units", "calendar"))
        return clock_of(found[:], unit, calendar)

    def close(self) -> None:
        """See `Reader`."""
        self._file.close()


def _dims(item: Any) -> tuple[str, ...]:
    """The names of the axes of a data set, where it has them all."""
    names = []
    for dimension in item.dims:
        scales = dimension.keys()
        names.append(dimension.label or (scales[0] if scales and scales[0] else ""))
    return tuple(name.rpartition("/")[2] for name in names) if names and all(names) else ()
