"""Which type a device computes in fastest without losing what training needs."""

import time
from typing import Literal

import torch

NATIVE = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")  # processor features that multiply bfloat16 matrices


def compute_dtype(device: torch.device, precision: Literal["auto", "fp32", "bf16"] = "auto") -> torch.dtype:
    """float32 or bfloat16; "auto" is bfloat16 where the device multiplies it natively.

    A CPU without it emulates bfloat16 several times slower than float32. Decided by what the processor is, not by a
    timing, so that equal seeds give equal videos on equal machines, busy or not.
    """
    if precision != "auto":
        return torch.bfloat16 if precision == "bf16" else torch.float32
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities"):
        features = torch.cpu.get_capabilities()
        return torch.bfloat16 if any(features.get(name) for name in NATIVE) else torch.float32
    return torch.float32


def matmul_seconds(dtype: torch.dtype, size: int = 512) -> float:
    """The shortest of a few timings of one matrix product on the CPU."""
    a = torch.ones(size, size, dtype=dtype)
    seconds = []
    for _ in range(8):
        start = time.perf_counter()
        torch.mm(a, a)
        seconds.append(time.perf_counter() - start)
    return min(seconds)
