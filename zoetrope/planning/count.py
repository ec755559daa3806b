"""Counting the operations of real code that runs on tensors without data."""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

from zoetrope.cascade.execution.dry import bare
from zoetrope.cascade.execution.meter import Meter
from zoetrope.cascade.execution.meter import dry as metered

OperationKind = Literal[
    "convolution",
    "matmul",
    "attention",
    "pointwise",
    "function",
    "norm",
    "copy",
    "rearrange",
    "select",
    "random",
    "view",
]
aten = torch.ops.aten

CONVOLUTIONS = {aten.convolution, aten.convolution_backward}
PRODUCTS = {aten.mm, aten.addmm, aten.bmm, aten.baddbmm}
ATTENTIONS: dict[Any, Callable[..., int]] = {
    aten._scaled_dot_product_flash_attention_for_cpu: sdpa_flop_count,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: sdpa_backward_flop_count,
}
KINDS: dict[Any, OperationKind] = {
    aten.native_layer_norm: "norm",
    aten.native_layer_norm_backward: "norm",
    aten._softmax: "norm",
    aten._safe_softmax: "norm",
    aten._softmax_backward_data: "norm",
    aten.silu: "function",
    aten.silu_backward: "function",
    aten.gelu: "function",
    aten.gelu_backward: "function",
    aten.exp: "function",
    aten.clone: "rearrange",
    aten.copy_: "copy",
    aten._to_copy: "copy",
    aten.cat: "copy",
    aten.stack: "copy",
    aten.kthvalue: "select",
    aten.sort: "select",
    aten.randn: "random",
    aten.normal_: "random",
    aten.rand: "random",
}
NOTHING = {aten.empty, aten.new_empty, aten.empty_like, aten.new_empty_strided, aten.empty_strided}


class Operation(NamedTuple):
    """The cost of one operation.

    Attributes:
        kind: products, and operations on whole tensors: "function" is a nonlinearity, "norm" a normalisation or
            softmax, "rearrange" a copy in another order, "select" a quantile; "view" moves nothing.
        backward: whether it belongs to a backward pass, for the kinds that work there differently.
        flops: floating-point operations of products; a multiplication and its addition are two.
        moved: bytes read and written.
        size: what its speed depends on: the mean width of a product or convolution, the mean length of attention, and
            of all others the bytes moved.
    """

    kind: OperationKind
    backward: bool
    flops: int
    moved: int
    size: int


Tally = Counter[Operation]


def flops_of(tally: Tally) -> int:
    """The floating-point operations of a tally."""
    return sum(operation.flops * count for operation, count in tally.items())


@contextmanager
def dry() -> Iterator[Meter[Operation]]:
    """A meter of bytes and operations, and tensors without data for all code inside."""
    with metered(operation_of) as meter:
        yield meter


def operation_of(func: Any, args: Any, kwargs: Any, out: Any) -> Operation | None:
    """The cost of a PyTorch call; None for a call without work."""
    packet = func._overloadpacket
    if packet in NOTHING:
        return None
    given = [x for x in tree_iter((args, kwargs)) if isinstance(x, Tensor)]
    made = [x for x in tree_iter(out) if isinstance(x, Tensor)]
    moved = sum(map(_bytes, given)) + sum(map(_bytes, made))
    if packet in CONVOLUTIONS:
        backward = packet is aten.convolution_backward
        weight = args[2] if backward else args[1]
        pointwise = math.prod(weight.shape[2:]) == 1  # a linear map that runs as a convolution
        width = math.isqrt(weight.shape[0] * weight.shape[1])
        flops = flop_registry[packet](*args, **kwargs, out_val=out)
        return Operation("matmul" if pointwise else "convolution", backward, flops, moved, width)
    if packet in PRODUCTS:
        right = given[-1]
        width = math.isqrt(right.shape[-2] * right.shape[-1])
        return Operation("matmul", False, flop_registry[packet](*args, **kwargs, out_val=out), moved, width)
    if packet in ATTENTIONS:
        backward = "backward" in packet.__name__
        shapes = [x.shape for x in args[: 4 if backward else 3]]
        length = math.isqrt(shapes[-3].numel() // shapes[-3][-1] * shapes[-2][-2] // math.prod(shapes[-3][:-2]))
        return Operation("attention", backward, ATTENTIONS[packet](*shapes), moved, length)
    storages = {bare(x).untyped_storage()._cdata for x in given}
    if made and not func._schema.is_mutable and all(bare(x).untyped_storage()._cdata in storages for x in made):
        return Operation("view", False, 0, 0, 0)
    return Operation(KINDS.get(packet, "pointwise"), "backward" in packet.__name__, 0, moved, moved)


def _bytes(tensor: Tensor) -> int:
    """The bytes that reading a tensor takes; an expanded one counts only its storage."""
    return min(tensor.numel() * tensor.itemsize, bare(tensor).untyped_storage().nbytes())
