"""What this machine has, asked in the way of its system."""

import ctypes
import os

UNKNOWN = 4 * 10**9  # taken for the main memory where the system does not tell


class _Status(ctypes.Structure):
    """MEMORYSTATUSEX of Windows."""

    _fields_ = [
        ("length", ctypes.c_uint32),
        ("load", ctypes.c_uint32),
        ("total", ctypes.c_uint64),
        ("others", ctypes.c_uint64 * 6),
    ]


def host_memory() -> int:
    """All main memory in bytes."""
    if hasattr(os, "sysconf"):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    status = _Status(length=ctypes.sizeof(_Status))
    windows = getattr(ctypes, "windll", None)
    told = windows is not None and windows.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
    return int(status.total) if told else UNKNOWN
