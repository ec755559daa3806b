"""Modules without weights: for their shapes, or to load weights into."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


@contextmanager
def bare() -> Iterator[None]:
    """Build modules on the meta device, without initialising their weights.

    Initialising meta tensors has no effect but costs PyTorch seconds, mostly for imports.
    """
    with torch.device("meta"), _Unfilled():
        yield


class _Unfilled(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _FILLING or getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


_FILLING = {Tensor.fill_, Tensor.normal_, Tensor.uniform_, Tensor.zero_}
