"""Bytes of tensors that are alive at the same time, on any device, including meta."""

import weakref
from typing import Any

from torch import Tensor


class Live:
    """Counts the bytes of storages: those alive now, and their peak; a view costs nothing."""

    def __init__(self) -> None:
        self.now = self.peak = 0
        self._known: dict[int, weakref.ref[Any]] = {}

    def hold(self, tensor: Tensor) -> None:
        """Count a tensor's storage, once, until the last tensor on it is freed."""
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return

        def gone(_: Any) -> None:
            self.now -= size
            del self._known[key]

        self._known[key] = weakref.ref(storage, gone)
        self.now += size
        self.peak = max(self.peak, self.now)

    def restart(self) -> None:
        """Reset the peak to what is alive now."""
        self.peak = self.now
