"""What a file says about its video, and which parts of it are converted or ignored."""

import math
import os
import re
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from zoetrope.video.colour import conversion
from zoetrope.video.decoding import (
    SCANNED_PACKETS,
    Packet,
    is_clear,
    pixel_aspect,
    scan,
    shown_size,
    stored,
    stored_rate,
)
from zoetrope.video.member import Member
from zoetrope.video.naming import sequence_pattern
from zoetrope.video.opening import PathLike, check_size, file_of, opened, pictured
from zoetrope.video.sequence import existing
from zoetrope.video.timing import LONGEST_GAP, Timing, count_moments, timing

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

LONGEST = 100 * 3600.0
"""The longest video that is read, in seconds."""
SAME_RATE = 0.01
"""Frame rates that differ by this share or less count as equal: 23.976 is 24."""

_SQUARE = {"gif", "apng"}  # every program takes their pixels for square
_STILL_BRANDS = {"avif", "heic", "mif1"}
_COMPOSED = re.compile(rb"infe(?:\x02.{7}|\x03.{9})(?:grid|iovl)", re.DOTALL)  # an item of a HEIF file
_HEAD = 2**20
_SEEKABLE = {"avi", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2"}


@dataclass(frozen=True)
class Info:
    """What a file says about its video, without decoding more than the first picture.

    `height` and `width` are those of the pictures as shown: after rotation, and with square pixels. `frames` is the
    number of stored pictures, `exact` unless it was extrapolated from the beginning of a long file; a damaged file may
    decode to fewer. `still` is an image rather than a video. `start` is the stored time of the first picture, and
    `slack` by how much a stored time may be late, both in seconds. `sound` tells whether there is any. `notes` say what
    of the file is converted or left out, in few words, the same for files of the same kind.
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
    sound: bool = False
    interlaced: bool = False
    notes: tuple[str, ...] = ()


def probe(path: PathLike) -> Info:
    """What is in the file or picture sequence. Raises ValueError if no picture of it can be decoded."""
    if not isinstance(path, Member) and (pattern := sequence_pattern(path)):
        return _sequence_info(path, pattern)
    name = os.fsdecode(path)
    with opened(path) as (container, stream):
        tick = stream.time_base or Fraction(1, 1000)
        begin, claimed, total = stream.start_time, stream.average_rate, float((stream.duration or 0) * tick)
        packets = scan(container, stream)
    with opened(path) as (container, stream):
        first = next(stored(path, container, stream), None)
        if first is None:
            raise ValueError(f"{name}: holds no pictures")
        still = (len(packets) <= 1 and _is_still(container)) or (container.format.name == "mjpeg" and _leads(path))
        if still and len(pictured(container)) > 1 and _in_tiles(path):
            raise ValueError(f"{name}: is a picture in tiles, as HEIC of phones; expected JPEG, PNG or another kind")
        aspect = Fraction(1) if still or container.format.name in _SQUARE else pixel_aspect(stream)
        notes = _notes(name, container, stream, first, aspect)
        if still and len(packets) > 1:
            notes, packets = (*notes, f"{len(packets)} pictures, the first is read"), packets[:1]
        sound, seekable = bool(container.streams.audio), container.format.name in _SEEKABLE
        codec = stream.codec_context.name
    height, width = shown_size(first, aspect)
    check_size(name, height, width)
    ticks = sorted({packet.pts for packet in packets if packet.pts is not None})
    rate = timing(ticks, tick, stored_rate(first) or (Fraction(1) if still else claimed))
    exact = len(packets) < SCANNED_PACKETS
    frames = max(1, len(ticks) + sum(packet.pts is None for packet in packets))
    seconds = frames / rate.fps if still else _length(packets, ticks, tick, rate)
    if not exact and total > seconds:
        frames, seconds = round(total * rate.fps), total
    _check_times(name, ticks, tick, seconds)
    start = float((begin if begin is not None else ticks[0] if ticks else 0) * tick)
    return Info(
        frames=frames, exact=exact, fps=rate.fps, seconds=seconds, height=height, width=width,
        variable_rate=not rate.constant, codec=codec, still=still, start=start, slack=rate.slack,
        seekable=seekable and bool(ticks), sound=sound, interlaced=first.interlaced_frame, notes=notes,
    )  # fmt: skip


def expected_frames(info: Info, fps: float | None = None) -> int:
    """How many pictures a whole file gives at this rate, or at its own; a damaged file may give fewer."""
    return 1 if info.still else max(1, count_moments(0.0, fps or info.fps, info.seconds, info.slack))


def rate_to_read(info: Info, fps: float, frames: int | None = None) -> float:
    """The rate at which a file gives the pictures of a video of `fps`: its own, where both count as equal.

    Read at 24, a file of 23.976 pictures a second would give its first picture twice: the second one comes late. A file
    with fewer than `frames` pictures is read at `fps`.
    """
    same = not info.variable_rate and math.isclose(info.fps, fps, rel_tol=SAME_RATE)
    return info.fps if same and (frames is None or info.frames >= frames) else fps


def _is_still(container: "InputContainer") -> bool:
    return container.format.name.endswith("_pipe") or container.metadata.get("major_brand") in _STILL_BRANDS


def _leads(path: PathLike) -> bool:
    """Whether a JPEG says that what follows belongs to it, such as a gain map or a preview (CIPA DC-007).

    FFmpeg takes the pictures for those of a video.
    """
    with file_of(path) as file:
        file.seek(2)
        while len(head := file.read(4)) == 4 and head[0] == 0xFF and head[1] != 0xDA:  # up to the picture itself
            body = file.read(max(0, int.from_bytes(head[2:], "big") - 2))
            if head[1] == 0xE2 and body.startswith(b"MPF\0"):
                return True
    return False


def _in_tiles(path: PathLike) -> bool:
    """Whether a picture is put together from others (ISO/IEC 23008-12, 6.6.2), which FFmpeg gives one by one."""
    with file_of(path) as file:
        return _COMPOSED.search(file.read(_HEAD)) is not None


def _notes(
    name: str, container: "InputContainer", stream: "av.VideoStream", frame: "av.VideoFrame", aspect: Fraction
) -> tuple[str, ...]:
    """What of the file is converted or left out."""
    notes = ["transparent, laid over white"] if _is_transparent(name, frame) else []
    if stream.metadata.get("alpha_mode") == "1" and not is_clear(frame):  # WebM has it apart, FFmpeg's VP9 leaves it
        notes.append("transparent, which is not read: what lies beneath shows")
    if frame.interlaced_frame:
        notes.append("interlaced, made progressive")
    bits = max((part.bits for part in frame.format.components), default=8)
    if convert := conversion(frame):
        notes.append(convert.name)
    elif bits > 8:
        notes.append(f"{bits} bits a channel, read as 8")
    if aspect != 1:
        notes.append(f"pixels {aspect.numerator}:{aspect.denominator}, made square")
    if container.streams.audio:
        notes.append("has sound")
    if container.streams.subtitles:
        notes.append("has subtitles, which are left out")
    videos = len(pictured(container))
    if videos > 1:
        notes.append(f"{videos} video streams, one is read")
    return tuple(notes)


def _is_transparent(name: str, frame: "av.VideoFrame") -> bool:
    """Whether something of the picture is. Raises ValueError for pixels that cannot be converted at all."""
    import av

    clear = is_clear(frame)
    try:
        pixels = frame.reformat(format="rgba" if clear else "rgb24", threads=1)
    except (av.FFmpegError, ValueError, NotImplementedError):
        raise ValueError(f"{name}: its pixel format {frame.format.name} cannot be converted to RGB") from None
    return clear and bool(pixels.to_ndarray()[..., 3].min() < 255)


def _length(packets: list[Packet], ticks: list[int], tick: Fraction, rate: Timing) -> float:
    if not ticks:
        return len(packets) / rate.fps
    last = next(packet for packet in packets if packet.pts == ticks[-1])
    tail = min(float(last.duration * tick), max(60.0, 1 / rate.fps)) or 1 / rate.fps
    exact = len(ticks) / rate.fps
    length = float((ticks[-1] - ticks[0]) * tick) + tail
    return exact if rate.constant and abs(length - exact) <= 2 * float(tick) else length


def _check_times(name: str, ticks: list[int], tick: Fraction, seconds: float) -> None:
    """Raise ValueError for times that are not to be believed."""
    gap = max((float((late - early) * tick) for early, late in pairwise(ticks)), default=0.0)
    if gap > LONGEST_GAP:
        most = f"at most {LONGEST_GAP:g} s from one picture to the next"
        raise ValueError(f"{name}: expected {most}, its time stamps say {gap:.6g} s")
    if seconds > LONGEST:
        raise ValueError(f"{name}: expected at most {LONGEST / 3600:g} hours, its header says {seconds / 3600:.6g}")


def _sequence_info(path: PathLike, pattern: Path) -> Info:
    files = existing(path, pattern)
    first = probe(files[0])
    seconds = len(files) / first.fps
    return replace(
        first, frames=len(files), seconds=seconds, variable_rate=False, still=False, seekable=True, start=0.0
    )
