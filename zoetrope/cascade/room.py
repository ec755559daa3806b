"""Main memory: how much this machine has, and how much of it this process may still take."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path("/")
UNKNOWN = 4 * 10**9
"""Assumed size of main memory where the system does not report it."""


_LACKING = (  # what errors of PyTorch and of its libraries say where memory does not suffice
    *("out of memory", "can't allocate", "cannot allocate", "not enough memory", "alloc_failed", "bad_alloc"),
    *("could not create a primitive", "can't start new thread", "failed to map segment"),
)


def lacks_memory(error: BaseException) -> bool:
    """Whether an error says that there is not enough memory, on whatever device."""
    if isinstance(error, RuntimeError | OSError | ImportError):
        return any(sign in str(error).lower() for sign in _LACKING)
    return isinstance(error, MemoryError)


def installed() -> int:
    """Bytes of main memory that the machine has."""
    if sys.platform == "win32":
        return _windows().total
    if not hasattr(os, "sysconf"):
        return UNKNOWN
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def available(root: Path = ROOT) -> int:
    """Bytes that can safely be taken: the free memory, or less where the process is limited.

    All of main memory on systems that do not report what is free. `root` is where Linux's own files are looked up.
    """
    limit = allowed(root)
    free = _free(root)
    return free if limit is None else min(free, limit)


def allowed(root: Path = ROOT) -> int | None:
    """Bytes that this process may still take under `ulimit -v` and `-d` and under its cgroups, such as a container's.

    None where nothing limits it.
    """
    limits = [*_resource_limits(root), *_cgroup_limits(root)]
    return max(0, min(limits)) if limits else None


def _free(root: Path) -> int:
    if sys.platform == "win32":
        return _windows().free
    table = root / "proc/meminfo"
    if table.exists():
        rows = (line.split() for line in table.read_text().splitlines())
        return 1024 * next(int(row[1]) for row in rows if row[0] == "MemAvailable:")
    return installed()


def _resource_limits(root: Path) -> Iterator[int]:
    """What is left of the address space and of the data segment, where a shell or scheduler limits them."""
    try:
        import resource
    except ImportError:  # as on Windows
        return
    table = root / "proc/self/status"
    if not table.exists():
        return
    rows = dict(line.split(":", 1) for line in table.read_text().splitlines() if ":" in line)
    for kind, name in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
        limit, _ = resource.getrlimit(kind)
        if limit != resource.RLIM_INFINITY and name in rows:
            yield limit - 1024 * int(rows[name].split()[0])


def _cgroup_limits(root: Path) -> Iterator[int]:
    """What is left in each cgroup of this process, from its own upwards; file caches do not count as used."""
    table = root / "proc/self/cgroup"
    if not table.exists():
        return
    for line in table.read_text().splitlines():
        _, kinds, path = line.split(":", 2)
        if kinds == "":
            top, limit, used, cache = "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"
        elif "memory" in kinds.split(","):
            top, limit, used = "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            cache = "total_inactive_file"
        else:
            continue
        own = root / top / path.lstrip("/")
        for folder in (own, *own.parents):
            left = _left(folder, limit, used, cache)
            if left is not None:
                yield left
            if folder == root / top:
                break


def _left(folder: Path, limit: str, used: str, cache: str) -> int | None:
    """What a cgroup may still take; None where it has no limit, or its files are not visible."""
    try:
        most = (folder / limit).read_text().strip()
        if not most.isdigit() or int(most) >= 2**60:  # "max", or the largest number there is
            return None
        taken = int((folder / used).read_text())
        rows = (line.split() for line in (folder / "memory.stat").read_text().splitlines())
        cached = next((int(row[1]) for row in rows if row[0] == cache), 0)
        return int(most) - max(0, taken - cached)
    except OSError:
        return None


class _Memory(NamedTuple):
    total: int
    free: int


if sys.platform == "win32":
    import ctypes

    class _Status(ctypes.Structure):
        _fields_ = [
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            *((name, ctypes.c_ulonglong) for name in ("total", "free", "pages", "free_pages", "space", "own", "more")),
        ]

    def _windows() -> _Memory:
        """Main memory as Windows reports it."""
        status = _Status()
        status.length = ctypes.sizeof(_Status)
        ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
        return _Memory(status.total, status.free)
