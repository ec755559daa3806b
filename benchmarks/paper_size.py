"""The cascade of the paper's size on one GPU, from text to 128 frames of 1280x768, with fresh weights: time and memory.

    python benchmarks/paper_size.py --out paper_size.json
    python benchmarks/paper_size.py --device cpu --shape 2 4 4 --width 0.03 --steps 2     # does it run at all?

Neither time nor memory depends on values, so that no weights are needed. Stages run one after the other, each from what
the one before it made, and only one network is in memory; the file is written anew after each. Reported of each stage
are seconds, in all and of each step; the highest memory; and the part that the steps after the first, which sets
libraries up, reached of the speed of a product of large matrices in the same type, measured right before.
"""

import argparse
import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from _machine import DTYPES, Place, described, matmul_of, place, probe
from _options import positive
from _work import sample

from zoetrope.cascade.spec import StageSpec
from zoetrope.networks import Network
from zoetrope.planning.work import sampling
from zoetrope.recipes.imagen_video import recipe
from zoetrope.shapes import VideoShape


def cascade(width: float, steps: int, base: Sequence[int] | None, until: str | None) -> list[StageSpec]:
    """The paper's stages with so many steps each; `base` (F, H, W) changes the base's shape, and the others with it."""
    stages: list[StageSpec] = []
    given = recipe(width).cascade
    first = given.stages[0].shape
    for stage in given.until(until):
        shape = stage.shape
        if base is not None:
            sides = zip(shape.sizes, first.sizes, base, strict=True)
            frames, height, wide = (own * new // old for own, old, new in sides)
            shape = VideoShape(frames=frames, height=height, width=wide, fps=shape.fps)
        source = stages[-1].shape if stages else None
        sampled = stage.sampling.with_(steps=steps)
        fields = {name: getattr(stage, name) for name in StageSpec.model_fields}
        stages.append(StageSpec(**fields | {"sampling": sampled}).on(shape, source))
    return stages


def build(stage: StageSpec, here: Place, weights: torch.dtype) -> Network:
    """A stage's network, made on the device: billions of fresh weights are there in a moment."""
    with here.device:
        network = stage.network.build().eval().requires_grad_(False)
    for matrix in network.matrices():
        matrix.data = matrix.data.to(weights)
    return network


def run(
    stage: StageSpec, here: Place, weights: torch.dtype, video: Tensor | None, count: bool
) -> tuple[Tensor, dict[str, Any]]:
    """What a stage makes, and what that took."""
    here.settle()
    peak = probe(here)[matmul_of(here.dtype)]
    begin = here.now()
    network = build(stage, here, weights)
    built = here.now() - begin
    own = list(network.parameters())
    made: list[tuple[Tensor, list[float]]] = []
    held = here.held(lambda: made.append(sample(stage, network, here, video)))
    [(result, times)] = made
    steps = [after - before for before, after in pairwise(times)]
    weight_bytes = sum(weight.nbytes for weight in own)
    found: dict[str, Any] = {
        "stage": stage.name,
        "shape": str(stage.shape),
        "parameters": sum(weight.numel() for weight in own),
        "build_seconds": built,
        "seconds": times[-1] - times[0],
        "step_seconds": steps,
        "weight_bytes": weight_bytes,
        "peak_bytes": None if held is None else weight_bytes + held,
        "matmul_flops_per_second": peak,
    }
    if count:
        work = sampling(stage, here.dtype, device=here.device)
        flops, settled = work.flops_per_step, statistics.median(steps[1:] or steps)
        found |= {"flops_per_step": flops, "of_peak": flops / settled / peak}
    return result, found


def write(path: Path, value: dict[str, Any]) -> None:
    """Replace the file as a whole."""
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(value, indent=1) + "\n", "utf-8")
    os.replace(part, path)


def main() -> None:
    """Run the stages and write what they took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("paper_size.json"))
    parser.add_argument("--steps", type=positive, default=8, help="of every stage [8]")
    parser.add_argument("--width", type=float, default=1.0, help="every network's width is multiplied by it [1]")
    parser.add_argument("--shape", type=positive, nargs=3, metavar=("F", "H", "W"), help="of the base [16 24 40]")
    parser.add_argument("--until", help="the last stage to run [all]")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="[cuda if there is one]")
    parser.add_argument("--dtype", choices=DTYPES, default="bf16")
    parser.add_argument(
        "--weights", choices=DTYPES, default="fp32", help="as which matrices are held [fp32, as generate does]"
    )
    parser.add_argument("--no-count", action="store_true", help="do not count operations: no fraction of the peak")
    options = parser.parse_args()
    here = place(options.device, options.dtype)
    value: dict[str, Any] = described(here) | {"width": options.width, "weights": options.weights, "stages": []}
    begin, video = time.perf_counter(), None
    for stage in cascade(options.width, options.steps, options.shape, options.until):
        video, found = run(stage, here, DTYPES[options.weights], video, not options.no_count)
        value["stages"].append(found)
        value["wall_seconds"] = time.perf_counter() - begin
        value["seconds"] = sum(each["seconds"] for each in value["stages"])
        write(options.out, value)
        print(json.dumps(found), flush=True)
        gc.collect()


if __name__ == "__main__":
    main()
