"""Which type a device computes in fastest without losing what training needs."""

import functools
import hashlib
import json
import os
import platform
import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import torch

from zoetrope.files import cache_folder
from zoetrope.strict_json import read_json

NATIVE = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")  # processor features that multiply bfloat16 matrices


def compute_dtype(device: torch.device, precision: Literal["auto", "fp32", "bf16"] = "auto") -> torch.dtype:
    """float32 or bfloat16; "auto" is bfloat16 where the device multiplies it natively, and faster.

    Of CPUs that do, some take half of float32's time, and some twice as long: that is tried once for a machine and a
    version of PyTorch, and kept in the cache folder, for what is computed depends on it. Where it cannot be kept,
    bfloat16 is for processors with AMX alone. Those that emulate it are known by their features, and not tried.
    """
    if precision != "auto":
        return torch.bfloat16 if precision == "bf16" else torch.float32
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities"):
        features = {name for name, there in torch.cpu.get_capabilities().items() if there is True}
        native = not features.isdisjoint(NATIVE)
        return torch.bfloat16 if native and _gains(frozenset(features)) else torch.float32
    return torch.float32


def settled_file(features: Iterable[str]) -> Path:
    """The file in the cache folder that keeps what was found on this machine; without it, it is tried again."""
    machine = [_processor(), platform.machine(), torch.__version__, *sorted(features)]
    name = hashlib.blake2b("\n".join(machine).encode(), digest_size=8).hexdigest()
    return cache_folder("precision") / f"{name}.json"


@functools.cache
def _gains(features: frozenset[str]) -> bool:
    """Whether this CPU multiplies bfloat16 faster than float32: as it was found once, or found and kept now."""
    file = settled_file(features)
    if (known := _kept(file)) is not None:
        return known
    took = {dtype: matmul_seconds(dtype, clock=time.process_time) for dtype in (torch.bfloat16, torch.float32)}
    gains = took[torch.bfloat16] < took[torch.float32]
    told = {"bf16_gains": gains, "processor": _processor(), "torch": torch.__version__}
    partial = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(told) + "\n")
        try:
            os.link(partial, file)  # unlike a rename, it fails if another process was faster: the first answer counts
        except FileExistsError:
            known = _kept(file)
            if known is None:  # damaged
                partial.replace(file)
            return gains if known is None else known
        finally:
            partial.unlink(missing_ok=True)
    except OSError:
        return "amx_bf16" in features
    return gains


def _kept(file: Path) -> bool | None:
    """What a file says, None if there is none that can be read."""
    try:
        value = read_json(file, longest=2**16)["bf16_gains"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return value if isinstance(value, bool) else None


def _processor() -> str:
    """The processor's name, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def matmul_seconds(dtype: torch.dtype, size: int = 512, clock: Callable[[], float] = time.perf_counter) -> float:
    """The shortest of a few timings of one matrix product on the CPU."""
    a = torch.ones(size, size, dtype=dtype)
    seconds = []
    for _ in range(8):
        start = clock()
        torch.mm(a, a)
        seconds.append(clock() - start)
    return min(seconds)
