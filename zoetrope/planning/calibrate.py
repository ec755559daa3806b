"""The current speed of this CPU at the operations of networks: a second of small trials, each kind in a few sizes."""

import math
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm, scaled_dot_product_attention, silu

from zoetrope.cascade.noise import video_noise
from zoetrope.cascade.room import installed
from zoetrope.diffusion.quantile import quantile
from zoetrope.layers.convolution import SpatialConv
from zoetrope.layers.linear import Linear
from zoetrope.planning.count import Operation, OperationKind
from zoetrope.planning.devices import Device
from zoetrope.shapes import VideoShape

ROUNDS = 3
PIXELS = (24, 40)  # height and width that products are tried on
HEAD, HEADS = 32, 4
Clock = Callable[[], float]
Key = tuple[OperationKind, bool]


class Trial(NamedTuple):
    """A kind of operation at one size: a function that runs it, and its amount, in FLOPs or bytes moved."""

    key: Key
    size: int
    amount: float
    run: Callable[[], Any]


class Speed(NamedTuple):
    """Seconds for each unit, at sizes in rising order."""

    sizes: Sequence[int]
    seconds: Sequence[float]

    def at(self, size: int) -> float:
        """Seconds per unit at any size: interpolated by a power law, constant beyond the sizes tried."""
        place = bisect_left(self.sizes, size)
        if place == 0 or place == len(self.sizes):
            return self.seconds[min(place, len(self.sizes) - 1)]
        low, high = self.sizes[place - 1 : place + 1]
        share = math.log(size / low) / math.log(high / low)
        return math.exp((1 - share) * math.log(self.seconds[place - 1]) + share * math.log(self.seconds[place]))


def cpu(dtype: torch.dtype, *, training: bool = True, clock: Clock = time.perf_counter) -> Device:
    """This machine's CPU at its current load. Without `training` backward passes are not tried."""
    with torch.random.fork_rng(devices=[]):
        trials = list(_trials(dtype, training))
        took = _timed(trials, clock)
        small = torch.zeros(1)
        begin = [Trial(("view", False), 1, 1, lambda: small.view(1, 1)), Trial(("pointwise", False), 1, 1, small.neg)]
        view, start = _timed(begin, clock, repeat=200)
    speeds: dict[Key, Speed] = {}
    for key, group in groupby(zip(trials, took, strict=True), lambda pair: pair[0].key):
        pairs = list(group)
        units = [max(seconds - start, 0.1 * seconds) / trial.amount for trial, seconds in pairs]
        speeds[key] = Speed([trial.size for trial, _ in pairs], units)

    def price(operation: Operation) -> float:
        if operation.kind == "view":
            return view
        key = (operation.kind, operation.backward)
        speed = speeds[key if key in speeds else (operation.kind, False)]
        return start + speed.at(operation.size) * (operation.flops or operation.moved)

    threads = torch.get_num_threads()
    name = f"this CPU, {threads} thread{'s' if threads > 1 else ''}"
    return Device("cpu", name, installed(), dtype, price)


def _timed(trials: Sequence[Trial], clock: Clock, repeat: int = 1) -> list[float]:
    """The median seconds of each trial, run in turns so that slow moments affect all alike."""
    for trial in trials:
        trial.run()
    rounds = []
    for _ in range(ROUNDS):
        seconds = []
        for trial in trials:
            begin = clock()
            for _ in range(repeat):
                trial.run()
            seconds.append((clock() - begin) / repeat)
        rounds.append(seconds)
    return [sorted(each)[ROUNDS // 2] for each in zip(*rounds, strict=True)]


def _trials(dtype: torch.dtype, training: bool) -> Iterator[Trial]:
    for backward in (False, True) if training else (False,):
        for width, frames in ((32, 16), (64, 16), (192, 4), (384, 1)):
            x = torch.randn(1, frames, *PIXELS, width, dtype=dtype)
            flops = 2 * 9 * width * x.numel() * (2 if backward else 1)
            run = _of_layer(SpatialConv(width, width).to(dtype), x, backward)
            yield Trial(("convolution", backward), width, flops, run)
    for width, frames in ((32, 16), (96, 16), (256, 4), (768, 2)):
        x = torch.randn(1, frames, *PIXELS, width, dtype=dtype)
        run = _of_layer(Linear(width, width).to(dtype), x, False)
        yield Trial(("matmul", False), width, 2 * width * x.numel(), run)
    for backward in (False, True) if training else (False,):
        for length in (16, 64, 256):
            yield _attention(length, dtype, backward)
    yield from _on_whole_tensors(dtype, training)


def _attention(length: int, dtype: torch.dtype, backward: bool) -> Trial:
    count = max(1, 2048 // length)
    q, k, v = torch.randn(3, count, length, HEADS, HEAD, dtype=dtype).transpose(2, 3).unbind(0)
    bias = torch.zeros(1, HEADS, length, length, dtype=dtype)
    flops = 4 * count * HEADS * length**2 * HEAD * (2.5 if backward else 1)
    if not backward:
        return Trial(("attention", False), length, flops, lambda: scaled_dot_product_attention(q, k, v, attn_mask=bias))
    q = q.detach().requires_grad_()
    out = scaled_dot_product_attention(q, k, v, attn_mask=bias)
    return Trial(("attention", True), length, flops, _backward(out, [q]))


def _on_whole_tensors(dtype: torch.dtype, training: bool) -> Iterator[Trial]:
    """Operations whose price goes by the bytes they move, sorted by kind and size.

    The last size is beyond what allocators keep: its result is new memory, which costs more than what is done with it.
    """
    sizes = [torch.randn(count, 64, dtype=dtype) for count in (2**9, 2**14, 2**16, 2**19)]
    width, item = 64, dtype.itemsize
    scale = torch.ones(width)
    made: list[tuple[Key, int, Callable[[Tensor], Callable[[], Any]]]] = [
        (("pointwise", False), 3, lambda x: lambda: torch.add(x, x)),
        (("function", False), 2, lambda x: lambda: silu(x)),
        (("norm", False), 2, lambda x: lambda: layer_norm(x, (width,), scale, scale)),
        (("copy", False), 2, lambda x: lambda: torch.cat([x[:1], x[1:]])),
        (("rearrange", False), 2, lambda x: lambda: x.view(8, -1, width).transpose(0, 1).contiguous()),
        (("random", False), 1, lambda x: _noise(*x.shape)),
        (("select", False), 1, lambda x: lambda: quantile(x.flatten()[None].float(), 0.995)),
    ]
    if training:
        made += [
            (("function", True), 3, lambda x: _backward(gelu(y := x.detach().requires_grad_()), [y])),
            (
                ("norm", True),
                3,
                lambda x: _backward(layer_norm(y := x.detach().requires_grad_(), (width,), scale, scale), [y]),
            ),
        ]
    for key, passes, make in made:
        for x in sizes[:2] if key[0] in ("random", "select") else sizes:
            moved = passes * x.numel() * (item if key[0] not in ("random", "select") else 4)
            yield Trial(key, moved, moved, make(x))


def _noise(height: int, width: int) -> Callable[[], Any]:
    """A frame of a video's noise."""
    shape = VideoShape(frames=1, height=height, width=width, fps=1)
    return lambda: video_noise(0, 0, "start", shape, 1)


def _of_layer(layer: nn.Module, x: Tensor, backward: bool) -> Callable[[], Any]:
    """A layer's forward pass, or its backward pass alone, to input and weights."""
    if not backward:
        layer.requires_grad_(False)
        return lambda: layer(x)
    return _backward(layer(x.requires_grad_()), [x, *layer.parameters()])


def _backward(out: Tensor, inputs: Sequence[Tensor]) -> Callable[[], Any]:
    gradient = torch.ones_like(out)
    return lambda: torch.autograd.grad(out, inputs, gradient, retain_graph=True)
