"""Reading videos by timestamp: the picture at a time is the last one shown by then, whatever the file's frame rate.

Time 0 is the first picture of the file. Rotation and mirroring stored with a file are applied, transparency is laid
over white, and the first video stream is read. What cannot be read is a ValueError that names the file and the reason.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, repeat
from typing import TYPE_CHECKING

import numpy as np

from zoetrope.config.errors import expect_path
from zoetrope.video.decoding import Size, cover, cut, decoded, picture, seconds_shown
from zoetrope.video.info import Info, probe
from zoetrope.video.naming import sequence_pattern
from zoetrope.video.opening import PathLike, opened
from zoetrope.video.sequence import sequence_pictures
from zoetrope.video.timing import LONGEST_GAP, count_moments, moments, pick
from zoetrope.video.value import Video

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

_MOST_PICTURES = 100_000


@dataclass(frozen=True, eq=False)
class Track:
    """Every picture of a file, frames (N, H, W, 3) uint8, and the times (N,) at which they appear, up to `seconds`."""

    frames: np.ndarray
    times: np.ndarray
    seconds: float
    slack: float

    def at(self, fps: float, start: float, frames: int) -> np.ndarray:
        """The pictures (K, H, W, 3) shown at start + k / fps, at most `frames`, fewer where the track ends before."""
        return self.frames[pick(self.times, moments(start, fps, self.seconds, self.slack, frames), self.slack)]


def read(
    path: PathLike,
    *,
    fps: float | None = None,
    start: float = 0.0,
    frames: int | None = None,
    size: Size | None = None,
    crop: tuple[float, float] = (0.5, 0.5),
) -> Video:
    """The pictures shown at the times start + k / fps seconds, k = 0, 1, ...

    `fps` is the file's own rate unless given (an image is one picture, at rate 1). At most `frames` pictures come back;
    fewer where the file ends before, or can be decoded no further. With `size` (height, width) every picture is resized
    with antialiasing until it covers the size, keeping its aspect, and cropped at `crop`: (0, 0) is the top left
    corner, (0.5, 0.5) the middle. A folder or a pattern such as a_%04d.png reads a picture sequence; where its pictures
    do not tell their rate, `fps` has to.

    Raises ValueError for what is no media file, has no pictures, is too damaged to decode any, or ends before `start`.
    """
    rate, shown = _opened(path, fps, start, frames, size, crop)
    return Video(_stacked(path, shown), rate)


def stream(
    path: PathLike,
    *,
    fps: float | None = None,
    start: float = 0.0,
    frames: int | None = None,
    size: Size | None = None,
    crop: tuple[float, float] = (0.5, 0.5),
) -> Iterator[np.ndarray]:
    """The pictures (H, W, 3) uint8 of `read`, one by one, decoded on demand.

    Memory is needed for a few pictures, whatever the length. The file is closed with the iterator.
    Raises ValueError as `read` does, for what is found out only on the way when it comes to that.
    """
    return _opened(path, fps, start, frames, size, crop)[1]


def stretches(
    path: PathLike,
    length: int,
    *,
    fps: float | None = None,
    start: float = 0.0,
    frames: int | None = None,
    size: Size | None = None,
    crop: tuple[float, float] = (0.5, 0.5),
) -> Iterator[Video]:
    """The video of `read` in segments of `length` pictures; the last one may be shorter."""
    if length < 1:
        raise ValueError(f"{os.fsdecode(path)}: expected stretches of at least 1 frame, got {length}")
    rate, shown = _opened(path, fps, start, frames, size, crop)
    return (Video(np.stack(stretch), rate) for stretch in iter(lambda: list(islice(shown, length)), []))


def read_probed(
    path: PathLike, info: Info, *, fps: float | None, start: float, frames: int | None, size: Size | None,
    crop: tuple[float, float],
) -> Video:  # fmt: skip
    """`read` for a file whose `probe` is `info`, which spares finding it out again."""
    rate = info.fps if fps is None else fps
    return Video(_stacked(path, _pictures(path, info, (rate, start, frames), size, crop)), rate)


def _opened(
    path: PathLike, fps: float | None, start: float, frames: int | None, size: Size | None, crop: tuple[float, float]
) -> tuple[float, Iterator[np.ndarray]]:
    """The rate of a file or picture sequence, and its pictures."""
    expect_path("video", path)
    _check_request(path, fps, start, frames, size, crop)
    pattern = sequence_pattern(path)
    if pattern is not None:
        return sequence_pictures(path, pattern, fps, start, frames, size, crop)
    info = probe(path)
    rate = info.fps if fps is None else fps
    return rate, _pictures(path, info, (rate, start, frames), size, crop)


def _stacked(path: PathLike, shown: Iterator[np.ndarray]) -> np.ndarray:
    """All pictures, a bounded number."""
    taken = list(islice(shown, _MOST_PICTURES + 1))
    if len(taken) > _MOST_PICTURES:
        raise ValueError(f"{os.fsdecode(path)}: more than {_MOST_PICTURES} pictures; ask for fewer `frames`")
    return np.stack(taken)


def _pictures(
    path: PathLike, info: Info, when: tuple[float, float, int | None], size: Size | None, crop: tuple[float, float]
) -> Iterator[np.ndarray]:
    """The picture at each moment of `when`, a rate, a start and how many."""
    rate, start, frames = when
    if info.still:
        start, frames = 0.0, 1
    within = cover((info.height, info.width), size)
    source: av.VideoFrame | None = None
    shown: np.ndarray | None = None
    for frame in _shown(path, info, rate, start, frames):
        if shown is None or frame is not source:
            source, shown = frame, cut(picture(frame, within), size, crop)
        yield shown


def read_track(path: PathLike, info: Info, size: Size | None = None) -> Track:
    """Decode a whole file whose `probe` is `info`, resized (never cropped) until the pictures cover `size`."""
    within = cover((info.height, info.width), size)
    times: list[float] = []
    pictures: list[np.ndarray] = []
    last: av.VideoFrame | None = None
    with opened(path) as (container, stream):
        for time, frame in _timed(path, container, stream, info):
            if times and time == times[-1]:
                pictures[-1] = picture(frame, within)  # the last of several at one time is what is seen
            else:
                times.append(time)
                pictures.append(picture(frame, within))
            last = frame
    if last is None:
        raise ValueError(f"{os.fsdecode(path)}: holds no pictures")
    end = times[-1] + seconds_shown(last, info.fps, info.slack)
    return Track(np.stack(pictures), np.array(times), end, info.slack)


def _shown(path: PathLike, info: Info, fps: float, start: float, frames: int | None) -> "Iterator[av.VideoFrame]":
    """The picture at each moment, the same object again where it is still shown."""
    count = 0
    margin = info.slack + 1e-6
    previous: av.VideoFrame | None = None
    latest = 0.0
    for time, frame in _from(path, info, start):
        while previous is not None and start + count / fps + margin < time:
            yield previous
            count += 1
            if frames is not None and count >= frames:
                return
        previous, latest = frame, time
    if previous is None:
        raise ValueError(f"{os.fsdecode(path)}: holds no pictures")
    end = latest + seconds_shown(previous, info.fps, info.slack)
    expected = count_moments(start, fps, end, info.slack, frames)
    if info.still:
        yield previous
    elif not expected:
        raise ValueError(f"{os.fsdecode(path)}: ends at {end:.3f} s, the start is at {start:g} s")
    else:
        yield from repeat(previous, expected - count)


def _from(path: PathLike, info: Info, start: float) -> "Iterator[tuple[float, av.VideoFrame]]":
    """Timed pictures, beginning at the latest key frame before `start` if the file lets itself be entered there."""
    if info.seekable and start > 0:
        with opened(path) as (container, stream):
            tick = stream.time_base or Fraction(1, 1000)
            before = 2 / info.fps if info.interlaced else 0.0  # the neighbours of the first picture count
            enter = max(0.0, start - before)
            pictures = _timed(path, container, stream, info, int((info.start + enter + info.slack) / tick))
            first = next(pictures, None)
            if first is not None and first[0] <= start + info.slack:
                yield first
                yield from pictures
                return
    with opened(path) as (container, stream):
        yield from _timed(path, container, stream, info)


def _timed(
    path: PathLike, container: "InputContainer", stream: "av.VideoStream", info: Info, enter: int | None = None
) -> "Iterator[tuple[float, av.VideoFrame]]":
    """The pictures with the seconds since the first of the file at which each appears; times never go back."""
    import av

    if enter is not None:
        try:
            container.seek(enter, stream=stream)
        except (av.FFmpegError, OSError):
            return  # not even an index: the caller reads from the beginning
    latest = 0.0
    for number, frame in enumerate(decoded(path, container, stream)):
        stored = number / info.fps
        if frame.pts is not None and frame.time_base is not None:
            stored = float(frame.pts * frame.time_base) - info.start
        if stored - latest > LONGEST_GAP and number:
            return  # an implausible time: drop it and what follows
        latest = max(latest, stored)
        yield latest, frame
        if info.still:
            return  # further ones, such as a gain map, are no pictures of a video


def _check_request(
    path: PathLike, fps: float | None, start: float, frames: int | None, size: Size | None, crop: tuple[float, float]
) -> None:
    name = os.fsdecode(path)
    if fps is not None and not (math.isfinite(fps) and fps > 0):
        raise ValueError(f"{name}: expected a positive fps, got {fps}")
    if not (math.isfinite(start) and start >= 0):
        raise ValueError(f"{name}: expected a start of 0 s or later, got {start}")
    if frames is not None and frames < 1:
        raise ValueError(f"{name}: expected at least 1 frame, got {frames}")
    if size is not None and min(size) < 1:
        raise ValueError(f"{name}: expected a size of at least 1 x 1, got {size[0]} x {size[1]}")
    if not all(0 <= place <= 1 for place in crop):
        raise ValueError(f"{name}: expected a crop between 0 and 1, got {crop}")
