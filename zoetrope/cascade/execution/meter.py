"""A meter of code: the bytes that it holds at its peak and, on request, the operations that it runs."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from zoetrope.cascade.execution.dry import Dry, bare, dried, is_beneath
from zoetrope.cascade.execution.live import Live

Operation = TypeVar("Operation")
Counted = Callable[[Any, Any, Any, Any], Operation | None]


class Meter(TorchDispatchMode, Generic[Operation]):
    """Counts the bytes of tensors that operations make, in `live`, and operations, in `tally`.

    An operation counts as what `told` returns for its function, arguments, keyword arguments and result; None: not.
    """

    def __init__(self, counted: Counted[Operation] | None = None, *, dry: bool = False):
        """If `dry`, tensors have no data; see the function `dry`."""
        super().__init__()
        self.counted, self.dry = counted, dry
        self.tally: Counter[Operation] = Counter()
        self.live = Live()

    def restart(self) -> None:
        """Count from here on: clear the tally, and reset the peak to what is alive."""
        self.tally = Counter()
        self.live.restart()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Tell PyTorch not to wrap the mode in dynamo, whose import takes a second."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not self.dry:
            out = func(*args, **kwargs)
        elif Dry in types or not is_beneath(args, kwargs):
            out = dried(func, args, kwargs)
        else:  # another meter's work on meta tensors
            return func(*args, **kwargs)
        if self.counted is not None and (operation := self.counted(func, args, kwargs, out)) is not None:
            self.tally[operation] += 1
        if isinstance(out, Tensor):
            self.live.hold(bare(out))
        else:
            for leaf in out if isinstance(out, (list, tuple)) else ():  # operations return no deeper ones
                if isinstance(leaf, Tensor):
                    self.live.hold(bare(leaf))
        return out


@contextmanager
def dry(counted: Counted[Operation] | None = None) -> Iterator[Meter[Operation]]:
    """A meter, with tensors without data for all code inside: even billions of weights are built in a moment.

    See `zoetrope.cascade.execution.dry`. Where code asks for a value, such as a norm that decides about a step, it gets
    1.
    """
    with Meter(counted, dry=True) as meter:
        yield meter


def peak_bytes(run: Callable[[], object]) -> int:
    """Peak bytes of the tensors that a function makes, with data or without."""
    with Meter[Any]() as meter:
        run()
    return meter.live.peak
