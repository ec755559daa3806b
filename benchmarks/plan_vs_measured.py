"""What `zoetrope plan` predicts for the stages of a model on this CPU, beside what sampling them takes.

    python benchmarks/plan_vs_measured.py --model mini
    python benchmarks/plan_vs_measured.py --train mini --until ssr2

Every stage is sampled in a process of its own, from noise and the given weights' shapes alone: neither time nor memory
depends on values. The CPU is calibrated right before and right after each measurement, so that a busy machine is busy
for both. `--clock cpu` counts processor time, for machines where other programs run; it means something with one
thread only (OMP_NUM_THREADS=1). Measured memory is the highest resident size less that before the network was built,
from /proc (Linux).

--train RECIPE takes batches of every stage's training instead, a line for each phase of its curriculum. Seconds are
of a batch, the median of those after the first two; data are made while the one before is learnt from.
"""

import argparse
import ctypes
import gc
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from _machine import CLOCKS, expect_clock

from zoetrope.cascade.sample import Draw, sample_stage
from zoetrope.cascade.spec import StageSpec
from zoetrope.inputs.text import text_given
from zoetrope.layers.fused import fused
from zoetrope.models.opening import open_model
from zoetrope.models.precision import compute_dtype
from zoetrope.networks import Network
from zoetrope.planning.calibrate import cpu
from zoetrope.planning.work import TOKENS, sampling, shortened, training
from zoetrope.recipes import load_recipe
from zoetrope.training.loop import Run
from zoetrope.training.spec import Recipe, TrainSpec

ROUNDS = 3
BATCHES = 9


def main() -> None:
    """Measure every stage and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="mini")
    parser.add_argument("--until", help="last stage; the default is all of them")
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    parser.add_argument("--train", metavar="RECIPE", help="measure training instead of sampling")
    parser.add_argument("--stage", help=argparse.SUPPRESS)
    parser.add_argument("--phase", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    expect_clock(options.clock)
    if options.train:
        _training(options)
        return
    stages = open_model([options.model]).spec.until(options.until)
    if options.stage:
        [stage] = [stage for stage in stages if stage.name == options.stage]
        print(json.dumps(_measured(stage, options.clock)))
        return
    print("| stage | predicted s | measured s | ratio | predicted MB | measured MB | ratio |")
    print("|---|---|---|---|---|---|---|")
    for stage in stages:
        words = [sys.executable, __file__, "--model", options.model, "--clock", options.clock, "--stage", stage.name]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        print(_row(stage, json.loads(done.stdout.splitlines()[-1])), flush=True)


def _row(stage: StageSpec, measured: dict[str, float]) -> str:
    peak = sampling(stage, compute_dtype(torch.device("cpu"))).peak / 1e6
    seconds, took, held = measured["predicted"], measured["seconds"], measured["bytes"] / 1e6
    times = f"{seconds:.2f} | {took:.2f} | {seconds / took:.2f}"
    return f"| {stage.name} | {times} | {peak:.0f} | {held:.0f} | {peak / held:.2f} |"


def _training(options: argparse.Namespace) -> None:
    """Measure every phase of every stage's curriculum, in a process each, and print a table."""
    recipe = load_recipe(options.train)
    if options.stage:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(_learnt(recipe, options.stage, options.phase, options.clock, Path(folder))))
        return
    print("| stage | phase | predicted s | measured s | ratio | predicted MB | measured MB | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for stage in recipe.cascade.until(options.until):
        for number, phase in enumerate(recipe.train_spec(stage.name).phases):
            words = ["--train", options.train, "--clock", options.clock, "--stage", stage.name, "--phase", str(number)]
            done = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True, check=True)
            told = json.loads(done.stdout.splitlines()[-1])
            frames = recipe.train_spec(stage.name).span or phase.frames or stage.shape.frames
            cells = [stage.name, f"{phase.batch} of {frames} frames"]
            for what, form in (("seconds", ".3f"), ("MB", ".0f")):
                predicted, measured = told[f"predicted {what}"], told[what]
                cells += [format(predicted, form), format(measured, form), f"{predicted / measured:.2f}"]
            print("| " + " | ".join(cells) + " |", flush=True)


def _learnt(recipe: Recipe, name: str, number: int, clock: str, folder: Path) -> dict[str, float]:
    """What a batch of a phase takes, and what its plan says of it."""
    dtype, now = compute_dtype(torch.device("cpu")), CLOCKS[clock]
    spec, stage = recipe.train_spec(name), recipe.cascade.stage(name)
    phase = spec.phases[number]
    few = phase.with_(examples=BATCHES * phase.batch)
    often = {"log_every": phase.batch, "checkpoint_every": few.examples, "sample_every": 0}
    spec = spec.with_(phases=(few,), warm_up=0, cool_down=0, **often)
    [(_, tally, peak)] = training(stage, spec, dtype).phases
    predicted = cpu(dtype, clock=now).seconds(tally)
    once = spec.with_(phases=(few.with_(examples=phase.batch),))
    _batches(recipe, name, once, folder / "once", now)  # libraries set themselves up at the first use
    before = _rested()
    took = _batches(recipe, name, spec, folder / "run", now)
    held = _status("VmHWM") - before
    predicted = (predicted + cpu(dtype, clock=now).seconds(tally)) / 2
    seconds = median(took[2:])
    return {"predicted seconds": predicted, "seconds": seconds, "predicted MB": peak / 1e6, "MB": held / 1e6}


def _batches(recipe: Recipe, name: str, spec: TrainSpec, folder: Path, now: Callable[[], float]) -> list[float]:
    """The seconds of each batch of a training."""
    run = Run(recipe.with_(training={name: spec}), name, folder, torch.device("cpu"))
    took, last = [], now()
    for _ in run.train():
        took.append(now() - last)
        last = now()
    return took


def _rested() -> int:
    """The resident size now that nothing runs; the highest one is counted from here."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # what was freed is given back, or the second time would need no more
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _measured(stage: StageSpec, clock: str) -> dict[str, float]:
    """The median of a few videos, each with its own prediction, and the bytes that sampling adds to the process."""
    dtype, now = compute_dtype(torch.device("cpu")), CLOCKS[clock]
    short = shortened(stage, 1)
    _sample(short, dtype)  # libraries set themselves up at the first use
    before = _rested()
    _sample(short, dtype)
    held = _status("VmHWM") - before
    work = sampling(stage, dtype)
    network, pairs = fused(stage.network.build().eval()), list[tuple[float, float]]()
    for _ in range(ROUNDS):
        predicted = cpu(dtype, training=False, clock=now).seconds(work.whole)
        begin = now()
        _sample(stage, dtype, network)
        took = now() - begin
        predicted += cpu(dtype, training=False, clock=now).seconds(work.whole)
        pairs.append((predicted / 2, took))
    pairs.sort(key=lambda pair: pair[0] / pair[1])
    predicted, took = pairs[ROUNDS // 2]
    return {"predicted": predicted, "seconds": took, "bytes": held}


def _sample(stage: StageSpec, dtype: torch.dtype, network: Network | None = None) -> None:
    """Sample a video; without a network one is built for it."""
    network = fused(stage.network.build().eval()) if network is None else network
    text = torch.randn(1, TOKENS, stage.network.text_width)
    source, video = stage.source, None
    if source is not None:
        video = torch.zeros(1, stage.network.channels, source.frames, source.height, source.width)
    given = text_given(text, torch.ones(1, TOKENS, dtype=torch.bool))
    for _ in sample_stage(stage, network, given, video, Draw(seed=0, samples=[0], dtype=dtype)):
        pass


def _status(name: str) -> int:
    """A size of this process in bytes, as the kernel counts it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"/proc/self/status: has no {name}")


if __name__ == "__main__":
    main()
