"""Which type a device computes in fastest without losing what training needs."""

import time
from typing import Literal

import torch


def compute_dtype(device: torch.device, precision: Literal["auto", "fp32", "bf16"] = "auto") -> torch.dtype:
    """float32 or bfloat16; "auto" measures on a CPU, where bfloat16 may be native or emulated several times slower."""
    if precision != "auto":
        return torch.bfloat16 if precision == "bf16" else torch.float32
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    if device.type != "cpu":
        return torch.float32
    slow, fast = (matmul_seconds(dtype) for dtype in (torch.float32, torch.bfloat16))
    return torch.bfloat16 if fast < 0.7 * slow else torch.float32


def matmul_seconds(dtype: torch.dtype, size: int = 512) -> float:
    """The shortest of a few timings of one matrix product on the CPU."""
    a = torch.ones(size, size, dtype=dtype)
    seconds = []
    for _ in range(8):
        start = time.perf_counter()
        torch.mm(a, a)
        seconds.append(time.perf_counter() - start)
    return min(seconds)
