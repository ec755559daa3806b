"""Training on several grids: packed, bucketed and padded batches compared on the same clips.

    python benchmarks/grids.py --rounds 5 --json grids.json
    python benchmarks/grids.py --network dit --examples 64 --steps 2 --device cuda

Each round learns once from the same numbers of clips of each grid, in each of these ways, by turns:

- packed: every step has clips of all grids, in one sequence (networks that pack);
- bucketed: every step has clips of one grid; the steps have about equally many pixels;
- padded: every step has clips of all grids, each in a frame of zeros as large and long as the largest. Nothing masks
  the zeros, so that this is the least that padding costs.

Counted is the time of the errors and their gradients, without data and optimizer. Printed are the medians: examples a
second, the share of pixels that belong to clips, and how many times as fast as padded batches a way is.
"""

import argparse
import json
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from _machine import CLOCKS, DTYPES, Place, place
from _options import positive

from zoetrope.cascade.spec import StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.inputs.text import text_given
from zoetrope.recipes import load_recipe
from zoetrope.shapes import VideoShape
from zoetrope.training.batch import Batch
from zoetrope.training.learner import Learner
from zoetrope.training.packed import PackedBatch
from zoetrope.training.players import networks_of, players_of
from zoetrope.training.spec import TrainSpec
from zoetrope.training.state import TrainState

TOKENS = 16
NETWORKS = {"dit": "dit", "unet": "mini"}
Steps = list[Batch] | list[PackedBatch]


def system(name: str) -> tuple[StageSpec, TrainSpec]:
    """The base stage of a network's recipe, and its training on the transformer's grids."""
    own, grids = load_recipe(NETWORKS[name]), load_recipe("dit").train_spec("base").grids
    spec = own.train_spec("base").with_(grids=grids, known=None, balance=False)
    return own.cascade.stage("base"), spec


def counts_of(spec: TrainSpec, examples: int) -> list[int]:
    """How many of so many examples each grid has, by its share; at least one."""
    total = sum(grid.share for grid in spec.grids)
    return [max(1, round(examples * grid.share / total)) for grid in spec.grids]


def batch_of(shape: VideoShape, count: int, size: int, first: int, stage: StageSpec, filled: VideoShape) -> Batch:
    """Random clips of `shape` in a corner of zeros of shape `filled`: numbers `first` and on of a batch of `size`."""
    x = torch.zeros(count, 3, *filled.sizes)
    x[:, :, : shape.frames, : shape.height, : shape.width] = torch.randn(count, 3, *shape.sizes)
    width = stage.network.text_width
    text = Conditioning()
    if width is not None:
        text = text_given(torch.randn(count, TOKENS, width), torch.ones(count, TOKENS, dtype=torch.bool))
    return Batch(
        x=x,
        conditioning=text,
        eps=torch.randn_like(x),
        times=torch.rand(size, dtype=torch.float64),
        part=torch.arange(first, first + count),
        names=("",) * count,
    )


def divided(count: int, parts: int) -> list[int]:
    """A number as a sum of so many, as alike as can be."""
    return [count // parts + (part < count % parts) for part in range(parts)]


def mixed(shapes: list[VideoShape], counts: list[int], steps: int, stage: StageSpec) -> Iterator[list[Batch]]:
    """The clips of each grid in each of so many steps."""
    shares = [divided(count, steps) for count in counts]
    for step in range(steps):
        own = [share[step] for share in shares]
        firsts = [sum(own[:number]) for number in range(len(own))]
        every = zip(shapes, own, firsts, strict=True)
        yield [batch_of(shape, n, sum(own), first, stage, shape) for shape, n, first in every if n]


def packed(shapes: list[VideoShape], counts: list[int], steps: int, stage: StageSpec) -> list[PackedBatch]:
    """Steps with clips of all grids."""
    return [PackedBatch(tuple(parts)) for parts in mixed(shapes, counts, steps, stage)]


def bucketed(shapes: list[VideoShape], counts: list[int], steps: int, stage: StageSpec) -> list[Batch]:
    """Steps with clips of one grid, of at most the pixels of a packed step, or one clip."""
    pixels = [shape.frames * shape.height * shape.width for shape in shapes]
    most = sum(count * own for count, own in zip(counts, pixels, strict=True)) / steps
    found = []
    for shape, count, own in zip(shapes, counts, pixels, strict=True):
        parts = -(-count // max(1, int(most / own)))
        found += [batch_of(shape, n, n, 0, stage, shape) for n in divided(count, parts)]
    return found


def padded(shapes: list[VideoShape], counts: list[int], steps: int, stage: StageSpec) -> list[Batch]:
    """Steps with clips of all grids in frames and lengths of the largest."""
    frames, height, width = (max(shape.sizes[axis] for shape in shapes) for axis in range(3))
    filled = VideoShape(frames=frames, height=height, width=width, fps=shapes[0].fps)
    shares = [divided(count, steps) for count in counts]
    sizes = [sum(share[step] for share in shares) for step in range(steps)]
    return [batch_of(filled, size, size, 0, stage, filled) for size in sizes]


WAYS: dict[str, Callable[[list[VideoShape], list[int], int, StageSpec], Steps]] = {
    "packed": packed,
    "bucketed": bucketed,
    "padded": padded,
}


def learner_of(stage: StageSpec, spec: TrainSpec, place: Place) -> tuple[Learner, TrainState]:
    """A learner with fresh weights."""
    networks = {name: config.build().to(place.device) for name, config in networks_of(stage, spec).items()}
    state = TrainState(players_of(networks, stage, spec, place.dtype), spec)
    return Learner(stage, spec, state.players, place.device, place.dtype), state


def measure(name: str, options: argparse.Namespace, place: Place) -> dict[str, Any]:
    """The ways of one network."""
    stage, spec = system(name)
    shapes = [grid.shape(stage.shape) for grid in spec.grids]
    counts = counts_of(spec, options.examples)
    learner, state = learner_of(stage, spec, place)
    own = sum(n * shape.frames * shape.height * shape.width for n, shape in zip(counts, shapes, strict=True))
    batches = {way: make(shapes, counts, options.steps, stage) for way, make in WAYS.items()}
    if not stage.network.packs:
        del batches["packed"]
    seen: dict[str, list[float]] = {way: [] for way in batches}
    for number in range(options.rounds + 1):
        for way, steps in batches.items():
            took = 0.0
            for step in steps:
                took += place.seconds(lambda step=step: learner.gradients("student", step, 1))
                state.skip(0)
            if number:  # the first is to warm up
                seen[way].append(sum(counts) / took)
    medians = {way: statistics.median(values) for way, values in seen.items()}
    useful = {way: own / sum(part.x[:, 0].numel() for step in steps for part in step.parts)
              for way, steps in batches.items()}  # fmt: skip
    for way, speed in medians.items():
        print(
            f"{name:5} {way:9} {speed:8.2f} examples/s in {len(batches[way])} steps, {useful[way]:4.0%} of the pixels "
            f"are clips', {speed / medians['padded']:.2f} x padded",
            flush=True,
        )
    return {"grids": [str(shape) for shape in shapes], "counts": counts, "all": seen, "medians": medians,
            "useful": useful}  # fmt: skip


def main() -> None:
    """Measure by turns and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", action="append", choices=list(NETWORKS), help="may be given several times; both")
    parser.add_argument("--rounds", type=positive, default=5)
    parser.add_argument("--examples", type=positive, default=24, help="of a round, over all grids")
    parser.add_argument("--steps", type=positive, default=2, help="that a round of packed or padded batches takes")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=DTYPES, default="fp32")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--threads", type=positive)
    parser.add_argument("--json", type=Path, help="a file for the numbers")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    here = place(options.device, options.dtype, options.clock)
    result = {name: measure(name, options, here) for name in options.network or list(NETWORKS)}
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
