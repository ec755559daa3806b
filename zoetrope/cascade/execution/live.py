"""Bytes of tensors that are alive at the same time, on any device, the meta device too."""

import weakref
from typing import Any

from torch import Tensor


class Live:
    """Counts the bytes of storages: those alive now, and the most that ever were; a view costs nothing."""

    def __init__(self) -> None:
        self.now = self.peak = 0
        self._known: dict[int, weakref.ref[Any]] = {}

    def hold(self, tensor: Tensor) -> None:
        """Count a tensor's storage until the last tensor on it is gone; one that is known already counts once."""
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
        """Forget the peak; what is alive stays."""
        self.peak = self.now
