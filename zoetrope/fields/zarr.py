"""Values in zarr folders of format 2, which most tools read, with the names of their axes as xarray expects them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoetrope.channels import Channel


def write_zarr(path: Path, values: Mapping[Channel, np.ndarray], times: np.ndarray, tags: str) -> None:
    """Write values (F, H, W) or (M, F, H, W) by channel, and the times of frames in seconds, into an empty folder."""
    import zarr

    group: Any = zarr.open_group(str(path), mode="w", zarr_format=2, attributes={"zoetrope": tags})

    def put(name: str, array: np.ndarray, axes: tuple[str, ...], unit: str) -> None:
        chunks = tuple(min(size, 2**20 if len(axes) == 1 else 256) for size in array.shape)
        about = {"_ARRAY_DIMENSIONS": list(axes), "units": unit}
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
    """The arrays of these names that the folder has, each with its unit. Raises ValueError for another folder."""
    import zarr

    try:
        group: Any = zarr.open_group(str(path), mode="r")
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: expected a zarr folder") from error
    return {name: (np.asarray(group[name][...]), group[name].attrs.get("units")) for name in names if name in group}


def read_zarr_tags(path: Path) -> str:
    """The JSON of the tags of such a folder. Raises ValueError for another one."""
    import zarr

    try:
        return str(zarr.open_group(str(path), mode="r").attrs["zoetrope"])
    except (KeyError, OSError, ValueError) as error:
        raise ValueError(f"{path}: expected a folder of values that zoetrope wrote") from error
