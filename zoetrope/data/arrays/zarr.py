"""Zarr stores of format 2 and 3, local folders: an array's name is its path in the store."""

from pathlib import Path
from typing import Any

import numpy as np

from zoetrope.data.arrays.attributes import attribute_text, described
from zoetrope.data.arrays.clock import FrameTimes, clock_of
from zoetrope.data.arrays.reading import Box, Reader, library

_NAMES = "_ARRAY_DIMENSIONS"  # where xarray keeps the names of axes in format 2


class Zarr(Reader):
    """Every array of the store; a store that is one array calls it ""."""

    def __init__(self, path: Path) -> None:
        zarr = library("zarr", "zarr", path)
        self.path = path
        opened = zarr.open(str(path), mode="r")
        self._arrays: dict[str, Any] = dict(_arrays(opened, "")) if hasattr(opened, "members") else {"": opened}
        self.fields = {}
        for name, array in self._arrays.items():
            attributes = dict(array.attrs)
            dims = attributes.get(_NAMES) or getattr(array.metadata, "dimension_names", None) or ()
            if _NAMES in attributes and array.metadata.zarr_format == 2:
                attributes.setdefault("_FillValue", array.fill_value)  # where xarray keeps it in format 2
            if isinstance(attributes.get("_FillValue"), str):
                attributes["_FillValue"] = _decoded(attributes["_FillValue"], array.dtype)
            named = tuple(map(str, dims)) if all(dims) else ()
            self.fields[name] = described(path, name, tuple(array.shape), array.dtype, attributes, named)

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


def _decoded(text: str, dtype: Any) -> Any:
    """A missing value that xarray wrote into attributes of format 3: the base64 of its bytes, as float64."""
    import base64
    import binascii

    if text.lower() == "nan":
        return float("nan")
    try:
        content = base64.standard_b64decode(text)
    except (ValueError, binascii.Error):
        return text
    for kind in (np.dtype("<f8"), np.dtype(dtype).newbyteorder("<")):
        if len(content) == kind.itemsize:
            return np.frombuffer(content, kind)[0]
    return text
