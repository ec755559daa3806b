"""The cascade of the paper's size: 128 frames of 1280x768 in bfloat16, as `generate` would sample it, weights fresh.

Stages run one after the other, each from what the one before made. The last step is run under PyTorch's profiler; in
the sum of seconds it counts as the median of the others.
"""

import gc
import json
import statistics
from itertools import pairwise
from typing import Any

import torch
from _gpu_bench import Bench
from _machine import Place, matmul_of, probe
from _work import text_of
from paper_size import build, cascade
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from zoetrope.cascade.sample import Draw, sample_stage
from zoetrope.cascade.spec import StageSpec
from zoetrope.layers.fused import fused
from zoetrope.planning.work import sampling

STEPS, KERNELS = 8, 3
UNBOUNDED = 2**62  # bytes: no tiles


def stages(rehearse: bool) -> list[StageSpec]:
    """The paper's stages with few steps; for a rehearsal tiny ones, and only the first two."""
    return cascade(0.03, 3, (2, 4, 4), "tsr1") if rehearse else cascade(1.0, STEPS, None, None)


def counted(rehearse: bool) -> dict[str, int]:
    """The operations of a step of each stage in one piece, counted without data: minutes of one core at full size.

    What tiles compute twice is no part of them, wherever they are counted.
    """
    gpu = torch.device("cuda")
    return {one.name: sampling(one, torch.bfloat16, UNBOUNDED, gpu).flops_per_step for one in stages(rehearse)}


def run(bench: Bench) -> None:
    """Every stage, then their sum."""
    flops = counted(True) if bench.rehearse else {}
    if bench.options is not None and bench.options.counted is not None:
        flops = json.loads(bench.options.counted.read_text())
    here = Place(bench.here.device, torch.float32 if bench.rehearse else torch.bfloat16)
    video: list[Tensor] = []
    several = stages(bench.rehearse)
    for stage in several:
        if not bench.case(stage.name, lambda s=stage: measured(s, here, video, flops.get(s.name))):
            # The stages after it can be measured without it: values change neither time nor memory.
            video[:] = [torch.zeros(1, 3, *stage.shape.sizes, device=here.device)]
        gc.collect()
    found = bench.found()
    ran = [found[stage.name] for stage in several if stage.name in found]
    seconds, peak = sum(line["seconds"] for line in ran), max((line["peak bytes"] or 0 for line in ran), default=0)
    bench.tell("all that ran", stages=len(ran), seconds=seconds, **{"peak bytes": peak})


def measured(stage: StageSpec, here: Place, video: list[Tensor], flops: int | None) -> dict[str, Any]:
    """What sampling a stage takes, from the one `video` in the list, which its own replaces."""
    peak = probe(here)[matmul_of(here.dtype)]
    here.settle()
    begin = here.now()
    network = fused(build(stage, here, torch.float32), channels_last=True)
    built = here.now() - begin
    source = video[0] if video else None
    if here.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(here.device)
    draw = Draw(seed=0, samples=[0], device=here.device, dtype=here.dtype)
    running = sample_stage(stage, network, text_of(stage, here, 1), source, draw)
    times, made = [here.now()], None
    for _ in range(stage.sampling.length - 1):
        made = next(running)
        times.append(here.now())
        del made
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if here.device.type == "cuda" else [])]
    with profile(activities=activities) as seen:
        video[:] = [next(running)]
        here.now()
    steps = [after - before for before, after in pairwise(times)]
    usual = statistics.median(steps[1:] or steps)
    held = torch.cuda.max_memory_allocated(here.device) if here.device.type == "cuda" else None
    return {
        "shape": str(stage.shape),
        "parameters": sum(weight.numel() for weight in network.parameters()),
        "build s": built,
        "seconds": sum(steps) + usual,
        "first step s": steps[0],
        "step s": usual,
        "peak bytes": held,
        "of peak": None if flops is None else flops / usual / peak,
        "finite": bool(video[0].isfinite().all()),
        "largest kernels": kernels(seen, here),
    }


def kernels(seen: Any, here: Place) -> str:
    """The kernels that took longest, each with its share of all their time."""
    cuda = here.device.type == "cuda"
    took = [
        (event.self_device_time_total if cuda else event.self_cpu_time_total, event.key)
        for event in seen.key_averages()
        if not cuda or str(event.device_type).endswith("CUDA")
    ]
    whole = sum(time for time, _ in took) or 1
    return "; ".join(f"{name[:60]} {time / whole:.0%}" for time, name in sorted(took, reverse=True)[:KERNELS])
