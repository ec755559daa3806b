"""How steadily a video moves, judged without a true one: shaking, flicker, and the regularity of what repeats."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoetrope.metrics.psnr import RANGE
from zoetrope.metrics.recogniser.course import ObjectPath
from zoetrope.shapes import expect_shape

Numbers = NDArray[np.floating]
SMOOTH = np.asarray((3.0, -12.0, 18.0, -12.0, 3.0)) / math.sqrt(630)
"""What a parabola through five places leaves of the middle one; unit noise leaves 1."""
SLOWEST, FASTEST = 20.0, 90.0  # degrees a second that count as turning
LONGEST = 0.7  # of a clip: the longest period that it shows more than once


def shake(path: ObjectPath, fps: float) -> float | None:
    """How far an object is from a smooth path, in frame heights (root mean square); None if it is nowhere seen so.

    A place is compared with the parabola through it and the two places before and after it, by least squares: steady
    and steadily curving paths have none, and independent errors of standard deviation s in x and in y have sqrt(2) s.
    The instant at which a bouncing thing turns round is no part of a parabola, and counts.
    """
    numbers = np.round(path.times * fps).astype(int)
    together = np.flatnonzero(numbers[4:] - numbers[:-4] == 4) if len(numbers) > 4 else np.empty(0, int)
    if not len(together):
        return None
    five = together[:, None] + np.arange(5)
    return math.sqrt(float((np.square(path.x[five] @ SMOOTH) + np.square(path.y[five] @ SMOOTH)).mean()))


def flicker_alone(videos: Tensor, data_range: float = RANGE) -> Tensor:
    """The mean distance (B,) of frames from the mean of their two neighbours, of videos (B, C, F, H, W).

    A share of the range. 0 for a video that stands still or fades evenly; edges that move have some, so compare it with
    that of true clips. Raises ValueError for fewer than three frames.
    """
    expect_shape("videos", videos, None, None, None, None, None)
    if videos.shape[2] < 3:
        raise ValueError(f"videos: expected at least 3 frames, got {videos.shape[2]}")
    video = videos.double()
    away = video[:, :, 1:-1] - (video[:, :, :-2] + video[:, :, 2:]) / 2
    return away.abs().mean((1, 2, 3, 4)) / data_range


def repetition(values: Numbers) -> float:
    """How exactly evenly spaced values (F,) or (F, D) repeat themselves, from 0, not at all, to 1, exactly.

    The highest peak of their autocorrelation, 1 - d(L) / 2 v, where d is the mean square of how far values L apart
    differ and v the variance: of the lags L up to 0.7 F, those beyond the first at which it is not positive, for
    neighbours are always alike. It is 0 where there is no such lag, as in something that stands still or just drifts.
    """
    rows = values.reshape(len(values), -1)
    spread = float(rows.var(0).sum())
    if spread < 1e-12:
        return 0.0
    lags = range(1, int(LONGEST * len(rows)) + 1)
    alike = [1 - float(np.square(rows[lag:] - rows[:-lag]).sum(1).mean()) / (2 * spread) for lag in lags]
    first = next((place for place, one in enumerate(alike) if one <= 0), len(alike))
    return max([0.0, *alike[first:]])


def evenness(turns: Numbers, times: Numbers, period: float) -> float:
    """How evenly something turns, from 0 to 1, exactly steadily at between 20 and 90 degrees a second either way.

    The highest peak of the periodogram of exp(2 pi i turn): the length of the mean of all turns, once a steady rotation
    is taken off. `turns` (F,) are shares of `period`, the degrees after which a thing is the same again; `times` (F,)
    in seconds. Something that stands still has what a steady rotation of 20 degrees a second leaves of it.
    Raises ValueError for no turns and for a thing that is round, whose period is 0.
    """
    if not len(turns) or not period > 0:
        raise ValueError(f"turns: expected some, of a thing that is not round, got {len(turns)} and {period:g} degrees")
    rates = np.arange(SLOWEST, FASTEST + 0.5)
    waves = np.exp(2j * math.pi * (turns - np.concatenate([-rates, rates])[:, None] * times / period))
    return float(np.abs(waves.mean(1)).max())


def together(videos: list[NDArray[np.uint8]]) -> Tensor:
    """Pictures (F, H, W, 3) uint8 of one shape as videos (B, 3, F, H, W) in [-1, 1]."""
    return torch.from_numpy(np.stack(videos)).permute(0, 4, 1, 2, 3).float() / 127.5 - 1
