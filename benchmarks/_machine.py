"""What all benchmarks measure with: clocks, memory, this machine's own peaks, and a description of it."""

import ctypes
import gc
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

sys.path.append(str(Path(__file__).parents[1] / ".carried"))  # from `make carried`, for what is not installed

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
PROBES = ("matmul fp32", "matmul bf16", "copy")  # FLOP/s, FLOP/s, bytes read and written a second
TRIES, LEAST = 3, 0.01  # of each probe, of which the fastest counts; seconds of one


class Place(NamedTuple):
    """Where things run: a device, and the type that networks compute in there, and how time is told."""

    device: torch.device
    dtype: torch.dtype
    clock: str = "wall"

    def now(self) -> float:
        """Seconds, when all that was asked of the device is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return CLOCKS[self.clock]()

    def seconds(self, run: Callable[[], Any]) -> float:
        """What a call takes."""
        begin = self.now()
        run()
        return self.now() - begin

    def settle(self) -> None:
        """Give back what is held and not used, before memory is measured."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        elif sys.platform == "linux":
            ctypes.CDLL(None).malloc_trim(0)

    def held(self, run: Callable[[], Any]) -> int | None:
        """Bytes that a call adds at its peak: of a GPU as PyTorch counts, else of resident memory, on Linux alone."""
        self.settle()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            before = torch.cuda.memory_allocated(self.device)
            run()
            return torch.cuda.max_memory_allocated(self.device) - before
        if not Path("/proc/self/clear_refs").exists():
            return None
        before = status("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the highest resident size is counted from here
        run()
        return status("VmHWM") - before


def status(name: str) -> int:
    """A size of this process in bytes, as Linux counts it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))


def place(device: str | None, dtype: str | None, clock: str = "wall") -> Place:
    """A device by its name, the GPU if there is one for None, and a type, for None what training would choose.

    Raises ValueError for a clock that does not tell what such a device, or so many threads, take.
    """
    from zoetrope.models.precision import compute_dtype

    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if where.type != "cpu" and clock != "wall":
        raise ValueError(f"--clock: expected wall for {where}, got {clock}")
    expect_clock(clock)
    return Place(where, DTYPES[dtype] if dtype else compute_dtype(where), clock)


def expect_clock(clock: str) -> None:
    """Raise ValueError for processor time, which adds up that of all threads, unless there is a single one."""
    if clock == "cpu" and (threads := torch.get_num_threads()) != 1:
        raise ValueError(f"--clock cpu: expected one thread (--threads 1, or OMP_NUM_THREADS=1), got {threads}")


def probe(here: Place) -> dict[str, float]:
    """This machine's peaks right now, by `PROBES`: products of large square matrices, and copies of a large tensor."""
    large = here.device.type == "cuda"
    size, bytes_ = (8192, 2**30) if large else (1024, 2**26)
    a = torch.randn(size, size, device=here.device)
    half, source = a.bfloat16(), torch.zeros(bytes_, dtype=torch.uint8, device=here.device)
    target = torch.empty_like(source)
    flops = 2 * size**3
    return {
        "matmul fp32": flops / _fastest(here, lambda: torch.mm(a, a)),
        "matmul bf16": flops / _fastest(here, lambda: torch.mm(half, half)),
        "copy": 2 * bytes_ / _fastest(here, lambda: target.copy_(source)),
    }


def matmul_of(dtype: torch.dtype) -> str:
    """The probe that is the peak of networks that compute in a type."""
    return "matmul bf16" if dtype == torch.bfloat16 else "matmul fp32"


def _fastest(here: Place, run: Callable[[], Any]) -> float:
    """Seconds of a call, the least of a few tries of as many calls as a clock needs."""
    count = max(1, round(LEAST / max(1e-6, min(here.seconds(run) for _ in range(2)))))
    return min(here.seconds(lambda: [run() for _ in range(count)]) for _ in range(TRIES)) / count


def described(here: Place) -> dict[str, Any]:
    """The machine without its name: processor, cores, memory, the GPU if that is used; and what runs on it."""
    machine: dict[str, Any] = {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9),
        "gpu": torch.cuda.get_device_name(here.device) if here.device.type == "cuda" else None,
    }
    return {
        "machine": machine,
        "device": here.device.type,
        "dtype": str(here.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "clock": here.clock,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def memory_of(here: Place) -> int:
    """All the memory of the device in bytes."""
    if here.device.type == "cuda":
        return torch.cuda.get_device_properties(here.device).total_memory
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _processor() -> str:
    table = Path("/proc/cpuinfo")
    if table.exists():
        rows = (line.partition(":") for line in table.read_text().splitlines())
        names = [value.strip() for key, _, value in rows if key.strip() == "model name"]
        if names:
            return names[0]
    return platform.processor() or platform.machine()
