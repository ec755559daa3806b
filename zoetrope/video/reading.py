"""Reading videos by timestamp: the picture at a time is the last one shown by then, whatever the file's frame rate.

Time 0 is the first picture of the file. Rotation and mirroring stored with a file are applied, transparency is laid
over white, and the first video stream is read. What cannot be read is a ValueError that names the file and the reason.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zoetrope.video.decoding import (
    SCANNED_PACKETS,
    Packet,
    PathLike,
    Size,
    cover,
    cut,
    decoded,
    opened,
    picture,
    scan,
    seconds_shown,
    shown_size,
    stored_rate,
)
from zoetrope.video.member import Member
from zoetrope.video.naming import sequence_files, sequence_pattern
from zoetrope.video.timing import Timing, moments, pick, timing
from zoetrope.video.value import Video

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

_STILLS = {"image2", "mpo"}
_SEEKABLE = {"avi", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2"}
_MOST_PICTURES = 100_000


@dataclass(frozen=True)
class Info:
    """What a file says about its video, without decoding more than the first picture.

    `height` and `width` are those of the pictures as shown, after rotation. `frames` is the number of stored pictures,
    `exact` unless it was extrapolated from the beginning of a long file; a damaged file may decode to fewer.
    `still` is an image rather than a video. `start` is the stored time of the first picture, and `slack` by how much
    a stored time may be late, both in seconds.
    """

    frames: int
    exact: bool
    fps: float
    seconds: float
    height: int
    width: int
    variable_rate: bool
    codec: str
    still: bool
    start: float
    slack: float
    seekable: bool


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


def probe(path: PathLike) -> Info:
    """What is in the file or picture sequence. Raises ValueError if no picture of it can be decoded."""
    if not isinstance(path, Member) and (pattern := sequence_pattern(path)):
        return _sequence_info(path, pattern)
    with opened(path) as (container, stream):
        tick = stream.time_base or Fraction(1, 1000)
        form, codec, begin = container.format.name, stream.codec_context.name, stream.start_time
        claimed, total = stream.average_rate, float((stream.duration or 0) * tick)
        packets = scan(container, stream)
    with opened(path) as (container, stream):
        first = next(decoded(path, container, stream), None)
        if first is None:
            raise ValueError(f"{os.fsdecode(path)}: holds no pictures")
        height, width = shown_size(first)
        told = stored_rate(first)
    ticks = sorted({packet.pts for packet in packets if packet.pts is not None})
    still = len(packets) <= 1 and (form in _STILLS or form.endswith("_pipe"))
    rate = timing(ticks, tick, told or (Fraction(1) if still else claimed))
    exact = len(packets) < SCANNED_PACKETS
    frames = max(1, len(ticks) or len(packets))
    seconds = frames / rate.fps if still else _length(packets, ticks, tick, rate)
    if not exact and total > seconds:
        frames, seconds = round(total * rate.fps), total
    start = float((begin if begin is not None else ticks[0] if ticks else 0) * tick)
    seekable = form in _SEEKABLE and bool(ticks)
    return Info(
        frames=frames, exact=exact, fps=rate.fps, seconds=seconds, height=height, width=width,
        variable_rate=not rate.constant, codec=codec, still=still, start=start, slack=rate.slack, seekable=seekable,
    )  # fmt: skip


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
    _check_request(path, fps, start, frames, size, crop)
    if pattern := sequence_pattern(path):
        return _read_sequence(path, pattern, fps, start, frames, size, crop)
    return read_probed(path, probe(path), fps=fps, start=start, frames=frames, size=size, crop=crop)


def read_probed(
    path: PathLike, info: Info, *, fps: float | None, start: float, frames: int | None, size: Size | None,
    crop: tuple[float, float],
) -> Video:  # fmt: skip
    """`read` for a file whose `probe` is `info`, which spares finding it out again."""
    rate = info.fps if fps is None else fps
    if info.still:
        start, frames = 0.0, 1
    within = cover((info.height, info.width), size)
    shown: list[np.ndarray] = []
    source: av.VideoFrame | None = None
    for frame in _shown(path, info, rate, start, frames):
        if frame is source:
            shown.append(shown[-1])
        else:
            shown.append(cut(picture(frame, within), size, crop))
        source = frame
    return Video(np.stack(shown), rate)


def read_track(path: PathLike, info: Info, size: Size | None = None) -> Track:
    """Decode a whole file whose `probe` is `info`, resized (never cropped) until the pictures cover `size`."""
    within = cover((info.height, info.width), size)
    times: list[float] = []
    pictures: list[np.ndarray] = []
    last: av.VideoFrame | None = None
    with opened(path) as (container, stream):
        for time, frame in _timed(path, container, stream, info):
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
            if count > _MOST_PICTURES:
                raise ValueError(f"{os.fsdecode(path)}: more than {_MOST_PICTURES} pictures; ask for fewer `frames`")
        previous, latest = frame, time
    if previous is None:
        raise ValueError(f"{os.fsdecode(path)}: holds no pictures")
    end = latest + seconds_shown(previous, info.fps, info.slack)
    expected = moments(start, fps, end, info.slack, frames)
    if info.still:
        yield previous
    elif not len(expected):
        raise ValueError(f"{os.fsdecode(path)}: ends at {end:.3f} s, the start is at {start:g} s")
    else:
        yield from [previous] * (len(expected) - count)


def _from(path: PathLike, info: Info, start: float) -> "Iterator[tuple[float, av.VideoFrame]]":
    """Timed pictures, beginning at the latest key frame before `start` if the file lets itself be entered there."""
    if info.seekable and start > 0:
        with opened(path) as (container, stream):
            tick = stream.time_base or Fraction(1, 1000)
            pictures = _timed(path, container, stream, info, int((info.start + start + info.slack) / tick))
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
        latest = max(latest, stored)
        yield latest, frame


def _length(packets: list[Packet], ticks: list[int], tick: Fraction, rate: Timing) -> float:
    if not ticks:
        return len(packets) / rate.fps
    last = next(packet for packet in packets if packet.pts == ticks[-1])
    tail = min(float(last.duration * tick), 60.0) or 1 / rate.fps
    exact = len(ticks) / rate.fps
    told = float((ticks[-1] - ticks[0]) * tick) + tail
    return exact if rate.constant and abs(told - exact) <= 2 * float(tick) else told


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


def _sequence_info(path: PathLike, pattern: Path) -> Info:
    files = _existing(path, pattern)
    first = probe(files[0])
    fps = first.fps
    return Info(
        frames=len(files), exact=True, fps=fps, seconds=len(files) / fps, height=first.height, width=first.width,
        variable_rate=False, codec=first.codec, still=False, start=0.0, slack=0.0, seekable=True,
    )  # fmt: skip


def _existing(path: PathLike, pattern: Path) -> list[Path]:
    files = sequence_files(pattern)
    if not files:
        raise ValueError(f"{os.fsdecode(path)}: holds no pictures named {pattern.name}")
    return files


def _first_rate(file: Path) -> float | None:
    with opened(file) as (container, stream):
        told = next((stored_rate(frame) for frame in decoded(file, container, stream)), None)
    return None if told is None else float(told)


def _read_sequence(
    path: PathLike, pattern: Path, fps: float | None, start: float, frames: int | None, size: Size | None,
    crop: tuple[float, float],
) -> Video:  # fmt: skip
    files = _existing(path, pattern)
    own = _first_rate(files[0]) or fps
    if own is None:
        raise ValueError(f"{os.fsdecode(path)}: its pictures do not tell their frame rate; give fps")
    rate, seconds = fps or own, len(files) / own
    wanted = pick(np.arange(len(files)) / own, moments(start, rate, seconds, 0.0, frames), 0.0)
    if not len(wanted):
        raise ValueError(f"{os.fsdecode(path)}: ends at {seconds:.3f} s, the start is at {start:g} s")
    pictures = {n: read(files[n], size=size, crop=crop).frames[0] for n in sorted({int(n) for n in wanted})}
    if len({one.shape for one in pictures.values()}) > 1:
        raise ValueError(f"{os.fsdecode(path)}: its pictures differ in size; give the size to bring them to")
    return Video(np.stack([pictures[int(n)] for n in wanted]), rate)
