"""TIFF files: stacks of pages, among them those of ImageJ and OME, of which single pages are read."""

import math
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from zoetrope.data.arrays.reading import Box, Field, Reader, library


class Tiff(Reader):
    """The first series of the file, an array without a name."""

    def __init__(self, path: Path) -> None:
        tifffile = library("tifffile", "tiff", path)
        self.path = path
        self._file: Any = tifffile.TiffFile(path)
        self._series = self._file.series[0]
        shape, dtype = tuple(self._series.shape), self._series.dtype
        self.fields = {"": Field(shape, np.dtype(dtype), dims=tuple(self._series.axes))}
        self._mapped: np.ndarray | None = None
        if self._series.dataoffset is not None:  # one piece of the file, in order
            stored = np.dtype(self._file.byteorder + np.dtype(dtype).char)
            self._mapped = np.memmap(path, stored, "r", self._series.dataoffset, shape)
        self._page = tuple(self._series.keyframe.shape)
        self._pages = shape[: len(shape) - len(self._page)]
        if self._mapped is None and math.prod(self._pages) != len(self._series.pages):
            raise ValueError(f"{path}: expected {math.prod(self._pages)} pages, got {len(self._series.pages)}")

    def raw(self, name: str, box: Box) -> np.ndarray:
        """See `Reader`."""
        if self._mapped is not None:
            return np.array(self._mapped[box])
        outer, inner = box[: len(self._pages)], box[len(self._pages) :]
        taken = [range(*part.indices(size)) for part, size in zip(outer, self._pages, strict=True)]
        numbers = [int(np.ravel_multi_index(place, self._pages)) if place else 0 for place in product(*taken)]
        pages = np.stack([self._read(number)[inner] for number in numbers])
        return pages.reshape(*map(len, taken), *pages.shape[1:])

    def _read(self, number: int) -> np.ndarray:
        page = self._series.pages[number]
        if page is None:
            raise ValueError(f"page {number} is missing")
        return np.asarray(page.asarray()).reshape(self._page)

    def close(self) -> None:
        """See `Reader`."""
        self._file.close()
