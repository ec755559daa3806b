"""NIfTI files of medical pictures, whose axes are x, y, z and t."""

from pathlib import Path
from typing import Any

import numpy as np

from zoetrope.data.arrays.clock import FrameTimes
from zoetrope.data.arrays.reading import Box, Field, Reader, library

_SECONDS = {"sec": "seconds", "msec": "milliseconds", "usec": "microseconds"}
_TIME = 3  # the axis of time


class Nifti(Reader):
    """One array without a name, scaled as the header says."""

    def __init__(self, path: Path) -> None:
        nibabel = library("nibabel", "nifti", path)
        self.path = path
        self._image: Any = nibabel.load(path)
        slope = self._image.dataobj.slope
        stored = self._image.get_data_dtype()
        dtype = stored if slope == 1 and self._image.dataobj.inter == 0 else np.dtype(np.float64)
        self.fields = {
            "": Field(tuple(self._image.shape), np.dtype(dtype), dims=("x", "y", "z", "t")[: self._image.ndim])
        }

    def raw(self, name: str, box: Box) -> np.ndarray:
        """See `Reader`."""
        return np.asarray(self._image.dataobj[box])

    def packed(self, name: str, box: Box) -> np.ndarray:
        """See `Reader`: what the values were before they were scaled."""
        own, found = self._image.dataobj, self.raw(name, box)
        if (own.slope, own.inter) == (1, 0) or self._image.get_data_dtype().kind not in "iu":
            return found
        return np.rint((found.astype(np.float64) - own.inter) / own.slope)

    def clock(self, name: str, axis: int) -> FrameTimes | None:
        """See `Reader`: from the time step in the header."""
        header = self._image.header
        try:
            unit = _SECONDS.get(header.get_xyzt_units()[1])
        except KeyError:  # a code that NIfTI does not have
            return None
        zooms = header.get_zooms()
        if axis != _TIME or unit is None or len(zooms) <= _TIME or not zooms[_TIME] > 0:
            return None
        return FrameTimes(np.arange(self._image.shape[_TIME]) * float(zooms[_TIME]), f"{unit} since 1970-01-01")
