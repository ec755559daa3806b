"""Tensors without data that look like CPU tensors to the code that uses them.

They have shapes, dtypes and lifetimes but no values, so sampling and training code runs unchanged: attention picks its
CPU kernel, autocast casts, gradients flow. Underneath are tensors on the meta device.
"""

from collections.abc import Callable, Iterable, Sequence
from types import NoneType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from zoetrope.cascade.execution.meta import META, shortcut

CPU = torch.device("cpu")
aten = torch.ops.aten
PLAIN = {NoneType, bool, int, float, str, torch.dtype, torch.layout, torch.memory_format}
VALUE = aten._local_scalar_dense.default
MEMORY = {aten.resize_, aten.resize_as_, aten.set_}  # give a tensor other memory


class Dry(Tensor):
    """A tensor that presents itself as on the CPU; `bare` is the meta tensor underneath."""

    bare: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, bare: Tensor) -> "Dry":
        made: Dry = Tensor._make_wrapper_subclass(
            cls, bare.shape, bare.stride(), bare.storage_offset(), None, bare.dtype, torch.strided, CPU
        )
        made.bare = bare
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        return dried(func, args, kwargs or {})


class _Traits(NamedTuple):
    """What is known of an operation, whatever its arguments.

    Attributes:
        makes, mutates, reshapes: whether it takes a device, changes an argument, and changes its shape.
        known: finds its result on the meta device, see `zoetrope.cascade.execution.meta.shortcut`.
    """

    makes: bool
    mutates: bool
    reshapes: bool
    known: Callable[[Sequence[Any], dict[str, Any]], Any] | None


def dried(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """The result of an operation; 1 where it asks for a value.

    Raises NotImplementedError for an operation that gives a tensor other memory, such as `resize_`.
    """
    makes, mutates, reshapes, known = _TRAITS.get(func) or _traits(func)
    if func is VALUE:
        return 1.0 if args[0].dtype.is_floating_point else 1
    given = [value.bare if type(value) is Dry else _bare(value) for value in args]
    named = {name: _bare(value) for name, value in kwargs.items()} if kwargs else {}
    if makes:
        named["device"] = META
    out = None if known is None else known(given, named)
    if out is None:
        out = func(*given, **named)
    if reshapes:
        with torch._C._DisableTorchDispatch():
            func(*args, **kwargs)
    if mutates:
        return _dry(out, _owners([*args, *kwargs.values()]))
    return Dry(out) if type(out) is Tensor else _dry(out, {})


def is_beneath(args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    """Whether an operation acts on, or makes, the meta tensors underneath."""
    for value in args[0] if args and isinstance(args[0], (list, tuple)) else args:
        if isinstance(value, Tensor):
            return type(value) is Tensor and value.device == META
    return "device" in kwargs and kwargs["device"] == META


def bare(tensor: Tensor) -> Tensor:
    """The tensor whose memory counts."""
    return tensor.bare if isinstance(tensor, Dry) else tensor


def _traits(func: Any) -> _Traits:
    """The traits of an operation, found once."""
    if func.overloadpacket in MEMORY:
        raise NotImplementedError(
            f"a tensor without data keeps its memory, got {func}: make a new tensor instead, as with torch.empty"
        )
    found = _TRAITS[func] = _Traits(
        makes=any(argument.name == "device" for argument in func._schema.arguments),
        mutates=func._schema.is_mutable,
        reshapes=torch.Tag.inplace_view in func.tags,
        known=shortcut(func),
    )
    return found


def _bare(value: Any) -> Any:
    """An argument, with the meta tensors underneath instead of dry ones."""
    kind = type(value)
    if kind in PLAIN:
        return value
    if kind is Dry:
        return value.bare
    if kind is list or kind is tuple:
        return value if value and type(value[0]) is int else kind(map(_bare, value))
    if kind is torch.device:
        return META
    if isinstance(value, Tensor):  # made before, with values
        return value.to(META)
    return value


def _owners(values: Iterable[Any]) -> dict[int, Dry]:
    """The dry tensors among an operation's arguments, by the identity of those underneath."""
    found: dict[int, Dry] = {}
    for value in values:
        if type(value) is Dry:
            found[id(value.bare)] = value
        elif isinstance(value, (list, tuple)):
            found |= _owners(value)
    return found


def _dry(value: Any, owners: dict[int, Dry]) -> Any:
    """A result as dry tensors; a tensor that was changed in place is the caller's own."""
    if isinstance(value, Tensor):
        owner = owners.get(id(value))
        return Dry(value) if owner is None else owner
    if isinstance(value, (list, tuple)):
        return type(value)([_dry(each, owners) for each in value])
    return value


_TRAITS: dict[Any, _Traits] = {}
