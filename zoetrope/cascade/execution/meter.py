"""Bytes that functions hold at their peak, counted on any device; on the meta device tensors have no data."""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from zoetrope.cascade.execution.live import Live
from zoetrope.cascade.execution.meta import result


def peak_bytes(run: Callable[[], object]) -> int:
    """The most bytes of tensors that a function makes and holds at the same time; on any device, meta too."""
    with Counter() as counter:
        run()
    return counter.live.peak


class Counter(TorchDispatchMode):
    """Counts the bytes of all tensors that operations make."""

    def __init__(self) -> None:
        super().__init__()
        self.live = Live()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Not to be wrapped by what importing takes a second."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        known = result(func, args, kwargs or {})
        out = func(*args, **(kwargs or {})) if known is None else known
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self.live.hold(leaf)
        return out
