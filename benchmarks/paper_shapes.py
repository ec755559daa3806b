"""Every stage of `imagen_video`, narrowed, on a CPU and on the grid of the paper: one lesson, and one step of sampling.

    python benchmarks/paper_shapes.py
    python benchmarks/paper_shapes.py --stages tsr2 tsr3 --disk /var/tmp     # activations in files, for less memory

The lesson is a forward and a backward pass on one clip of the shape that the recipe trains the stage on: the whole
shape, or crops of it; activations are recomputed. The step is what sampling does, once, for a whole video of the stage:
from text and a video of the stage before, with guidance, within a budget of memory. A stage that cannot do with the
budget gets the least that it can do with. Each of both runs in a process of its own, and peaks are of whole processes,
from /proc (Linux). Weights are fresh, for neither time nor memory depends on them.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from _machine import DTYPES, Place, described, place, status
from _options import positive
from _work import network_of, text_of

from zoetrope.cascade.execution.layout import Layout, least_memory, plan_layout
from zoetrope.cascade.sample import Draw, stage_video
from zoetrope.cascade.spec import StageSpec
from zoetrope.commands._options import bytes_named
from zoetrope.diffusion.loss import squared_error
from zoetrope.diffusion.prediction import target
from zoetrope.diffusion.process import diffuse
from zoetrope.inputs.low_res import low_res_given
from zoetrope.planning.work import TOKENS
from zoetrope.recipes.imagen_video import STAGES, recipe

LARGE = 2**24  # bytes of a tensor that is worth a file
HEAD = "stage | makes | parameters | learns from | forward + backward s | peak MB | tiles x frames | budget MB | step s"


@contextmanager
def shelf(folder: Path | None) -> Iterator[None]:
    """Where tensors that the backward pass needs are files in a folder, as long as this lasts; in memory for None."""
    if folder is None:
        yield
        return
    numbers = count()

    def put(tensor: Tensor) -> Any:
        if tensor.nbytes < LARGE or isinstance(tensor, nn.Parameter):
            return tensor
        path = Path(kept) / str(next(numbers))
        tensor.detach().reshape(-1).view(torch.uint8).numpy().tofile(path)
        return path, tensor.dtype, tensor.shape

    def take(what: Any) -> Tensor:
        if isinstance(what, Tensor):
            return what
        path, dtype, shape = what
        return torch.from_numpy(np.fromfile(path, np.uint8)).view(dtype).reshape(shape)

    with tempfile.TemporaryDirectory(dir=folder) as kept, torch.autograd.graph.saved_tensors_hooks(put, take):
        yield


def lesson(stage: StageSpec, here: Place, crop: tuple[int, int] | None, disk: Path | None) -> dict[str, Any]:
    """A forward and a backward pass on one clip. Raises FloatingPointError for a gradient that is not finite."""
    network = stage.network.build().train()
    shape = (stage.shape.frames, *(crop or (stage.shape.height, stage.shape.width)))
    x = torch.randn(1, stage.network.channels, *shape).clamp(-1, 1)
    given, eps, level = text_of(stage, here, 1), torch.randn_like(x), stage.schedule(torch.tensor([0.5]))
    if stage.source is not None:
        given = given | low_res_given(x, torch.zeros(1))

    def learn() -> None:
        with shelf(disk):
            with torch.autocast("cpu", here.dtype, enabled=here.dtype != torch.float32):
                output = network(diffuse(x, eps, level), level.logsnr.float(), given)
            squared_error(output, target(stage.prediction, x, eps, level)).sum().backward()

    seconds = here.seconds(learn)
    for name, parameter in network.named_parameters():
        if parameter.grad is not None and not parameter.grad.isfinite().all():
            raise FloatingPointError(f"{stage.name}: the gradient of {name} is not finite")
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return {"parameters": parameters, "clip": shape, "seconds": seconds, "peak_bytes": status("VmHWM")}


def step(stage: StageSpec, here: Place, memory: int) -> dict[str, Any]:
    """One step of a whole video. Raises FloatingPointError for a video that is not finite."""
    once = stage.with_(sampling=stage.sampling.with_(steps=1))
    budget = max(memory, least_memory(once, 1, TOKENS, here.device))
    layout = plan_layout(once, 1, TOKENS, budget, here.device)
    network, video, text = network_of(once, here), None, text_of(once, here, 1)
    if once.source is not None:
        video = torch.rand(1, once.network.channels, *once.source.sizes) * 2 - 1
    draw = Draw(seed=0, samples=[0], dtype=here.dtype, memory=budget)
    begin = here.now()
    x_hat = stage_video(once, network, text, video, draw)
    seconds = here.now() - begin
    peak = status("VmHWM")
    if x_hat.shape[2:] != stage.shape.sizes or not all(frame.isfinite().all() for frame in x_hat.unbind(2)):
        raise FloatingPointError(f"{stage.name}: expected a finite video of {stage.shape}, got {tuple(x_hat.shape)}")
    return {"budget_bytes": budget, "parts": _parts(layout, stage), "seconds": seconds, "peak_bytes": peak}


def _parts(layout: Layout, stage: StageSpec) -> str:
    """Tiles, and the frames that the network is given at a time."""
    return f"{len(layout.tiles)} x {layout.part or stage.shape.frames}"


def narrowed(options: argparse.Namespace, name: str) -> tuple[StageSpec, tuple[int, int] | None]:
    """A stage that recomputes activations, and the crop that it learns from, if it learns from crops."""
    given = recipe(options.width).override(f"{name}.network.checkpointing", True)
    return given.cascade.stage(name), given.train_spec(name).crop


def run(options: argparse.Namespace, name: str, part: str) -> dict[str, Any] | None:
    """What a process of its own measured; None, told on stderr, if it did not live to tell."""
    words = [sys.executable, __file__, "--stages", name, "--part", part, "--width", str(options.width)]
    words += ["--memory", f"{options.memory}B"] + (["--dtype", options.dtype] if options.dtype else [])
    words += ["--clock", options.clock] + (["--threads", str(options.threads)] if options.threads else [])
    words += ["--disk", str(options.disk)] if options.disk else []
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        print(f"{name}: its {part} ended with status {done.returncode}", file=sys.stderr)
        return None
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def row(name: str, found: dict[str, Any]) -> str:
    """A line of the table."""
    learnt, made = found["lesson"], found["step"]
    cells = [name, found["makes"], *["-"] * 8]
    if learnt is not None:
        clip = "x".join(map(str, learnt["clip"]))
        cells[2:6] = f"{learnt['parameters']:,}", clip, f"{learnt['seconds']:.1f}", f"{learnt['peak_bytes'] / 1e6:,.0f}"
    if made is not None:
        cells[6:8] = made["parts"], f"{made['budget_bytes'] / 1e6:,.0f}"
        cells[8:] = f"{made['seconds']:.1f}", f"{made['peak_bytes'] / 1e6:,.0f}"
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Measure the stages, each in processes of its own, and print a table."""
    names = [stage.name for stage in STAGES]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", nargs="+", choices=names, default=names, help="[all]")
    parser.add_argument("--width", type=float, default=1 / 16, help="widths are multiplied by it [1/16]")
    parser.add_argument("--memory", type=bytes_named, default=bytes_named("8GB"), help="of a step's process [8GB]")
    parser.add_argument("--disk", type=Path, help="a folder for what the backward pass needs [memory]")
    parser.add_argument("--dtype", choices=DTYPES, help="[what training would choose]")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--threads", type=positive, help="[all]")
    parser.add_argument("--json", type=Path, help="write all that was measured to this file")
    parser.add_argument("--part", choices=("lesson", "step"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    here = place("cpu", options.dtype, options.clock)
    torch.manual_seed(0)
    if options.part:
        stage, crop = narrowed(options, options.stages[0])
        done = (
            lesson(stage, here, crop, options.disk) if options.part == "lesson" else step(stage, here, options.memory)
        )
        print(json.dumps(done))
        return
    value: dict[str, Any] = described(here) | {"width": options.width, "disk": options.disk is not None, "stages": {}}
    print(f"| {HEAD} | peak MB |\n|" + "---|" * 10, flush=True)
    for name in options.stages:
        shape = narrowed(options, name)[0].shape
        found = {"makes": str(shape)} | {part: run(options, name, part) for part in ("lesson", "step")}
        value["stages"][name] = found
        print(row(name, found), flush=True)
        if options.json:
            options.json.write_text(json.dumps(value, indent=1) + "\n", "utf-8")
    if any(None in found.values() for found in value["stages"].values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
