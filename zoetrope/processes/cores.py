"""The cores that this process may run on."""

import os


def cores() -> int:
    """How many there are: fewer than the machine has, where its system allows only some, as in a batch job."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
