"""Values in netCDF files, as the CF conventions describe them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoetrope.channels import Channel


def write_netcdf(path: Path, values: Mapping[Channel, np.ndarray], times: np.ndarray, tags: str) -> None:
    """Write values (F, H, W) or (M, F, H, W) by channel, and the times of frames in seconds."""
    from netCDF4 import Dataset

    file: Any
    with Dataset(path, "w", format="NETCDF4") as file:
        file.setncatts({"Conventions": "CF-1.11", "zoetrope": tags})
        shape = next(iter(values.values())).shape
        axes = ("member", "time", "y", "x")[-len(shape) :]
        for name, size in zip(axes, shape, strict=True):
            file.createDimension(name, size)
        if "member" in axes:
            member = file.createVariable("member", "i4", ("member",))
            member.setncatts({"standard_name": "realization", "units": "1"})
            member[:] = np.arange(shape[0])
        time = file.createVariable("time", "f8", ("time",))
        time.setncatts({"units": "s", "axis": "T", "long_name": "time since the first frame"})
        time[:] = times
        for channel, array in values.items():
            variable = file.createVariable(channel.name, "f4", axes, zlib=True, complevel=1)
            variable.setncatts({"units": channel.unit or "1", "long_name": channel.name})
            variable[:] = array


def read_netcdf(path: Path, names: Sequence[str]) -> dict[str, tuple[np.ndarray, str | None]]:
    """The arrays of these names that the file has, each with its unit; missing values are NaN.

    Raises ValueError for another file.
    """
    from netCDF4 import Dataset

    found = dict[str, tuple[np.ndarray, str | None]]()
    try:
        with Dataset(path) as file:
            for name in names:
                if name in file.variables:
                    variable = file.variables[name]
                    values: Any = np.ma.asarray(variable[:])
                    if values.dtype.kind in "fiub":
                        values = np.ma.filled(values.astype(np.float64), np.nan)
                    found[name] = (np.asarray(values), getattr(variable, "units", None))
    except OSError as error:
        raise ValueError(f"{path}: expected a netCDF file") from error
    return found


def read_netcdf_tags(path: Path) -> str:
    """The JSON of the tags of such a file. Raises ValueError for another file."""
    from netCDF4 import Dataset

    try:
        with Dataset(path) as file:
            return str(file.getncattr("zoetrope"))
    except (AttributeError, OSError) as error:
        raise ValueError(f"{path}: expected a file of values that zoetrope wrote") from error
