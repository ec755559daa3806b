"""The lowest layer of reading: packet times, and pictures upright, with square pixels, resized and in sRGB."""

import math
import os
import struct
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from zoetrope.video.colour import conversion
from zoetrope.video.interlacing import progressive
from zoetrope.video.opening import MOST_PIXELS, fault
from zoetrope.video.opening import PathLike as PathLike
from zoetrope.video.opening import opened as opened

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.sidedata.sidedata import SideDataContainer

Size = tuple[int, int]

SCANNED_PACKETS = 3000
_ASPECTS = (Fraction(1, 4), Fraction(4))
_BT709, _UNTOLD = 1, 2
_FULL = 2
_SD = (576, 1279)
"""The largest height and width of standard definition."""
_SCALING = 0x4 | 0x2000 | 0x40000  # bicubic, with whole chroma and rounding; without these swscale darkens by 2 levels
_SHORT_WHITE = 65283  # what swscale makes 16-bit white of limited range


class Packet(NamedTuple):
    """When a stored picture is shown, in ticks of the stream (None: unknown), and for how long (0: unknown)."""

    pts: int | None
    duration: int


def scan(container: "InputContainer", stream: "av.VideoStream") -> list[Packet]:
    """The shown packets of the stream, undecoded: all, or the first of a long file, or those before damage."""
    import av

    found: list[Packet] = []
    try:
        for packet in container.demux(stream):
            if packet.size and not packet.is_discard and not _is_remark(stream, packet):
                found.append(Packet(packet.pts, packet.duration or 0))
            if len(found) >= SCANNED_PACKETS:
                break
    except (av.FFmpegError, OSError):
        return found  # what was found is what the file holds; decoding reports damage
    return found


def _is_remark(stream: "av.VideoStream", packet: "av.Packet[av.VideoStream]") -> bool:
    """Whether a packet of a GIF holds no picture: FFmpeg makes one of comments behind the last picture."""
    if stream.codec_context.name != "gif":
        return False
    content, at = bytes(packet), 0
    while content[at : at + 1] == b"\x21":  # an extension: its kind, then parts with their lengths, up to an empty one
        at += 2
        while content[at : at + 1].strip(b"\0"):
            at += 1 + content[at]
        at += 1
    return content[at : at + 1] in (b"", b"\x3b")


def decoded(path: PathLike, container: "InputContainer", stream: "av.VideoStream") -> "Iterator[av.VideoFrame]":
    """The whole pictures from where the container stands up to its end or to damage.

    Raises ValueError where damage comes before any picture.
    """
    return progressive(stored(path, container, stream))


def stored(path: PathLike, container: "InputContainer", stream: "av.VideoStream") -> "Iterator[av.VideoFrame]":
    """`decoded`, with interlaced pictures as they are."""
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
        likely = "damaged or encrypted"
        if stream.codec_context.width == 0:  # as FFmpeg leaves it for pictures that are too large
            likely = f"damaged, encrypted or larger than {MOST_PIXELS / 1e6:.0f} million pixels"
        raise ValueError(f"{os.fsdecode(path)}: {likely}, no picture decodes ({fault(damage)})")


def orientation(frame: "av.VideoFrame") -> tuple[bool, bool, bool]:
    """(transpose, then mirror left-right, then mirror top-bottom) that turn a stored picture upright.

    FFmpeg gives the orientation that EXIF tells as a display matrix too.
    """
    data = _side_data(frame).get("DISPLAYMATRIX")
    if data is None:
        return False, False, False
    # x' = a x + c y, y' = b x + d y; angles between quarter turns go to the nearest, a broken matrix of zeros to none.
    a, b, _, c, d = struct.unpack("<5i", bytes(data)[:20])
    if abs(b) + abs(c) > abs(a) + abs(d):
        return True, c < 0, b < 0
    return False, a < 0, d < 0


def _side_data(frame: "av.VideoFrame") -> "SideDataContainer":
    """What comes with a picture. PyAV's own `frame.side_data` would keep the picture until cycles are collected."""
    from av.sidedata.sidedata import SideDataContainer

    try:
        return SideDataContainer(frame)  # type: ignore[call-arg]
    except ValueError:  # EXIF and other kinds that PyAV has no name for
        return SideDataContainer(_without_unnamed(frame))  # type: ignore[call-arg]


def _without_unnamed(frame: "av.VideoFrame") -> "av.VideoFrame":
    """The same picture without side data of kinds that PyAV has no name for."""
    import av
    from av.sidedata.sidedata import Type

    graph = av.filter.Graph()
    last = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1))
    named = {kind.value for kind in Type}
    for number in set(range(64)) - named:
        following = graph.add("sidedata", f"mode=delete:type={number}")
        last.link_to(following)
        last = following
    sink = graph.add("buffersink")
    last.link_to(sink)
    graph.configure()
    graph.vpush(frame)
    graph.vpush(None)
    return graph.vpull()


def pixel_aspect(stream: "av.VideoStream") -> Fraction:
    """Width over height of a pixel; 1 where it is missing or implausible."""
    aspect = stream.sample_aspect_ratio
    return aspect if aspect is not None and _ASPECTS[0] <= aspect <= _ASPECTS[1] else Fraction(1)


def shown_size(frame: "av.VideoFrame", aspect: Fraction = Fraction(1)) -> Size:
    """Height and width of the picture when upright and of square pixels, for which the stored width changes."""
    height, width = frame.height, max(1, round(frame.width * aspect))
    return (width, height) if orientation(frame)[0] else (height, width)


def cover(shown: Size, size: Size | None) -> Size:
    """The smallest size of the aspect of `shown` that covers `size`; `shown` itself if there is none to cover."""
    if size is None:
        return shown
    scale = max(size[0] / shown[0], size[1] / shown[1])
    return max(size[0], round(shown[0] * scale)), max(size[1], round(shown[1] * scale))


def picture(frame: "av.VideoFrame", size: Size) -> np.ndarray:
    """The picture upright (H, W, 3) uint8 sRGB, resized to `size` with antialiasing, transparency laid over white."""
    transpose, mirror_x, mirror_y = orientation(frame)
    height, width = (size[1], size[0]) if transpose else size
    clear, convert = is_clear(frame), conversion(frame)
    deep = convert is not None or _has_more(frame)
    form = ("rgba64le" if clear else "rgb48le") if deep else ("rgba" if clear else "rgb24")
    reformatted = frame.reformat(width, height, form, src_colorspace=_guessed(frame), interpolation=_SCALING, threads=1)
    pixels = reformatted.to_ndarray()
    if deep:
        most = _most(frame)
        white = _SHORT_WHITE if _is_short(frame) else most
        colours = _of_8_bits(pixels[..., :3], white) if convert is None else convert(pixels[..., :3], white)
        pixels = np.concatenate([colours, _of_8_bits(pixels[..., 3:], most)], axis=-1)
    if clear:
        pixels = _over_white(pixels)
    if transpose:
        pixels = pixels.transpose(1, 0, 2)
    pixels = pixels[:: -1 if mirror_y else 1, :: -1 if mirror_x else 1]
    return np.ascontiguousarray(pixels)


def is_clear(frame: "av.VideoFrame") -> bool:
    """Whether pixels of the picture may be transparent."""
    return frame.format.has_palette or any(part.is_alpha for part in frame.format.components)


def _has_more(frame: "av.VideoFrame") -> bool:
    """Whether a picture has more than 8 bits that swscale would round up instead of to the nearest level."""
    short = _is_short(frame)
    return any(part.bits > 8 and (part.is_alpha or not short) for part in frame.format.components)


def _is_short(frame: "av.VideoFrame") -> bool:
    """Whether black and white are 16 and 235, or that of more bits; swscale takes all greys for full."""
    colours = sum(not part.is_alpha for part in frame.format.components)
    return frame.color_range != _FULL and not frame.format.is_rgb and colours > 1


def _most(frame: "av.VideoFrame") -> int:
    """What swscale makes of the largest value of a component, in 16 bits: it shifts what it does not convert to RGB."""
    bits = max(part.bits for part in frame.format.components)
    return 65535 if frame.format.is_rgb or bits > 16 else (2**bits - 1) << (16 - bits)


def _of_8_bits(codes: np.ndarray, white: int) -> np.ndarray:
    """The nearest levels (...) uint8 of codes (...) uint16, of which `white` is 255."""
    return np.minimum((codes * np.uint32(255) + np.uint32(white // 2)) // np.uint32(white), 255).astype(np.uint8)


def _guessed(frame: "av.VideoFrame") -> int | None:
    """The colour matrix of a file without one: BT.709 for high definition, also cropped, as in mpv and libplacebo.

    The default of FFmpeg, BT.601, is that of standard definition.
    """
    untold = frame.colorspace == _UNTOLD and not frame.format.is_rgb
    return _BT709 if untold and (frame.height > _SD[0] or frame.width > _SD[1]) else None


def cut(pixels: np.ndarray, size: Size | None, crop: tuple[float, float]) -> np.ndarray:
    """The window of `size` in pixels (..., H, W, 3), whose place goes from (0, 0), top left, to (1, 1)."""
    if size is None:
        return pixels
    top, left = (round(at * (has - want)) for at, has, want in zip(crop, pixels.shape[-3:-1], size, strict=True))
    return np.ascontiguousarray(pixels[..., top : top + size[0], left : left + size[1], :])


def seconds_shown(frame: "av.VideoFrame", fps: float, slack: float) -> float:
    """How long the last picture is shown: as stored, at most 60 s; one period if nothing else is stored."""
    stored = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else 0.0
    if stored <= 0 or abs(stored - 1 / fps) <= 4 * slack:
        return 1 / fps
    return min(stored, 60.0)


def stored_rate(frame: "av.VideoFrame") -> Fraction | None:
    """The frame rate stored in a PNG that this package wrote."""
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
