"""Cutting a stretch out of a file by copying its packets: nothing is decoded, so that nothing is lost.

It can be done where the stretch begins with a key frame and where what is decoded before its end is all shown before
its end: at the next key frame, or anywhere in a stream without B-frames.
"""

import os
from collections.abc import Iterator
from fractions import Fraction
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from zoetrope.video.info import Info, probe
from zoetrope.video.opening import PathLike, opened

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

_AHEAD = 32  # packets after the end that may still belong before it: more than any codec reorders
_MP4 = {"h264", "hevc", "av1", "vp9", "mpeg4"}


def copied_suffix(info: Info) -> str:
    """The ending of a file that can hold the packets of such a file: .mp4 or .mkv."""
    return ".mp4" if info.codec in _MP4 or info.codec == "libdav1d" else ".mkv"


def copy_stretch(path: PathLike, info: Info, start: float, seconds: float, target: Path) -> bool:
    """Write the pictures shown from `start` on for `seconds`, in seconds, by copying; sound is left out.

    `info` is the `probe` of the file, and the name of `target` ends as `copied_suffix` says. False, and no file, where
    it cannot be done exactly. Raises ValueError for what is no media file.
    """
    import av

    if not info.seekable or info.still or info.interlaced:
        return False
    with opened(path) as (container, stream):
        taken = _stretch(container, stream, info, start, seconds)
        times = _times(taken, info, stream.time_base)
        if times is None:
            return False
        shown, tick = times
        ordered = sorted(shown)
        delay = max(early - time for early, time in zip(ordered, shown, strict=True))
        form = "mp4" if target.suffix == ".mp4" else "matroska"
        try:
            with av.open(os.fspath(target), "w", format=form, container_options={"fflags": "+bitexact"}) as made:
                out = made.add_stream_from_template(stream)
                for packet, time, early in zip(taken, shown, ordered, strict=True):
                    packet.stream, packet.time_base = out, tick
                    packet.pts, packet.dts = time, early - delay
                    packet.duration = packet.duration if info.variable_rate else 1
                    made.mux_one(packet)
        except (av.FFmpegError, ValueError):
            target.unlink(missing_ok=True)
            return False
    if _same_kind(target, info, len(taken)):
        return True
    target.unlink(missing_ok=True)
    return False


def _times(
    taken: "list[av.Packet[av.VideoStream]]", info: Info, tick: Fraction | None
) -> tuple[list[int], Fraction] | None:
    """When each packet is shown, from 0 on, and the unit in seconds; None if there is nothing, or its times deceive.

    Containers round times: those of a constant rate are multiples of its inverse again.
    """
    stamps = [packet.pts for packet in taken if packet.pts is not None]
    if not stamps or tick is None:
        return None
    begin = min(stamps)
    if info.variable_rate:
        return [stamp - begin for stamp in stamps], tick
    each = 1 / Fraction(info.fps).limit_denominator(10_000)
    numbers = [round((stamp - begin) * tick / each) for stamp in stamps]
    return (numbers, each) if sorted(numbers) == list(range(len(numbers))) else None


def _stretch(
    container: "InputContainer", stream: "av.VideoStream", info: Info, start: float, seconds: float
) -> "list[av.Packet[av.VideoStream]]":
    """The packets to copy, in the order in which they are decoded; none if that would not be exact."""
    import av

    tick = float(stream.time_base or 0)
    if not tick:
        return []
    last = start + seconds > info.seconds - 0.5 / info.fps
    first, end = ((info.start + moment + info.slack + 1e-6) / tick for moment in (start, start + seconds))
    try:
        container.seek(int(first), stream=stream)
        packets = list(_until(container, stream, float("inf") if last else end))
    except (av.FFmpegError, OSError):
        return []
    stamps = [packet.pts for packet in packets]
    if not stamps or any(stamp is None for stamp in stamps):
        return []
    times = [stamp for stamp in stamps if stamp is not None]
    begin = max((time for time in times if time <= first), default=None)
    after = None if last else max((time for time in times if time <= end), default=None)
    if begin is None or (after is not None and after <= begin):
        return []
    at = times.index(begin)
    shown = [time for time in times if time >= begin and (after is None or time < after)]
    block = packets[at : at + len(shown)]
    exact = sorted(times[at : at + len(shown)]) == sorted(shown)
    return block if exact and block[0].is_keyframe and not any(packet.is_corrupt for packet in block) else []


def _until(container: "InputContainer", stream: "av.VideoStream", end: float) -> "Iterator[av.Packet[av.VideoStream]]":
    """The packets from here on, up to a few beyond the time `end` in ticks."""
    beyond = 0
    for packet in takewhile(lambda packet: packet.size > 0, container.demux(stream)):
        beyond += packet.pts is not None and packet.pts > end
        yield packet
        if beyond > _AHEAD:
            return


def _same_kind(target: Path, info: Info, frames: int) -> bool:
    """Whether the copy can be decoded, has so many frames, and looks as the original does."""
    try:
        made = probe(target)
    except (ValueError, OSError):
        return False
    same = (made.frames, made.height, made.width) == (frames, info.height, info.width)
    return same and (info.variable_rate or frames < 2 or abs(made.fps / info.fps - 1) < 1e-4)
