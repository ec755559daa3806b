"""Tensors without data that look like CPU tensors to the code that uses them.

They have shapes, dtypes and lifetimes but no values, so sampling and training code runs unchanged: attention picks its
CPU kernel, autocast casts, gradients flow. Underneath are tensors on the meta device.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from zoetrope.cascade.execution.meta import META, result

CPU = torch.device("cpu")
aten = torch.ops.aten


class Dry(Tensor):
    """A tensor that presents itself as on the CPU; `bare` is the meta tensor underneath."""

    bare: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, bare: Tensor) -> "Dry":
        made: Dry = Tensor._make_wrapper_subclass(
            cls, bare.shape, strides=bare.stride(), storage_offset=bare.storage_offset(), dtype=bare.dtype, device=CPU
        )
        made.bare = bare
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        return dried(func, args, kwargs or {})


def dried(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """The result of an operation; 1 where it asks for a value."""
    if func is aten._local_scalar_dense.default:
        return 1.0 if args[0].dtype.is_floating_point else 1
    makes, reshapes = _traits(func)
    if reshapes:
        raise NotImplementedError(f"a tensor without data cannot be given another shape in its place, by {func}")
    owners: dict[int, Dry] = {}
    given = [_bare(value, owners) for value in args]
    named = {name: _bare(value, owners) for name, value in kwargs.items()} if kwargs else {}
    if makes and not owners:
        named["device"] = META
    out = result(func, given, named)
    return _dry(func(*given, **named) if out is None else out, owners)


def is_beneath(args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    """Whether an operation acts on, or makes, the meta tensors underneath."""
    for value in args[0] if args and isinstance(args[0], (list, tuple)) else args:
        if isinstance(value, Tensor):
            return type(value) is Tensor and value.device == META
    return "device" in kwargs and kwargs["device"] == META


def bare(tensor: Tensor) -> Tensor:
    """The tensor whose memory counts."""
    return tensor.bare if isinstance(tensor, Dry) else tensor


def _traits(func: Any) -> tuple[bool, bool]:
    """Whether an operation takes a device, and whether it changes a tensor's shape in place."""
    found = _TRAITS.get(func)
    if found is None:
        makes = any(argument.name == "device" for argument in func._schema.arguments)
        found = _TRAITS[func] = makes, torch.Tag.inplace_view in func.tags
    return found


def _bare(value: Any, owners: dict[int, Dry]) -> Any:
    """An argument, with the meta tensors underneath instead of dry ones."""
    kind = type(value)
    if kind is Dry:
        owners[id(value.bare)] = value
        return value.bare
    if kind is list or kind is tuple:
        return value if value and type(value[0]) is int else kind(_bare(each, owners) for each in value)
    if kind is torch.device:
        return META
    if isinstance(value, Tensor):  # made before, with values
        return value.to(META)
    return value


def _dry(value: Any, owners: dict[int, Dry]) -> Any:
    """A result as dry tensors; a tensor that was changed in place is the caller's own."""
    if isinstance(value, Tensor):
        owner = owners.get(id(value))
        return Dry(value) if owner is None else owner
    if isinstance(value, (list, tuple)):
        return type(value)([_dry(each, owners) for each in value])
    return value


_TRAITS: dict[Any, tuple[bool, bool]] = {}
