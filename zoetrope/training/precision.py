"""Which type a device computes in fastest without losing what training needs."""

import functools
import time
from collections.abc import Callable
from typing import Literal

import torch

NATIVE = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")  # processor features that multiply bfloat16 matrices


def compute_dtype(device: torch.device, precision: Literal["auto", "fp32", "bf16"] = "auto") -> torch.dtype:
    """float32 or bfloat16; "auto" is bfloat16 where the device multiplies it natively, and faster.

    Of CPUs that do, some take half of float32's time, and some twice as long. Those that do not emulate it, several
    times slower; they are known by their features, and not tried.
    """
    if precision != "auto":
        return torch.bfloat16 if precision == "bf16" else torch.float32
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities"):
        features = torch.cpu.get_capabilities()
        return torch.bfloat16 if any(features.get(name) for name in NATIVE) and _gains() else torch.float32
    return torch.float32


@functools.cache
def _gains() -> bool:
    """Whether this CPU multiplies bfloat16 faster than float32.

    A trial of some milliseconds of processor time, which does not pass while other processes run. Its answers lie so
    far apart that a busy machine finds the same, and equal seeds give equal videos.
    """
    took = {dtype: matmul_seconds(dtype, clock=time.process_time) for dtype in (torch.bfloat16, torch.float32)}
    return took[torch.bfloat16] < took[torch.float32]


def matmul_seconds(dtype: torch.dtype, size: int = 512, clock: Callable[[], float] = time.perf_counter) -> float:
    """The shortest of a few timings of one matrix product on the CPU."""
    a = torch.ones(size, size, dtype=dtype)
    seconds = []
    for _ in range(8):
        start = clock()
        torch.mm(a, a)
        seconds.append(clock() - start)
    return min(seconds)
