"""NumPy's .npy files, mapped to memory: what is not read is not loaded."""

from pathlib import Path

import numpy as np

from zoetrope.data.arrays.reading import Box, Field, Reader


class Npy(Reader):
    """One array without a name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._array = np.load(path, mmap_mode="r", allow_pickle=False)
        self.fields = {"": Field(self._array.shape, self._array.dtype)}

    def raw(self, name: str, box: Box) -> np.ndarray:
        """See `Reader`."""
        return np.array(self._array[box])
