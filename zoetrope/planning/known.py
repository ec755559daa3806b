"""What operations give on tensors without data, remembered: PyTorch works it out in Python, each time anew.

A `FakeTensorMode` takes a tenth of a millisecond for an operation, and a network's passes have thousands of them, most
of which were seen before: the same operation on tensors of the same shapes, in the same order in memory.
"""

from collections.abc import Hashable, Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, in_kernel_invocation_manager
from torch.utils._mode_utils import no_dispatch

LARGEST = 2**16  # operations that are remembered
PLAIN = (bool, int, float, str, torch.dtype, torch.device, torch.layout, torch.memory_format, type(None))
Note = TypeVar("Note")
CPU = torch.device("cpu")


class Made(NamedTuple):
    """A tensor that an operation makes: on new memory, or, if `source` is given, on that of its argument there."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    offset: int
    source: int | None


class Known(NamedTuple, Generic[Note]):
    """The result of an operation: new tensors or views, in a tuple or alone; or, if `given`, its first argument.

    `note` is what the caller wants to know of it.
    """

    made: Sequence[Made]
    alone: bool
    given: bool
    note: Note


def key_of(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Hashable, list[Tensor]] | None:
    """What the result depends on, and the tensors among the arguments; None for arguments that are too special."""
    tensors: list[Tensor] = []
    parts: list[Hashable] = [func, *kwargs]
    if all(_add(value, parts, tensors) for value in (*args, *kwargs.values())):
        return tuple(parts), tensors
    return None


def _add(value: Any, parts: list[Hashable], tensors: list[Tensor]) -> bool:
    if isinstance(value, FakeTensor):
        if value.fake_device != CPU or value.constant is not None:
            return False
        storage = value.untyped_storage()
        same = next((i for i, other in enumerate(tensors) if other.untyped_storage()._cdata == storage._cdata), None)
        parts += (value.shape, value.stride(), value.dtype, value.storage_offset(), storage.nbytes(), same)
        tensors.append(value)
        return True
    if isinstance(value, (list, tuple)):
        parts.append((type(value), len(value)))
        return len(value) <= 16 and all(_add(each, parts, tensors) for each in value)
    parts.append((type(value), value))
    return isinstance(value, PLAIN)


def learn(func: Any, args: Sequence[Any], tensors: Sequence[Tensor], out: Any, note: Note) -> Known[Note] | None:
    """What to remember of a result; None if it is of another sort."""
    if func._schema.is_mutable:
        return Known((), True, True, note) if out is args[0] else None
    values = [out] if isinstance(out, Tensor) else out
    if not isinstance(values, (list, tuple)) or not values:
        return None
    if isinstance(out, list) or not all(isinstance(x, FakeTensor) and x.fake_device == CPU for x in values):
        return None
    if any(value.constant is not None or value is given for value in values for given in tensors):
        return None
    made, storages = [], [x.untyped_storage()._cdata for x in tensors]
    own: set[int] = set()
    for value in values:
        storage = value.untyped_storage()
        source = storages.index(storage._cdata) if storage._cdata in storages else None
        if source is None:
            if storage._cdata in own or value.storage_offset():
                return None
            own.add(storage._cdata)
            with no_dispatch():
                again = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")
            if again.untyped_storage().nbytes() != storage.nbytes():
                return None
        made.append(Made(tuple(value.shape), value.stride(), value.dtype, value.storage_offset(), source))
    return Known(made, isinstance(out, Tensor), False, note)


def replay(known: Known[Any], mode: FakeTensorMode, args: Sequence[Any], tensors: Sequence[Tensor]) -> Any:
    """The result again, for other tensors like those that it was learnt from."""
    if known.given:
        return args[0]
    outs = tuple(_tensors(known.made, mode, tensors))
    return outs[0] if known.alone else outs


def _tensors(made: Sequence[Made], mode: FakeTensorMode, tensors: Sequence[Tensor]) -> Iterator[Tensor]:
    for one in made:
        with no_dispatch():
            if one.source is None:
                elem = torch.empty_strided(one.shape, one.stride, dtype=one.dtype, device="meta")
            else:
                elem = torch.empty(0, dtype=one.dtype, device="meta")
                storage = tensors[one.source].untyped_storage()
                with in_kernel_invocation_manager(mode):
                    elem.set_(storage, one.offset, one.shape, one.stride)
            yield FakeTensor(mode, elem, CPU)
