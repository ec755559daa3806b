"""Shortcuts for operations on the meta device, where tensors have shapes and no data.

PyTorch infers these shapes in slow Python: a normalisation takes a millisecond, and the first operation a second of
imports. Planning runs whole networks on meta, which would take longer than sampling some stages.
"""

from collections.abc import Callable, Sequence
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
    *(aten.add_.Tensor, aten.addcmul_.default, aten.gelu_.default, aten.sigmoid_.default, aten.silu_.default),
    *(aten.copy_.default, aten.fill_.Scalar, aten.masked_fill_.Scalar),
    *(aten.normal_.default, aten.uniform_.default, aten.zero_.default),
}


def result(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """The result of an operation on the meta device; None where only PyTorch knows."""
    if func in IN_PLACE and args[0].device == META:
        return args[0]
    if func.overloadpacket in EACH and kwargs.keys() <= {"alpha", "value"} and not func._schema.is_mutable:
        values = [value for value in args if isinstance(value, Tensor)]
        whole = not values[0].dtype.is_floating_point and func.overloadpacket in WHOLE
        return _whole(values, [value for value in args if not isinstance(value, Tensor)]) if whole else _each(values)
    if func.overloadpacket in COMPARED and args[0].device == META:
        return _empty(_spread([value for value in args if isinstance(value, Tensor)]), dtype=torch.bool)
    if func is aten.arange.default and kwargs.get("device") == META and isinstance(args[0], int):
        return torch.empty(args[0], dtype=kwargs.get("dtype") or torch.int64, device=META)
    if func is aten.linspace.default and kwargs.get("device") == META:
        return torch.empty(args[2], dtype=kwargs.get("dtype") or torch.get_default_dtype(), device=META)
    if func in LIKE and args[0].device == META and kwargs.get("memory_format") is None:
        return _like(args[0], kwargs.get("dtype"))
    if func not in KNOWN or kwargs.get("dtype") is not None or kwargs.get("memory_format") is not None:
        return None
    first = args[0][0] if func is aten.cat.default else args[0]
    return KNOWN[func](args) if kwargs.get("device", getattr(first, "device", None)) == META else None


def _each(values: Sequence[Tensor]) -> Tensor | None:
    """The broadcast of tensors; None unless all are of one dtype."""
    dtype = values[0].dtype
    if not dtype.is_floating_point or any((value.device, value.dtype) != (META, dtype) for value in values):
        return None
    shape = _spread(values)
    whole = [value for value in values if value.shape == shape]
    return _like(whole[0]) if whole else _empty(shape, values[0])


def _whole(values: Sequence[Tensor], others: Sequence[Any]) -> Tensor | None:
    """The broadcast of integers, and of booleans as 0 or 1; None for anything else."""
    if any(value.device != META or value.dtype not in (torch.int64, torch.bool) for value in values):
        return None
    if any(value is not None and type(value) is not int for value in others):
        return None
    number = int in map(type, others) or any(value.dtype == torch.int64 for value in values)
    return _empty(_spread(values), dtype=torch.int64) if number else None


def _any(args: Sequence[Any]) -> Tensor:
    values, axis, keep = (*args, False)[:3]
    one = values.narrow(axis, 0, 1) if keep else values.select(axis, 0)
    return _empty(one.shape, dtype=torch.bool)


def _like(tensor: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """A tensor of the same shape, with the same strides if they leave no gaps."""
    reach = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    if reach != tensor.numel():
        return _empty(tensor.shape, dtype=dtype or tensor.dtype)
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=dtype or tensor.dtype, device=META)


def _joined(args: Sequence[Any]) -> Tensor:
    axis, shape = args[1] if len(args) > 1 else 0, list(args[0][0].shape)
    shape[axis] = sum(tensor.shape[axis] for tensor in args[0])
    return _empty(shape, args[0][0])


def _convolved(args: Sequence[Any]) -> Tensor | None:
    """The output of a convolution; None for a transposed or grouped one."""
    h, weight, _, stride, padding, dilation, transposed, _, groups = args
    if transposed or groups != 1:
        return None
    known = zip(h.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True)
    sizes = [(size + 2 * pad - apart * (taps - 1) - 1) // step + 1 for size, taps, step, pad, apart in known]
    last = h.ndim == 4 and h.is_contiguous(memory_format=torch.channels_last)
    order = torch.channels_last if last else torch.contiguous_format
    return torch.empty((len(h), len(weight), *sizes), dtype=h.dtype, device=META, memory_format=order)


def _normalised(args: Sequence[Any]) -> tuple[Tensor, Tensor, Tensor]:
    h, axes = args[0], len(args[1])
    statistics = [*h.shape[:-axes], *[1] * axes]
    return _empty(h.shape, h), _empty(statistics, h), _empty(statistics, h)


def _attended(args: Sequence[Any]) -> tuple[Tensor, Tensor]:
    """The output of the CPU attention kernel, which stores no scores, and the log-sum-exp for its backward pass."""
    query = args[0]
    batch, heads, length, _ = query.shape
    sums = torch.empty((batch, length, heads), dtype=query.dtype if query.itemsize > 4 else torch.float32, device=META)
    return _like(query), sums.transpose(1, 2)


def _repeated(args: Sequence[Any]) -> Tensor:
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


def _spread(values: Sequence[Tensor]) -> tuple[int, ...]:
    """The broadcast shape of tensors; `torch.broadcast_shapes` would spend seconds on imports."""
    axes = max(value.ndim for value in values)
    return tuple(max(sizes) for sizes in zip(*((1,) * (axes - x.ndim) + x.shape for x in values), strict=True))


def _empty(shape: Sequence[int], like: Tensor | None = None, dtype: torch.dtype | None = None) -> Tensor:
    return torch.empty(tuple(shape), dtype=dtype if like is None else like.dtype, device=META)


KNOWN: dict[Any, Callable[[Sequence[Any]], Any]] = {
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
