"""Held-out clips enlarged by trained stages and by plain ways, measured clip by clip: for three studies."""

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

import torch
from _intervals import Interval, itself, over_clips, over_seeds
from _judge import clips, put_together, restored, small
from _measured import Json, Kept
from _recipes import LARGE, SMALL
from _sampler import DTYPE, Sampler, sampled_with
from torch import Tensor

from zoetrope.inputs.low_res import LowRes
from zoetrope.metrics.super_resolution import enlarge
from zoetrope.video.resample import resize

CLIPS, STEPS = 32, 2
BASELINES = ("bilinear", "bicubic")
COLUMNS = {"psnr": "PSNR, dB", "flicker": "flicker, %", "shift": "colour shift, of 255"}
Table = list[list[float]]


@cache
def _clips() -> tuple[Tensor, list[str]]:
    return clips(CLIPS, LARGE)


def truth() -> Tensor:
    """The clips that should be made, (B, C, F, H, W)."""
    return _clips()[0]


@cache
def given() -> Tensor:
    """What stages are given of them, (B, C, F, h, w)."""
    return small(truth(), SMALL)


def plainly(kept: Kept, video: Tensor | None = None, what: str = "true") -> Json:
    """How near plain ways come, given true low resolution or another video, by way: columns (1, C)."""
    source = given() if video is None else video
    return {
        way: put_together([kept(f"{way}-{what}", lambda way=way: restored(enlarge(source, LARGE, way), truth()))])
        for way in BASELINES
    }


def enlarged(
    kept: Kept,
    name: str,
    folders: Sequence[Path],
    video: Tensor | None = None,
    what: str = "true",
    dtype: torch.dtype = DTYPE,
    logsnr: float | None = None,
    **sampling: object,
) -> Json:
    """How near an arm comes with every seed, in STEPS steps or as `sampling` says: columns (S, C).

    `logsnr` is the level of noise that is added to the video; None: none.
    """
    source = given() if video is None else video

    def one(folder: Path) -> Json:
        sampler = Sampler.of_run(folder)
        stage = sampled_with(sampler.stage, **{"steps": STEPS, **sampling})
        stage = stage.with_input(LowRes(shape=SMALL, logsnr=logsnr))
        return restored(sampler(_clips()[1], source, batch=8, stage=stage, dtype=dtype), truth())

    return put_together([kept(f"{name}-{what}-{folder.name}", partial(one, folder)) for folder in folders])


def more(one: Json, other: Json, key: str = "psnr") -> Interval:
    """How much more an arm has than another arm of the same seeds; a plain way is the same for each seed."""
    first: Table = one[key]
    second: Table = other[key]
    seeds = max(len(first), len(second))
    return over_seeds(*(rows * seeds if len(rows) == 1 else rows for rows in (first, second)))


def told(one: Json, key: str = "psnr", digits: int = 2) -> str:
    """A mean and its interval, as a cell."""
    rows: Table = one[key]
    found = over_seeds(rows) if len(rows) > 1 else over_clips(itself, rows)
    return f"{found.value:.{digits}f} ({found.low:.{digits}f} to {found.high:.{digits}f})"


def mean(one: Json, key: str = "psnr") -> float:
    """The mean over seeds and clips."""
    values = [value for row in one[key] for value in row]
    return sum(values) / len(values)


def blurred(video: Tensor) -> Tensor:
    """A video halved and doubled again."""
    return resize(resize(video, video.shape[3] // 2, video.shape[4] // 2), *video.shape[3:])
