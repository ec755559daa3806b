"""NetCDF files, read through xarray, which decodes missing values and packing as the CF conventions say."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from zoetrope.config.errors import reason
from zoetrope.data.arrays.attributes import attribute_text
from zoetrope.data.arrays.clock import FrameTimes, clock_of
from zoetrope.data.arrays.reading import Box, Field, Reader, library


class NetCdf(Reader):
    """Every variable of the file, by name; those of groups are not read."""

    def __init__(self, path: Path) -> None:
        xarray = library("xarray", "netcdf", path)
        library("netCDF4", "netcdf", path)
        self.path = path
        how = {"engine": "netcdf4", "decode_times": False, "decode_timedelta": False, "decode_coords": False}
        self._open: Any = partial(xarray.open_dataset, path, cache=False, **how)
        try:
            self._data: Any = self._open()
            self.fields = {}
        except (TypeError, ValueError):  # attributes of one variable are enough; others may be wanted
            self.fields = self._unfit()
            self._data = self._open(drop_variables=[*self.fields])
        for name, variable in self._data.variables.items():
            if variable.ndim:
                dims = tuple(map(str, variable.dims))
                unit = attribute_text(variable.attrs.get("units"))
                self.fields[str(name)] = Field(tuple(variable.shape), np.dtype(variable.dtype), unit, dims)

    def _unfit(self) -> dict[str, Field]:
        """The variables that cannot be decoded."""
        found = dict[str, Field]()
        with self._open(decode_cf=False) as stored:
            for name, variable in stored.variables.items():
                try:
                    self._open(drop_variables=[other for other in stored.variables if other != name]).close()
                except (TypeError, ValueError) as error:
                    fault = f"its attributes cannot be read ({reason(error)})"
                    found[str(name)] = Field(tuple(variable.shape), np.dtype(variable.dtype), fault=fault)
        return found

    def raw(self, name: str, box: Box) -> np.ndarray:
        """See `Reader`."""
        return np.asarray(self._data.variables[name][box].values)

    def packed(self, name: str, box: Box) -> np.ndarray:
        """See `Reader`."""
        with library("netCDF4", "netcdf", self.path).Dataset(self.path) as file:
            stored = file.variables[name]
            stored.set_auto_maskandscale(False)
            return np.asarray(stored[box])

    def clock(self, name: str, axis: int) -> FrameTimes | None:
        """See `Reader`: the variable that is called like the axis."""
        found = self._data.variables.get(self.fields[name].dims[axis])
        if found is None or found.shape != (self.fields[name].shape[axis],):
            return None
        unit, calendar = (attribute_text(found.attrs.get(key)) for key in ("units", "calendar"))
        return clock_of(np.asarray(found.values), unit, calendar)

    def close(self) -> None:
        """See `Reader`."""
        self._data.close()
