"""When each picture of a file is shown: frame rates recovered from rounded timestamps, pictures picked by time.

Containers store times in ticks (a millisecond in Matroska, 10 ms in GIF), so the times of a constant 24 pictures a
second are not multiples of 1/24 s. A file counts as constant where one rate explains every stored time to half a tick.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

LONGEST_GAP = 3600.0
"""How long a picture may be shown until the next one, in seconds; what is later has a wrong time."""
MOST_MOMENTS = 10_000_000


@dataclass(frozen=True)
class Timing:
    """`fps` pictures per second (the mean if it varies); stored times are late by at most `slack` seconds."""

    fps: float
    constant: bool
    slack: float


def timing(ticks: Sequence[int], tick: Fraction, claimed: Fraction | None) -> Timing:
    """What sorted timestamps, in units of `tick` seconds, say about the rate; `claimed` is what the container says.

    A single picture has the claimed rate, or 1.
    """
    steps = [t - ticks[0] for t in ticks]
    claimed = claimed if claimed is not None and 0 < claimed <= 1000 else None
    if len(steps) < 2 or steps[-1] <= 0:
        return Timing(float(claimed or 1), True, 0.0)
    low = max(Fraction(2 * t - 1, 2 * k) for k, t in enumerate(steps) if k)
    high = min(Fraction(2 * t + 1, 2 * k) for k, t in enumerate(steps) if k)
    if low <= high and low > 0:
        slowest, fastest = 1 / (high * tick), 1 / (low * tick)
        fps = claimed if claimed is not None and slowest <= claimed <= fastest else simplest(slowest, fastest)
        whole_ticks = (1 / (fps * tick)).denominator == 1
        return Timing(float(fps), True, 0.0 if whole_ticks else float(tick) / 2)
    mean = 1 / (Fraction(steps[-1], len(steps) - 1) * tick)
    return Timing(float(mean), False, min(float(tick) / 2, 0.25 / float(mean)))


def simplest(low: Fraction, high: Fraction) -> Fraction:
    """The fraction with the smallest denominator in [low, high], for 0 < low <= high."""
    whole = math.ceil(low)
    if whole <= high:
        return Fraction(whole)
    return math.floor(low) + 1 / simplest(1 / (high - math.floor(low)), 1 / (low - math.floor(low)))


def pick(times: np.ndarray, wanted: np.ndarray, slack: float) -> np.ndarray:
    """For each wanted time (K,) the index of the picture shown then: the last one of sorted `times` (N,) not after it.

    Before the first picture, the first is shown.
    """
    return np.maximum(np.searchsorted(times, wanted + slack + 1e-6, side="right") - 1, 0)


def moments(start: float, fps: float, end: float, slack: float, frames: int | None) -> np.ndarray:
    """The times start + k / fps (K,) before `end`, at most `frames` of them. Raises ValueError for millions of them."""
    count = count_moments(start, fps, end, slack, frames)
    if count > MOST_MOMENTS:
        raise ValueError(f"frames: expected at most {MOST_MOMENTS}, got {count}")
    return start + np.arange(count) / fps


def count_moments(start: float, fps: float, end: float, slack: float, frames: int | None = None) -> int:
    """How many times `moments` gives, whatever the length."""
    count = max(0, math.ceil((end - slack - 1e-6 - start) * fps))
    return count if frames is None else min(count, frames)
