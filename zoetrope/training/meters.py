"""Measurements of a training between two lines of metrics."""

import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from zoetrope.training.objectives import STUDENT

BINS = 8  # equal parts of diffusion time for which the loss is reported


class Outcome(NamedTuple):
    """The outcome of one batch for one player.

    Attributes:
        loss: the mean error. norm: of the gradient.
        times, errors: the errors (B,) at the times t (B,) of the examples.
        player: its name; for the student, `beside` has the losses of the players that learnt from the batch before it.
    """

    loss: float
    norm: float
    times: Tensor
    errors: Tensor
    player: str = STUDENT
    beside: Mapping[str, float] = MappingProxyType({})

    @property
    def finite(self) -> bool:
        """Whether it can be learnt from."""
        return math.isfinite(self.loss) and math.isfinite(self.norm)


class Interval:
    """What happened since the last report. Time is that of a clock that never jumps."""

    def __init__(self, examples: int, waited: float = 0.0):
        """It starts at position `examples`, after `waited` seconds of waiting for data."""
        self.first, self.start, self.waited = examples, time.perf_counter(), waited
        self.losses: list[float] = []
        self.norms: list[float] = []
        self.beside: dict[str, list[float]] = {}
        self.sums, self.counts = (torch.zeros(BINS, dtype=torch.float64) for _ in range(2))

    def add(self, outcome: Outcome) -> None:
        """Add the outcome of a batch; a skipped one does not count."""
        if outcome.finite:
            self.losses.append(outcome.loss)
            self.norms.append(outcome.norm)
            for name, loss in outcome.beside.items():
                self.beside.setdefault(name, []).append(loss)
            part = (outcome.times * BINS).long().clamp(max=BINS - 1)
            self.sums.index_add_(0, part, outcome.errors.double())
            self.counts.index_add_(0, part, torch.ones_like(outcome.errors, dtype=torch.float64))

    def mean_loss(self) -> float | None:
        """The mean of the losses, None if every step was skipped."""
        return sum(self.losses) / len(self.losses) if self.losses else None

    def mean_norm(self) -> float | None:
        """The mean of the gradient's norms, None if every step was skipped."""
        return sum(self.norms) / len(self.norms) if self.norms else None

    def mean_losses_beside(self) -> dict[str, float]:
        """The mean loss of each other player that learnt, by name."""
        return {name: sum(losses) / len(losses) for name, losses in self.beside.items()}

    def loss_by_time(self) -> tuple[float | None, ...]:
        """The mean error in each of `BINS` equal parts of diffusion time; None in a part without examples."""
        pairs = zip(self.sums.tolist(), self.counts.tolist(), strict=True)
        return tuple(total / count if count else None for total, count in pairs)

    @property
    def seconds(self) -> float:
        """Seconds since the start of the interval."""
        return time.perf_counter() - self.start

    def speed(self, examples: int) -> float:
        """Examples a second."""
        return (examples - self.first) / max(self.seconds, 1e-9)

    def data_wait(self, waited: float) -> float:
        """The share of the interval, in [0, 1], spent waiting for data; `waited` is the total so far, in seconds."""
        return min(1.0, (waited - self.waited) / max(self.seconds, 1e-9))


def peak_memory(device: torch.device) -> int | None:
    """Peak bytes that this process has held so far: on its GPU if it trains there, else in main memory.

    None where the system does not report it, as on Windows.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if (held := _high_water()) is not None:
        return held
    try:
        import resource
    except ImportError:
        return None
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held if sys.platform == "darwin" else held * 1024  # macOS counts bytes, Linux kibibytes


def _high_water() -> int | None:
    """Linux's own peak of this process. The one of `resource` begins with what the process that started it held."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else ()
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), None)
