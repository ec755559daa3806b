"""Shortcuts for operations on the meta device, where tensors have shapes and no data.

PyTorch infers these shapes in slow Python: a normalisation takes a millisecond, and the first operation a second of
imports. Planning runs whole networks on meta, which would take longer than sampling some stages.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

META = torch.device("meta")
aten = torch.ops.aten
EACH = {  # elementwise; the result has the type of the arguments
    *(aten.abs, aten.add, aten.addcdiv, aten.addcmul, aten.atan, aten.clamp, aten.cos, aten.div, aten.exp, aten.gelu),
    *(aten.lerp, aten.log, aten.log1p, aten.mul, aten.neg, aten.pow, aten.rsub, aten.sigmoid, aten.silu, aten.sin),
    *(aten.sqrt, aten.sub, aten.tan),
}
WHOLE = {aten.abs, aten.add, aten.clamp, aten.mul, aten.sub}  # integers in, integers out
COMPARED = {aten.eq, aten.ge, aten.gt, aten.le, aten.lt}
LIKE = {aten.empty_like.default, aten.ones_like.default, aten.zeros_like.default}
IN_PLACE = {
    *(aten.add_.Tensor, aten.addcmul_.default, aten.gelu_.default, aten.mul_.Tensor, aten.sigmoid_.default),
    *(aten.silu_.default,),
    *(aten.copy_.default, aten.fill_.Scalar, aten.masked_fill_.Scalar),
    *(aten.normal_.default, aten.uniform_.default, aten.zero_.default),
}


Sizes = tuple[int, ...]
Arguments = Sequence[Any]
Named = dict[str, Any]
Shortcut = Callable[[Arguments, Named], Any]
VIEWS: dict[Any, Callable[..., Tensor]] = {  # methods find these faster than PyTorch's dispatcher does
    aten.expand.default: Tensor.expand,
    aten.permute.default: Tensor.permute,
    aten.select.int: Tensor.select,
    aten.t.default: Tensor.t,
    aten.transpose.int: Tensor.transpose,
    aten.unsqueeze.default: Tensor.unsqueeze,
    aten._unsafe_view.default: Tensor.view,
    aten.view.default: Tensor.view,
    aten.view.dtype: Tensor.view,
}


def shortcut(func: Any) -> Shortcut | None:
    """What finds the result of an operation on meta tensors from its arguments; None where only PyTorch knows.

    What it finds is None, too, for arguments that only PyTorch understands.
    """
    if func in IN_PLACE:
        return lambda args, named: args[0]
    if (view := VIEWS.get(func)) is not None:
        return lambda args, named: view(*args, **named)
    packet = func.overloadpacket
    if packet in EACH and not func._schema.is_mutable:
        whole = packet in WHOLE
        return lambda args, named: _elementwise(args, whole) if named.keys() <= {"alpha", "value"} else None
    if packet in COMPARED:
        return lambda args, named: _empty(_spread(_tensors(args)), dtype=torch.bool)
    if func in LIKE:
        return lambda args, named: _like(args[0], named.get("dtype")) if _usual(named, "memory_format") else None
    if func in NAMED:
        return NAMED[func]
    if (known := KNOWN.get(func)) is not None:
        return lambda args, named: known(args) if not named or _usual(named, "dtype", "memory_format") else None
    return None


def _elementwise(args: Arguments, whole: bool) -> Tensor | None:
    """The broadcast of tensors of one dtype, or if `whole`, of integers and booleans; None for anything else."""
    values = _tensors(args)
    dtype, shapes = values[0].dtype, [value.shape for value in values]
    if not dtype.is_floating_point:
        return _whole(values, [value for value in args if not isinstance(value, Tensor)]) if whole else None
    for value in values:
        if value.dtype != dtype:
            return None
    shape = shapes[0] if shapes.count(shapes[0]) == len(shapes) else _spread(values)
    return _like(values[shapes.index(shape)]) if shape in shapes else _empty(shape, values[0])


def _whole(values: Sequence[Tensor], others: Sequence[Any]) -> Tensor | None:
    """The broadcast of integers, and of booleans as 0 or 1; None for anything else."""
    if any(value.dtype not in (torch.int64, torch.bool) for value in values):
        return None
    if any(value is not None and type(value) is not int for value in others):
        return None
    number = int in map(type, others) or any(value.dtype == torch.int64 for value in values)
    return _empty(_spread(values), dtype=torch.int64) if number else None


def _any(args: Arguments) -> Tensor:
    values, axis, keep = (*args, False)[:3]
    one = values.narrow(axis, 0, 1) if keep else values.select(axis, 0)
    return _empty(one.shape, dtype=torch.bool)


def _like(tensor: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """A tensor of the same shape, with the same strides if they leave no gaps."""
    shape, strides = tensor.shape, tensor.stride()
    if not tensor.is_contiguous():
        reach = 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
        if reach != tensor.numel():
            return _empty(shape, dtype=dtype or tensor.dtype)
    return torch.empty_strided(shape, strides, dtype=dtype or tensor.dtype, device=META)


def _joined(args: Arguments) -> Tensor:
    axis, shape = args[1] if len(args) > 1 else 0, list(args[0][0].shape)
    shape[axis] = sum(tensor.shape[axis] for tensor in args[0])
    return _empty(shape, args[0][0])


def _convolved(args: Arguments) -> Tensor | None:
    """The output of a convolution; None for a transposed or grouped one."""
    h, weight, _, stride, padding, dilation, transposed, _, groups = args
    if transposed or groups != 1:
        return None
    sizes = _convolved_sizes(h.shape[2:], weight.shape[2:], (*stride,), (*padding,), (*dilation,))
    last = h.ndim == 4 and h.is_contiguous(memory_format=torch.channels_last)
    order = torch.channels_last if last else torch.contiguous_format
    return torch.empty((len(h), len(weight), *sizes), dtype=h.dtype, device=META, memory_format=order)


@lru_cache(maxsize=256)
def _convolved_sizes(sizes: Sizes, taps: Sizes, steps: Sizes, pads: Sizes, spacings: Sizes) -> Sizes:
    axes = zip(sizes, taps, steps, pads, spacings, strict=True)
    return tuple((size + 2 * pad - apart * (count - 1) - 1) // step + 1 for size, count, step, pad, apart in axes)


def _cloned(args: Arguments, named: Named) -> Tensor | None:
    """A copy; None for one in another order than rows."""
    h, order = args[0], named.get("memory_format", torch.preserve_format)
    rows = order == torch.contiguous_format or (order == torch.preserve_format and h.is_contiguous())
    return _empty(h.shape, h) if rows else None


def _normalised(args: Arguments) -> tuple[Tensor, Tensor, Tensor]:
    h, axes = args[0], len(args[1])
    statistics = [*h.shape[:-axes], *[1] * axes]
    return _empty(h.shape, h), _empty(statistics, h), _empty(statistics, h)


def _attended(args: Arguments) -> tuple[Tensor, Tensor]:
    """The output of the CPU attention kernel, which stores no scores, and the log-sum-exp for its backward pass."""
    query = args[0]
    batch, heads, length, _ = query.shape
    sums = torch.empty((batch, length, heads), dtype=query.dtype if query.itemsize > 4 else torch.float32, device=META)
    return _like(query), sums.transpose(1, 2)


def _repeated(args: Arguments) -> Tensor:
    values, times = args
    sizes = (*[1] * (len(times) - values.ndim), *values.shape)
    return _empty([size * count for size, count in zip(sizes, times, strict=True)], values)


def _chosen(args: Sequence[Tensor]) -> Tensor | None:
    """`where` of a condition and two tensors of one dtype."""
    _, one, other = args
    return _empty(_spread(args), one) if one.dtype == other.dtype else None


def _either(args: Sequence[Tensor]) -> Tensor | None:
    """The logical or of two conditions."""
    one, other = args
    return _empty(_spread(args), one) if one.dtype == other.dtype else None


def _arange(args: Arguments, named: Named) -> Tensor | None:
    """The integers below a limit."""
    end, dtype = args[0], named.get("dtype") or torch.int64
    return torch.empty(end, dtype=dtype, device=META) if isinstance(end, int) else None


def _linspace(args: Arguments, named: Named) -> Tensor:
    return torch.empty(args[2], dtype=named.get("dtype") or torch.get_default_dtype(), device=META)


def _usual(named: Named, *names: str) -> bool:
    """Whether arguments are left as they usually are."""
    return all(named.get(name) is None for name in names)


def _tensors(args: Arguments) -> list[Tensor]:
    return [value for value in args if isinstance(value, Tensor)]


def _spread(values: Sequence[Tensor]) -> tuple[int, ...]:
    """The broadcast shape of tensors; `torch.broadcast_shapes` would spend seconds on imports."""
    axes = max(value.ndim for value in values)
    return tuple(max(sizes) for sizes in zip(*((1,) * (axes - x.ndim) + x.shape for x in values), strict=True))


def _empty(shape: Sequence[int], like: Tensor | None = None, dtype: torch.dtype | None = None) -> Tensor:
    return torch.empty(tuple(shape), dtype=dtype if like is None else like.dtype, device=META)


NAMED: dict[Any, Shortcut] = {
    aten.arange.default: _arange,
    aten.clone.default: _cloned,
    aten.linspace.default: _linspace,
}
KNOWN: dict[Any, Callable[[Arguments], Any]] = {
    aten._scaled_dot_product_flash_attention_for_cpu.default: _attended,
    aten._softmax.default: lambda args: None if args[2] else _like(args[0]),
    aten._safe_softmax.default: lambda args: _empty(args[0].shape, args[0]),
    aten.addmm.default: lambda args: _empty((args[1].shape[0], args[2].shape[1]), args[1]),
    aten.any.dim: _any,
    aten.bmm.default: lambda args: _empty((*args[0].shape[:2], args[1].shape[2]), args[0]),
    aten.bitwise_or.Tensor: _either,
    aten.bitwise_not.default: lambda args: _like(args[0]),
    aten.cat.default: _joined,
    aten.convolution.default: _convolved,
    aten.embedding.default: lambda args: _empty((*args[1].shape, args[0].shape[1]), args[0]),
    aten.mm.default: lambda args: _empty((args[0].shape[0], args[1].shape[1]), args[0]),
    aten.native_layer_norm.default: _normalised,
    aten.randn.default: lambda args: _empty(args[0]),
    aten.repeat.default: _repeated,
    aten.roll.default: lambda args: _empty(args[0].shape, args[0]),
    aten.upsample_bilinear2d.default: lambda args: _empty((*args[0].shape[:2], *args[1]), args[0]),
    aten.where.self: _chosen,
}
