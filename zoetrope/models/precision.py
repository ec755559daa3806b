"""The fastest dtype on a device that is precise enough for training."""

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
from zoetrope.files.plain import read_json

NATIVE = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")  # processor features that multiply bfloat16 matrices


def compute_dtype(device: torch.device, precision: Literal["auto", "fp32", "bf16"] = "auto") -> torch.dtype:
    """float32 or bfloat16; "auto" is bfloat16 where the device multiplies it natively, and faster.

    Among CPUs with native bfloat16, some take half of float32's time and some twice as long. This is measured once per
    machine and version of PyTorch and stored in the cache folder, because results depend on the dtype. Where it cannot
    be stored, only processors with AMX use bfloat16. Processors that emulate it are known by their features, and not
    measured.
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
    """The file in the cache folder with this machine's measurement; without it, the machine is measured again."""
    machine = [_processor(), platform.machine(), torch.__version__, *sorted(features)]
    name = hashlib.blake2b("\n".join(machine).encode(), digest_size=8).hexdigest()
    return cache_folder("precision") / f"{name}.json"


@functools.cache
def _gains(features: frozenset[str]) -> bool:
    """Whether this CPU multiplies bfloat16 faster than float32: as stored, or else measured and stored now."""
    file = settled_file(features)
    if (known := _kept(file)) is not None:
        return known
    took = {dtype: matmul_seconds(dtype, clock=time.process_time) for dtype in (torch.bfloat16, torch.float32)}
    gains = took[torch.bfloat16] < took[torch.float32]
    record = {"bf16_gains": gains, "processor": _processor(), "torch": torch.__version__}
    partial = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(record) + "\n")
        try:
            os.link(partial, file)  # unlike a rename, it fails if another process was first: its result counts
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
    """The measurement in a file; None if it is missing or unreadable."""
    try:
        value = read_json(file, longest=2**16)["bf16_gains"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return value if isinstance(value, bool) else None


def _processor() -> str:
    """The processor's name, as far as the system reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def matmul_seconds(dtype: torch.dtype, size: int = 512, clock: Callable[[], float] = time.perf_counter) -> float:
    """The shortest of a few timings of a matrix product on the CPU, in seconds."""
    a = torch.ones(size, size, dtype=dtype)
    seconds = []
    for _ in range(8):
        start = clock()
        torch.mm(a, a)
        seconds.append(clock() - start)
    return min(seconds)
