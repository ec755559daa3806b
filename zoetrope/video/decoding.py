"""The nearest layer to the file: opening it, its packets' times, its pictures upright, resized and in RGB."""

import io
import math
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np

from zoetrope.video.member import Member

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

Size = tuple[int, int]
PathLike = str | os.PathLike[str]

SCANNED_PACKETS = 3000
_NOT_MEDIA = {"concat", "dash", "hls", "sdp", "tty"}  # text, or lists of other files


class Packet(NamedTuple):
    """When a stored picture is shown, in ticks of the stream (None: not told), and for how long (0: not told)."""

    pts: int | None
    duration: int


@contextmanager
def opened(path: PathLike) -> "Iterator[tuple[InputContainer, av.VideoStream]]":
    """The container and its first video stream. Raises ValueError, with the reason, where there is none."""
    import av

    name = os.fsdecode(path)
    with _file(path) as file:
        try:
            container = av.open(file, "r")
        except (av.FFmpegError, OSError, EOFError) as error:
            reason = "is empty" if not file.seek(0, os.SEEK_END) else f"not a media file, or cut off ({_reason(error)})"
            raise ValueError(f"{name}: {reason}") from None
        with container:
            if container.format.name in _NOT_MEDIA:
                raise ValueError(f"{name}: not a media file (it reads as {container.format.name!r})")
            if not container.streams.video:
                kinds = sorted({stream.type for stream in container.streams})
                raise ValueError(f"{name}: has no video, only {' and '.join(kinds) or 'no streams at all'}")
            yield container, container.streams.video[0]


def _file(path: PathLike) -> BinaryIO:
    """The bytes of a file. FFmpeg is never given a name: it reads patterns, protocols and text encodings into names."""
    if isinstance(path, Member):
        return io.BytesIO(path.read())
    name = os.fsdecode(path)
    if not os.path.exists(path):
        raise ValueError(f"{name}: there is no such file")
    if os.path.isdir(path):
        raise ValueError(f"{name}: is a folder")
    try:
        return open(path, "rb")
    except OSError as error:
        raise ValueError(f"{name}: cannot be read ({error.strerror})") from None


def scan(container: "InputContainer", stream: "av.VideoStream") -> list[Packet]:
    """The shown packets of the stream, undecoded: all, or the first of a long file, or those before damage."""
    import av

    found: list[Packet] = []
    try:
        for packet in container.demux(stream):
            if packet.size and not packet.is_discard:
                found.append(Packet(packet.pts, packet.duration or 0))
            if len(found) >= SCANNED_PACKETS:
                break
    except (av.FFmpegError, OSError):
        return found  # what was found is what the file holds; decoding reports damage
    return found


def decoded(path: PathLike, container: "InputContainer", stream: "av.VideoStream") -> "Iterator[av.VideoFrame]":
    """The pictures from where the container stands up to its end or to damage.

    Raises ValueError where damage comes before any picture.
    """
    import av

    # Most files cannot be decoded by several threads without a delay of as many pictures, so further ones only wait;
    # and a training has work for every core.
    stream.codec_context.thread_count = 1
    count = 0
    damage: Exception | None = None
    try:
        for frame in container.decode(stream):
            yield frame
            count += 1
    except (av.FFmpegError, OSError) as error:
        damage = error
    if damage is not None and not count:
        raise ValueError(f"{os.fsdecode(path)}: damaged or encrypted, no picture decodes ({_reason(damage)})")


def orientation(frame: "av.VideoFrame") -> tuple[bool, bool, bool]:
    """(transpose, then mirror left-right, then mirror top-bottom) that turn a stored picture upright."""
    from av.sidedata.sidedata import SideData

    data = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(data, SideData):
        return False, False, False
    # x' = a x + c y, y' = b x + d y; angles between quarter turns go to the nearest, a broken matrix of zeros to none.
    a, b, _, c, d = struct.unpack("<5i", bytes(data)[:20])
    if abs(b) + abs(c) > abs(a) + abs(d):
        return True, c < 0, b < 0
    return False, a < 0, d < 0


def shown_size(frame: "av.VideoFrame") -> Size:
    """Height and width of the picture when upright."""
    return (frame.width, frame.height) if orientation(frame)[0] else (frame.height, frame.width)


def cover(shown: Size, size: Size | None) -> Size:
    """The smallest size of the aspect of `shown` that covers `size`; `shown` itself if there is none to cover."""
    if size is None:
        return shown
    scale = max(size[0] / shown[0], size[1] / shown[1])
    return max(size[0], round(shown[0] * scale)), max(size[1], round(shown[1] * scale))


def picture(frame: "av.VideoFrame", size: Size) -> np.ndarray:
    """The picture upright (H, W, 3) uint8 RGB, resized to `size` with antialiasing, transparency laid over white."""
    transpose, mirror_x, mirror_y = orientation(frame)
    height, width = (size[1], size[0]) if transpose else size
    clear = frame.format.has_palette or any(part.is_alpha for part in frame.format.components)
    form = "rgba" if clear else "rgb24"
    pixels = frame.reformat(width, height, form, interpolation="BICUBIC", threads=1).to_ndarray()
    if clear:
        pixels = _over_white(pixels)
    if transpose:
        pixels = pixels.transpose(1, 0, 2)
    pixels = pixels[:: -1 if mirror_y else 1, :: -1 if mirror_x else 1]
    return np.ascontiguousarray(pixels)


def cut(pixels: np.ndarray, size: Size | None, crop: tuple[float, float]) -> np.ndarray:
    """The window of `size` in pixels (..., H, W, 3), whose place goes from (0, 0), top left, to (1, 1)."""
    if size is None:
        return pixels
    top, left = (round(at * (has - want)) for at, has, want in zip(crop, pixels.shape[-3:-1], size, strict=True))
    return np.ascontiguousarray(pixels[..., top : top + size[0], left : left + size[1], :])


def seconds_shown(frame: "av.VideoFrame", fps: float, slack: float) -> float:
    """For how long the last picture is shown: as stored, at most 60 s; one period where that is told or nothing is."""
    stored = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else 0.0
    if stored <= 0 or abs(stored - 1 / fps) <= 4 * slack:
        return 1 / fps
    return min(stored, 60.0)


def stored_rate(frame: "av.VideoFrame") -> Fraction | None:
    """The frame rate that a PNG of ours tells."""
    try:
        rate = Fraction(frame.metadata["fps"])
    except (KeyError, ValueError, ZeroDivisionError):
        return None
    return rate if rate > 0 and math.isfinite(rate) else None


def _over_white(pixels: np.ndarray) -> np.ndarray:
    colours, alpha = pixels[..., :3], pixels[..., 3:].astype(np.uint16)
    if alpha.min() == 255:
        return np.ascontiguousarray(colours)
    return ((colours * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error or type(error).__name__).splitlines()[0]
