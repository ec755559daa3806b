"""Zarr stores of format 2 and 3, local folders: an array's name is its path in the store."""

from pathlib import Path
from typing import Any

import numpy as np

from zoetrope.data.arrays.attributes import attribute_text, described
from zoetrope.data.arrays.clock import FrameTimes, clock_of
from zoetrope.data.arrays.reading import Box, Reader, library
from zoetrope.fields.zarr import NAMES, attributes_of


class Zarr(Reader):
    """Every array of the store; a store that is one array calls it ""."""

    def __init__(self, path: Path) -> None:
        zarr = library("zarr", "zarr", path)
        self.path = path
        opened = zarr.open(str(path), mode="r")
        self._arrays: dict[str, Any] = dict(_arrays(opened, "")) if hasattr(opened, "members") else {"": opened}
        self.fields = {}
        for name, array in self._arrays.items():
            attributes = attributes_of(array)
            dims = attributes.get(NAMES) or getattr(array.metadata, "dimension_names", None) or ()
            named = tuple(map(str, dims)) if all(dims) else ()
            self.fields[name] = described(tuple(array.shape), array.dtype, attributes, named)

    def raw(self, name: str, box: Box) -> np.ndarray:
        """See `Reader`."""
        return np.asarray(self._arrays[name][box])

    def clock(self, name: str, axis: int) -> FrameTimes | None:
        """See `Reader`: the array that is called like the axis, or else "time", beside it."""
        dims = self.fields[name].dims
        folder = name.rpartition("/")[0]
        beside = f"{folder}/{dims[axis] if dims else 'time'}".lstrip("/")
        found = self._arrays.get(beside)
        if found is None or found.shape != (self.fields[name].shape[axis],):
            return None
        unit, calendar = (attribute_text(found.attrs.get(key)) for key in ("units", "calendar"))
        return clock_of(np.asarray(found[:]), unit, calendar)


def _arrays(group: Any, above: str) -> "list[tuple[str, Any]]":
    found = []
    for name, member in sorted(group.members()):
        path = f"{above}/{name}".lstrip("/")
        found += _arrays(member, path) if hasattr(member, "members") else [(path, member)]
    return found
