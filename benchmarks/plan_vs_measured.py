"""What `zoetrope plan` predicts for the stages of a model on this CPU, beside what sampling them takes.

    python benchmarks/plan_vs_measured.py --model mini

Every stage is sampled in a process of its own, from noise and the given weights' shapes alone: neither time nor memory
depends on values. The CPU is calibrated right before and right after each measurement, so that a busy machine is busy
for both. `--clock cpu` counts processor time, for machines where other programs run; it means something with one
thread only (OMP_NUM_THREADS=1). Measured memory is the highest resident size less that before the network was built,
from /proc (Linux).
"""

import argparse
import ctypes
import gc
import json
import subprocess
import sys
import time
from pathlib import Path

import torch

from zoetrope.cascade.sample import Draw, sample_stage
from zoetrope.cascade.spec import StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.planning.calibrate import cpu
from zoetrope.planning.work import TOKENS, sampling
from zoetrope.training.precision import compute_dtype
from zoetrope.training.trained import gather

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
ROUNDS = 3


def main() -> None:
    """Measure every stage and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="mini")
    parser.add_argument("--until", help="last stage; the default is all of them")
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    parser.add_argument("--stage", help=argparse.SUPPRESS)
    options = parser.parse_args()
    stages = gather([options.model]).spec.until(options.until)
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


def _measured(stage: StageSpec, clock: str) -> dict[str, float]:
    """The median of a few videos, each with its own prediction, and the bytes that sampling adds to the process."""
    dtype, now = compute_dtype(torch.device("cpu")), CLOCKS[clock]
    short = stage.model_copy(update={"sampling": stage.sampling.model_copy(update={"steps": 1})})
    _sample(short, dtype)  # libraries set themselves up at the first use
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # what was freed is given back, or the second time would need no more
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the highest resident size is counted from here
    _sample(short, dtype)
    held = _status("VmHWM") - before
    work = sampling(stage, dtype)
    pairs = []
    for _ in range(ROUNDS):
        predicted = cpu(dtype, training=False, clock=now).seconds(work.whole)
        begin = now()
        _sample(stage, dtype)
        took = now() - begin
        predicted += cpu(dtype, training=False, clock=now).seconds(work.whole)
        pairs.append((predicted / 2, took))
    pairs.sort(key=lambda pair: pair[0] / pair[1])
    predicted, took = pairs[ROUNDS // 2]
    return {"predicted": predicted, "seconds": took, "bytes": held}


def _sample(stage: StageSpec, dtype: torch.dtype) -> None:
    network = stage.network.build().eval().requires_grad_(False)
    text = torch.randn(1, TOKENS, stage.network.text_width)
    source, video = stage.source, None
    if source is not None:
        video = torch.zeros(1, stage.network.channels, source.frames, source.height, source.width)
    given = Conditioning(text=text, text_mask=torch.ones(1, TOKENS, dtype=torch.bool))
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
