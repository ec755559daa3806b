"""Devices and dtypes that networks compute in, and the message when memory there does not suffice."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from zoetrope.cascade.room import lacks_memory
from zoetrope.config import unknown

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def device_named(name: str | torch.device) -> torch.device:
    """The device of that name, such as "cpu", "cuda:1" or "mps"; "auto" is the GPU, or without one the CPU.

    Raises ValueError, with the nearest name, for a device that this machine does not have.
    """
    if isinstance(name, torch.device):
        return name
    here = ["cpu", *(f"cuda:{k}" for k in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        here.append("mps")
    if name == "auto":
        return torch.device("cuda" if "cuda:0" in here else "cpu")
    wanted = "cuda:0" if name == "cuda" else name
    if wanted not in here:
        raise ValueError(unknown("device", name, [*here, "auto"]))
    return torch.device(wanted)


def expect_dtype(dtype: torch.dtype) -> None:
    """Raise ValueError for a type that networks do not compute in."""
    if dtype not in DTYPES:
        raise ValueError(f"dtype: expected {', '.join(map(str, DTYPES))}, got {dtype}")


@contextmanager
def memory_told(what: str) -> Iterator[None]:
    """Turn errors about lack of memory into a MemoryError that says what needed it and what helps."""
    try:
        yield
    except Exception as error:
        if not lacks_memory(error):
            raise
        advice = "less is needed with a smaller budget (--memory SIZE, in Python memory=BYTES), a smaller "
        advice += "batch, or smaller or shorter videos (--size, --frames)"
        raise MemoryError(f"{what}: out of memory; {advice}") from error
