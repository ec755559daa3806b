"""Values in zarr folders of format 2, which most tools read, with the names of their axes as xarray expects them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoetrope.channels import Channel
from zoetrope.fields.packing import Packing

NAMES = "_ARRAY_DIMENSIONS"
"""The attribute in which xarray keeps the names of axes in format 2."""


def write_zarr(path: Path, values: Mapping[Channel, np.ndarray], times: np.ndarray, tags: str) -> None:
    """Write values (F, H, W) or (M, F, H, W) by channel, and the times of frames in seconds, into an empty folder."""
    import zarr

    group: Any = zarr.open_group(str(path), mode="w", zarr_format=2, attributes={"zoetrope": tags})

    def put(name: str, array: np.ndarray, axes: tuple[str, ...], unit: str) -> None:
        chunks = tuple(min(size, 2**20 if len(axes) == 1 else 256) for size in array.shape)
        about = {NAMES: list(axes), "units": unit}
        fill = float("nan") if array.dtype.kind == "f" else -1  # which readers take for missing
        how = {"shape": array.shape, "chunks": chunks, "dtype": array.dtype, "fill_value": fill}
        made = group.create_array(name, attributes=about, **how)
        made[...] = array

    put("time", times, ("time",), "s")
    for channel, array in values.items():
        if array.ndim == 4 and "member" not in group:
            put("member", np.arange(len(array), dtype=np.int32), ("member",), "1")
        put(channel.name, array, ("member", "time", "y", "x")[-array.ndim :], channel.unit or "1")
    zarr.consolidate_metadata(str(path))


def read_zarr(path: Path, names: Sequence[str]) -> dict[str, tuple[np.ndarray, str | None]]:
    """The arrays of these names that the folder has, each with its unit; missing values are NaN.

    Raises ValueError for another folder, and for a damaged one.
    """
    import zarr

    found = dict[str, tuple[np.ndarray, str | None]]()
    try:
        group: Any = zarr.open_group(str(path), mode="r")
        for name in names:
            if name in group and hasattr(group[name], "dtype"):
                found[name] = (_read(f"{path}: {name}", group[name]), group[name].attrs.get("units"))
    except MemoryError:
        raise
    except Exception as error:  # whatever zarr and its codecs raise for what is damaged
        if str(error).startswith(str(path)):
            raise
        raise ValueError(f"{path}: expected a zarr folder") from error
    return found


def _read(where: str, array: Any) -> np.ndarray:
    stored = np.asarray(array[...])
    if stored.dtype.kind not in "fiub":
        return stored
    try:
        packing = Packing.of(attributes_of(array))
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    return stored if packing == Packing() else packing.unpacked(stored)


def attributes_of(array: Any) -> dict[str, Any]:
    """The attributes of an array, with "_FillValue", wherever xarray keeps it, as a number."""
    attributes = dict(array.attrs)
    if NAMES in attributes and array.metadata.zarr_format == 2:
        attributes.setdefault("_FillValue", array.fill_value)
    if isinstance(attributes.get("_FillValue"), str) and np.dtype(array.dtype).kind in "fiub":
        attributes["_FillValue"] = _decoded(attributes["_FillValue"], array.dtype)
    return attributes


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


def read_zarr_tags(path: Path) -> str:
    """The JSON of the tags of such a folder. Raises ValueError for another one."""
    import zarr

    try:
        return str(zarr.open_group(str(path), mode="r").attrs["zoetrope"])
    except (KeyError, OSError, ValueError) as error:
        raise ValueError(f"{path}: expected a folder of values that zoetrope wrote") from error
