"""What code takes: the bytes that it holds at its peak, and, where somebody asks, the operations that it runs."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from zoetrope.cascade.execution.dry import bare, dried, is_beneath
from zoetrope.cascade.execution.live import Live

Operation = TypeVar("Operation")
Told = Callable[[Any, Any, Any, Any], Operation | None]


class Meter(TorchDispatchMode, Generic[Operation]):
    """Counts bytes of the tensors that operations make, in `live`, and operations, in `tally`.

    Operations are counted as what `told` says of function, arguments, named ones and result; None is not counted.
    """

    def __init__(self, told: Told[Operation] | None = None, *, dry: bool = False):
        """If `dry`, tensors have no data, see `dry`."""
        super().__init__()
        self.told, self.dry = told, dry
        self.tally: Counter[Operation] = Counter()
        self.live = Live()

    def restart(self) -> None:
        """Count from here: what was done so far is forgotten, what is alive stays."""
        self.tally = Counter()
        self.live.restart()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Not to be wrapped by what importing takes a second."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.dry and is_beneath(args, kwargs):  # what another meter's tensors without data are made of
            return func(*args, **kwargs)
        out = dried(func, args, kwargs) if self.dry else func(*args, **kwargs)
        if self.told is not None and (operation := self.told(func, args, kwargs, out)) is not None:
            self.tally[operation] += 1
        for leaf in (out,) if isinstance(out, Tensor) else tree_iter(out):
            if isinstance(leaf, Tensor):
                self.live.hold(bare(leaf))
        return out


@contextmanager
def dry(told: Told[Operation] | None = None) -> Iterator[Meter[Operation]]:
    """A meter, and tensors without data for all code inside: a network of billions of weights is built in a moment.

    They have shapes, types and lifetimes but no values, and are taken for tensors of a CPU, so that the code that
    samples and trains runs as it is: attention takes the kernel that it takes there, autocast casts, gradients flow.
    Where code asks for a value, as of a norm that decides a step, it gets 1.
    """
    with Meter(told, dry=True) as meter:
        yield meter


def peak_bytes(run: Callable[[], object]) -> int:
    """The most bytes of tensors that a function makes and holds at the same time, with data or without."""
    with Meter[Any]() as meter:
        run()
    return meter.live.peak
