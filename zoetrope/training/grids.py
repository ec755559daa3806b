"""Grids that the batches of a training draw from: sizes, lengths and frame rates, each for a share of the examples.

The grids of all examples of a phase are in an order that has a closed form: which grid an example has, and how many
examples of each grid come before it, are functions of its position.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple

import torch
from pydantic import Field

from zoetrope.cascade.noise import seeded
from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.config import Config
from zoetrope.networks import NetworkConfig
from zoetrope.shapes import FramesPerSecond, VideoShape

if TYPE_CHECKING:
    from zoetrope.training.spec import Phase, TrainSpec


class Grid(Config):
    """One of the grids of a training's clips.

    Attributes:
        frames: of a clip; 1 is single images.
        height, width: of each, in pixels.
        fps: frames per second; None: the stage's. Fewer frames at the same rate are a shorter clip.
        share: of all examples, against the shares of the other grids.
    """

    frames: Annotated[int, Field(ge=1, le=10_000_000)]
    height: Annotated[int, Field(ge=1, le=131_072)]
    width: Annotated[int, Field(ge=1, le=131_072)]
    fps: FramesPerSecond | None = None
    share: Annotated[float, Field(ge=0.01, le=100)] = 1.0

    def shape(self, own: VideoShape) -> VideoShape:
        """The grid of its clips, for a stage whose own grid is `own`."""
        return VideoShape(frames=self.frames, height=self.height, width=self.width, fps=self.fps or own.fps)


class GridPlace(NamedTuple):
    """A position in the order of grids.

    Attributes:
        units: how many units are complete before it.
        tally: how many examples of each grid come before it.
        grid: the grid of the example there; left: how many examples its unit has from there on.
    """

    units: int
    tally: tuple[int, ...]
    grid: int
    left: int


class GridOrder(NamedTuple):
    """The grids of a phase's examples, in order.

    Units of one grid follow each other: whole batches where each batch has one grid, otherwise single examples. Each
    block of units has every grid in its share, rounded, in random order.

    Attributes:
        sizes: examples in a unit of each grid.
        ends: the sum of the shares of units up to each grid; the last is 1.
        seed, start: of the training, and the position of the phase in it.
    """

    sizes: tuple[int, ...] = (1,)
    ends: tuple[float, ...] = (1.0,)
    seed: int = 0
    start: int = 0

    @classmethod
    def of(cls, sizes: Sequence[int], shares: Sequence[float], seed: int, start: int) -> "GridOrder":
        """The order in which grids have these shares of the examples."""
        units = [share / size for share, size in zip(shares, sizes, strict=True)]
        ends = [sum(units[: number + 1]) / sum(units) for number in range(len(units))]
        return cls(tuple(sizes), (*ends[:-1], 1.0), seed, start)

    def at(self, within: int) -> GridPlace:
        """The place of the example at a position in the phase."""
        if len(self.sizes) == 1:
            units, gone = divmod(within, self.sizes[0])
            return GridPlace(units, (within,), 0, self.sizes[0] - gone)
        block = self._block_at(within)
        units = block * self._length
        tally = [count * size for count, size in zip(self._counts(units), self.sizes, strict=True)]
        position = sum(tally)
        for grid in self._grids(block):
            size = self.sizes[grid]
            if position + size > within:
                tally[grid] += within - position
                return GridPlace(units, tuple(tally), grid, position + size - within)
            units, position = units + 1, position + size
            tally[grid] += size
        raise AssertionError("a block ends where the next one begins")

    def grids(self, within: int, count: int) -> list[int]:
        """The grid of each of `count` examples from a position in the phase on."""
        found = list[int]()
        while len(found) < count:
            place = self.at(within + len(found))
            found += [place.grid] * min(place.left, count - len(found))
        return found

    @property
    def _length(self) -> int:
        """Units in a block: enough that each grid has at least one in every block."""
        shares = [end - begin for begin, end in zip((0.0, *self.ends), self.ends, strict=False)]
        return math.ceil(2 / min(shares))

    def _counts(self, units: int) -> list[int]:
        """How many of the first `units`, of whole blocks, each grid has."""
        ends = [math.floor(units * end) for end in self.ends]
        return [end - begin for begin, end in zip((0, *ends), ends, strict=False)]

    def _block_at(self, within: int) -> int:
        """The block that a position lies in."""
        low, high = 0, within // (self._length * min(self.sizes)) + 1
        while high - low > 1:
            middle = (low + high) // 2
            counts = self._counts(middle * self._length)
            begins = sum(count * size for count, size in zip(counts, self.sizes, strict=True))
            low, high = (middle, high) if begins <= within else (low, middle)
        return low

    def _grids(self, block: int) -> list[int]:
        """The grid of each unit of a block."""
        before, after = (self._counts(number * self._length) for number in (block, block + 1))
        all_of = [grid for grid in range(len(self.sizes)) for _ in range(after[grid] - before[grid])]
        draw = torch.Generator().manual_seed(seeded(self.seed, f"grids {self.start}", block))
        return [all_of[place] for place in torch.randperm(len(all_of), generator=draw).tolist()]


def order_of(spec: "TrainSpec", number: int) -> GridOrder:
    """The order of the grids in the phase of that number, by batches or, where these are packed, by examples."""
    batch, start = spec.phases[number].batch, sum(phase.examples for phase in spec.phases[:number])
    if not spec.grids:
        return GridOrder(sizes=(batch,))
    sizes = [1] * len(spec.grids) if _packed(spec) else _sizes(spec, spec.phases[number])
    return GridOrder.of(sizes, [grid.share for grid in spec.grids], spec.seed, start)


def _sizes(spec: "TrainSpec", phase: "Phase") -> list[int]:
    """The examples in a batch of each grid: as many for all, or with about the pixels that a batch of the first has."""
    if not spec.same_pixels:
        return [phase.batch] * len(spec.grids)
    pixels = [(phase.frames or grid.frames) * grid.height * grid.width for grid in spec.grids]
    return [max(1, round(phase.batch * pixels[0] / own)) for own in pixels]


def _packed(spec: "TrainSpec") -> bool:
    return bool(spec.grids) and spec.grid_batches == "packed"


def size_at(spec: "TrainSpec", examples: int) -> int:
    """How many examples the batch at this position has: the last one of a phase may be smaller."""
    phase, left = spec.phase_at(examples)
    size = phase.batch
    if spec.grids and not _packed(spec) and left:
        number, within = phase_number(spec, examples)
        size = order_of(spec, number).at(within).left
    return min(size, left) if left else size


def stretches(spec: "TrainSpec") -> list[tuple["Phase", list[int]]]:
    """The phases, divided into stretches whose batches are alike, whatever their order.

    Each stretch is a phase with its own numbers of examples and of examples in a batch, and the latter for each grid.
    """
    if not spec.grids:
        return [(phase, [phase.batch]) for phase in spec.phases]
    total = sum(grid.share for grid in spec.grids)
    shares, found = [grid.share / total for grid in spec.grids], list[tuple["Phase", list[int]]]()
    for phase in spec.phases:
        if _packed(spec):
            ends = [round(phase.batch * sum(shares[: number + 1])) for number in range(len(shares))]
            found.append((phase, [end - begin for begin, end in zip((0, *ends), ends, strict=False)]))
            continue
        for number, size in enumerate(_sizes(spec, phase)):
            own = phase.with_(examples=max(1, round(shares[number] * phase.examples)), batch=size)
            found.append((own, [size if other == number else 0 for other in range(len(shares))]))
    return found


def phase_number(spec: "TrainSpec", examples: int) -> tuple[int, int]:
    """The number of the phase that the example at a position belongs to, and the position within it."""
    start = 0
    for number, phase in enumerate(spec.phases):
        if examples < start + phase.examples or number == len(spec.phases) - 1:
            break
        start += phase.examples
    return number, examples - start


def batches_before(spec: "TrainSpec", number: int, within: int) -> int:
    """How many batches of a phase begin before a position within it."""
    if within and spec.grids and not _packed(spec):
        return order_of(spec, number).at(within - 1).units + 1
    return -(-within // spec.phases[number].batch)


def clip_shapes(stage: StageSpec, spec: "TrainSpec", phase: "Phase") -> tuple[VideoShape, ...]:
    """The shapes of a phase's clips: those of the spec's grids, in their order, or the one of the stage's own.

    Fewer frames in a phase are spread over the same seconds.
    """
    found = []
    for shape in [grid.shape(stage.shape) for grid in spec.grids] or [stage.shape]:
        frames = phase.frames or shape.frames
        found.append(shape.with_(frames=frames, fps=shape.fps * frames / shape.frames))
    return tuple(found)


def at_rates(stage: StageSpec, shape: VideoShape, phase: "Phase") -> tuple[VideoShape, ...]:
    """The shapes of a phase's clips of `shape` at each of the phase's rates, if it has some; pictures have none."""
    rates = phase.rates if shape.frames > 1 else ()
    return tuple(shape.with_(fps=shape.fps * rate / stage.shape.fps) for rate in rates) or (shape,)


def with_grids(cascade: CascadeSpec, training: Mapping[str, "TrainSpec"]) -> CascadeSpec:
    """The cascade whose stages know the grids that they are trained on."""
    stages = [
        stage.with_(grids=tuple(grid.shape(stage.shape) for grid in training[stage.name].grids))
        if stage.name in training and training[stage.name].grids
        else stage
        for stage in cascade.stages
    ]
    return cascade if stages == list(cascade.stages) else cascade.with_(stages=tuple(stages))


def check_grids(stage: StageSpec, spec: "TrainSpec") -> None:
    """Raise ValueError for grids that a stage cannot be trained on, with what would be legal."""
    if not spec.grids:
        if spec.same_pixels or spec.grid_batches == "packed":
            raise ValueError("grids: expected some for same_pixels and packed batches, got none")
        return
    if stage.source is not None:
        raise ValueError("grids: expected none for a stage with a source, whose clips have the grid of its own video")
    shapes = [grid.shape(stage.shape) for grid in spec.grids]
    for number, shape in enumerate(shapes):
        if shape in shapes[:number]:
            raise ValueError(f"grids.{number}: expected every grid once, got {shape} twice")
        try:
            stage.network.check(*shape.sizes)
            if spec.known is not None and shape.frames > 1:
                spec.known.check(shape.frames, False)
        except ValueError as error:
            raise ValueError(f"grids.{number}: {shape}: {error}") from None
    if any(phase.rates for phase in spec.phases):
        raise ValueError("phases: expected no rates with grids, which have frame rates of their own")
    if any(phase.frames not in (None, 1) for phase in spec.phases):
        raise ValueError("phases: expected frames 1 or none with grids, which say how many frames clips have")
    if _packed(spec):
        _check_packed(stage, spec)


def _check_packed(stage: StageSpec, spec: "TrainSpec") -> None:
    if spec.same_pixels:
        raise ValueError("same_pixels: expected false for packed batches, which all have clips of every grid")
    lengths = {grid.frames > 1 for grid in spec.grids}
    if spec.parallel.kind() == "sharded" and len(lengths) > 1:
        # Layers over time have no gradients where a process has images alone, and shards are of what all have.
        raise ValueError("parallel: expected 'replicated' for packed batches of clips and images, got 'sharded'")
    if not stage.network.packs:
        able = " or ".join(name for name in NetworkConfig.names() if NetworkConfig.named(name).packs)
        got = stage.network.kind()
        raise ValueError(f"grid_batches: expected 'bucketed' for {got!r}, which takes one grid at a time; {able} packs")
