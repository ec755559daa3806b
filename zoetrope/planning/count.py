"""Operations and memory of real code run on tensors without data.

Inside `dry()` tensors have shapes, types and lifetimes but no values: the code that samples and trains runs as it is, a
network of billions of weights is built in a moment, and every operation that reaches PyTorch is counted, with the
memory that is alive when it runs.
"""

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

from zoetrope.cascade.execution.live import Live
from zoetrope.planning.known import LARGEST, Known, key_of, learn, replay

Kind = Literal[
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
KINDS: dict[Any, Kind] = {
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
    """One operation as far as its cost is concerned.

    Attributes:
        kind: products, and operations on whole tensors: "function" is a nonlinearity, "norm" a normalisation or
            softmax, "rearrange" a copy in another order, "select" a quantile; "view" moves nothing.
        backward: whether it belongs to a backward pass, for the kinds that work there differently.
        flops: floating-point operations of products; a multiplication and its addition are two.
        moved: bytes read and written.
        size: what its speed depends on: the mean width of a product or convolution, the mean length of attention, and
            of all others the bytes moved.
    """

    kind: Kind
    backward: bool
    flops: int
    moved: int
    size: int


Tally = Counter[Operation]
_known: dict[Hashable, Known[Operation | None]] = {}


def flops_of(tally: Tally) -> int:
    """The floating-point operations of a tally."""
    return sum(operation.flops * count for operation, count in tally.items())


class Meter(TorchDispatchMode):
    """Counts operations into `tally`, and bytes of the tensors that are alive, in `live`.

    Where the code asks for a value, as of a norm that decides a step, it gets 1: there are none here.
    """

    def __init__(self, mode: FakeTensorMode) -> None:
        super().__init__()
        self.mode = mode
        self.tally: Tally = Counter()
        self.live = Live()

    def restart(self) -> None:
        """Count from here: what was done so far is forgotten, what is alive stays."""
        self.tally = Counter()
        self.live.restart()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Not to be wrapped by what takes longer than the counting."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.prim.device.default:  # asked several times for each operation
            return args[0].fake_device
        kwargs = kwargs or {}
        if func._overloadpacket is aten._local_scalar_dense:
            return 1.0 if args[0].dtype.is_floating_point else 1
        if func.namespace == "prim":  # questions about a tensor, not work on it
            return func(*args, **kwargs)
        out, operation = self._done(func, args, kwargs)
        if operation is not None:
            self.tally[operation] += 1
        for tensor in tree_iter(out):
            if isinstance(tensor, Tensor):
                self.live.hold(tensor)
        return out

    def _done(self, func: Any, args: Any, kwargs: Any) -> tuple[Any, Operation | None]:
        """What an operation gives and costs; None for one that is no work."""
        told = key_of(func, args, kwargs)
        if told is None:
            out = func(*args, **kwargs)
            return out, _operation(func, args, kwargs, out)
        key, tensors = told
        if found := _known.get(key):
            return replay(found, self.mode, args, tensors), found.note
        out = func(*args, **kwargs)
        operation = _operation(func, args, kwargs, out)
        same = key_of(func, args, kwargs)  # as before, unless the arguments themselves were given another shape
        if len(_known) < LARGEST and same is not None and same[0] == key:
            new = learn(func, args, tensors, out, operation)
            if new is not None:
                _known[key] = new
        return out, operation


@contextmanager
def dry() -> Iterator[Meter]:
    """A meter, and tensors without data for all code inside."""
    with FakeTensorMode() as mode, Meter(mode) as meter:
        yield meter


def _operation(func: Any, args: Any, kwargs: Any, out: Any) -> Operation | None:
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
    storages = {x.untyped_storage()._cdata for x in given}
    if made and not func._schema.is_mutable and all(x.untyped_storage()._cdata in storages for x in made):
        return Operation("view", False, 0, 0, 0)
    return Operation(KINDS.get(packet, "pointwise"), "backward" in packet.__name__, 0, moved, moved)


def _bytes(tensor: Tensor) -> int:
    """What is read of a tensor: of one that is expanded only what is there."""
    return min(tensor.numel() * tensor.itemsize, tensor.untyped_storage().nbytes())
