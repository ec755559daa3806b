"""Reading sequences of numbered pictures, as if they were one file."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from zoetrope.video.decoding import Size, cover, cut, decoded, picture, shown_size, stored_rate
from zoetrope.video.naming import sequence_files
from zoetrope.video.opening import PathLike, opened
from zoetrope.video.timing import count_moments, pick


def existing(path: PathLike, pattern: Path) -> list[Path]:
    """The pictures in their order. Raises ValueError if there are none."""
    files = sequence_files(pattern)
    if not files:
        raise ValueError(f"{os.fsdecode(path)}: holds no pictures named {pattern.name}")
    return files


def sequence_pictures(
    path: PathLike, pattern: Path, fps: float | None, start: float, frames: int | None, size: Size | None,
    crop: tuple[float, float],
) -> tuple[float, Iterator[np.ndarray]]:  # fmt: skip
    """The rate of what comes, and the pictures shown at start + k / rate, one after the other.

    Raises ValueError for no pictures, none at `start`, and no rate.
    """
    files = existing(path, pattern)
    own = _first_rate(files[0]) or fps
    if own is None:
        raise ValueError(f"{os.fsdecode(path)}: its pictures do not tell their frame rate; give fps")
    rate, seconds = fps or own, len(files) / own
    count = count_moments(start, rate, seconds, 0.0, frames)
    if not count:
        raise ValueError(f"{os.fsdecode(path)}: ends at {seconds:.3f} s, the start is at {start:g} s")
    return rate, _pictures(path, files, (own, rate, start, count), size, crop)


def _pictures(
    path: PathLike, files: list[Path], when: tuple[float, float, float, int], size: Size | None,
    crop: tuple[float, float],
) -> Iterator[np.ndarray]:  # fmt: skip
    own, rate, start, count = when
    times = np.arange(len(files)) / own
    shown: np.ndarray | None = None
    previous = -1
    for number in range(count):
        wanted = int(pick(times, np.array([start + number / rate]), 0.0)[0])
        if shown is None or wanted != previous:
            one = _picture(files[wanted], size, crop)
            if shown is not None and one.shape != shown.shape:
                raise ValueError(f"{os.fsdecode(path)}: its pictures differ in size; give the size to bring them to")
            shown, previous = one, wanted
        yield shown


def _picture(file: Path, size: Size | None, crop: tuple[float, float]) -> np.ndarray:
    with opened(file) as (container, stream):
        for frame in decoded(file, container, stream):
            return cut(picture(frame, cover(shown_size(frame), size)), size, crop)
    raise ValueError(f"{file}: holds no pictures")


def _first_rate(file: Path) -> float | None:
    with opened(file) as (container, stream):
        rate = next((stored_rate(frame) for frame in decoded(file, container, stream)), None)
    return None if rate is None else float(rate)
