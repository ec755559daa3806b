"""Writing videos: picture by picture, to mp4, webm, gif or png.

A file appears whole or not at all, and so does each picture of a sequence.
"""

import math
import os
import re
import secrets
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zoetrope.config import unknown

if TYPE_CHECKING:
    import av

SUFFIXES = (".gif", ".mp4", ".png", ".webm")
SEQUENCE = "frame_%04d.png"
_CODECS: dict[str, tuple[str, str, dict[str, str], dict[str, str]]] = {
    ".mp4": ("mp4", "libx264", {"crf": "16", "preset": "veryfast"}, {"movflags": "+faststart"}),
    ".webm": ("webm", "libvpx-vp9", {"crf": "24", "b": "0", "cpu-used": "4", "row-mt": "1"}, {}),
    ".gif": ("gif", "gif", {}, {}),
}
_BT709 = 1
_LIMITED = 1

_Sink = Callable[[np.ndarray], None]


def check_output(path: str | os.PathLike[str], frames: int | None = None) -> None:
    """Raise ValueError, with one line that says why, if a video of so many frames cannot be written to `path`.

    The name says how it is written. `.mp4` is H.264 (an odd height or width grows by one, repeating the edge), `.webm`
    is VP9, `.gif` has a palette for each picture and at most 50 pictures a second. An existing folder or a name that
    ends in "/" is filled with frame_0000.png, frame_0001.png, ...; a `.png` name with a pattern such as %04d is such a
    sequence too, and without one a single picture. An existing file is replaced; pictures of a sequence never are.
    """
    target = Path(path)
    if sequence := sequence_pattern(path):
        folder = sequence.parent if sequence.parent.is_dir() else sequence.parent.parent
        if sequence_files(sequence):
            raise ValueError(f"{path}: already holds pictures of this name ({sequence_files(sequence)[0].name})")
    else:
        folder = target.parent
        if not target.suffix:
            raise ValueError(f"{path}: expected a name ending in {', '.join(SUFFIXES)}, or a folder ending in '/'")
        if target.suffix.lower() not in SUFFIXES:
            raise ValueError(f"{path}: {unknown('suffix', target.suffix, SUFFIXES)} (legal: {', '.join(SUFFIXES)})")
        if target.suffix.lower() == ".png" and frames is not None and frames > 1:
            better = f"{target.stem}_%04d.png"
            raise ValueError(f"{path}: one .png holds one picture, not {frames}; name a folder or {better}")
    if not folder.is_dir():
        raise ValueError(f"{path}: the folder {str(folder)!r} does not exist")
    probe = folder / _temporary_name(target.name)
    try:
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise ValueError(f"{path}: cannot write in the folder {str(folder)!r} ({error.strerror})") from None


def sequence_pattern(path: str | os.PathLike[str]) -> Path | None:
    """The pattern of names if `path` means a sequence of pictures, else None. Raises ValueError for a bad pattern."""
    target = Path(path)
    if os.fspath(path).endswith(("/", os.sep)) or target.is_dir():
        return target / SEQUENCE
    if target.suffix.lower() != ".png" or "%" not in target.name:
        return None
    if not re.fullmatch(r"[^%]*%(0\d+)?d[^%]*", target.name):
        raise ValueError(f"{path}: expected one number pattern such as %04d in the name of a picture sequence")
    return target


def sequence_files(pattern: Path) -> list[Path]:
    """The existing pictures of a sequence, in the order of their numbers."""
    before, after = re.split(r"%(?:0\d+)?d", pattern.name)
    number = re.compile(re.escape(before) + r"(\d+)" + re.escape(after))
    folder = pattern.parent
    found = ((number.fullmatch(file.name), file) for file in (folder.iterdir() if folder.is_dir() else ()))
    return [file for _, file in sorted((int(match[1]), file) for match, file in found if match)]


class Writer:
    """Accepts the pictures of a video as they become ready; made by `open_writer`."""

    def __init__(self, sink: _Sink, height: int, width: int) -> None:
        self._sink = sink
        self._size = (height, width)
        self.frames = 0

    def write(self, frames: np.ndarray) -> None:
        """Append pictures (F, H, W, 3) or one picture (H, W, 3), uint8. Raises ValueError for another shape or type."""
        pictures = frames[None] if frames.ndim == 3 else frames
        if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[1:] != (*self._size, 3):
            wanted = ("F", *self._size, 3)
            raise ValueError(f"Writer.write: expected {wanted} uint8, got {frames.shape} {frames.dtype}")
        for picture in pictures:
            self._sink(np.ascontiguousarray(picture))
            self.frames += 1


@contextmanager
def open_writer(path: str | os.PathLike[str], fps: float, height: int, width: int) -> Iterator[Writer]:
    """A `Writer` to `path`; the file appears when the block ends, and after any error in it there is no file.

    The pictures of a sequence appear one after the other then, each of them whole.

    Raises ValueError for what `check_output` refuses, an impossible rate or size, and a block that wrote nothing;
    OSError where the disk is full.
    """
    import av

    check_output(path)
    suffix = ".png" if sequence_pattern(path) else Path(path).suffix.lower()
    _check_grid(path, suffix, fps, height, width)
    pattern = sequence_pattern(path)
    target = pattern or Path(path)
    folder = target.parent if target.parent.is_dir() else target.parent.parent
    part = folder / _temporary_name(Path(path).name)
    opened = _pictures if suffix == ".png" else _encoder
    try:
        with opened(part, suffix, exact_rate(fps), height, width) as sink:
            writer = Writer(sink, height, width)
            yield writer
            if not writer.frames:
                raise ValueError(f"{path}: no pictures were written")
            if suffix == ".png" and pattern is None and writer.frames > 1:
                raise ValueError(f"{path}: one .png holds one picture, not {writer.frames}; name a folder")
        _publish(part, target, pattern is not None)
    except av.FFmpegError as error:
        raise OSError(error.errno, f"cannot write the video ({error.strerror})", os.fspath(path)) from error
    finally:
        if part.is_dir():
            shutil.rmtree(part)
        else:
            part.unlink(missing_ok=True)


def save_image(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Write one picture (H, W, 3) uint8 as a PNG. Raises ValueError for a name that cannot be written."""
    if Path(path).suffix.lower() != ".png" or sequence_pattern(path):
        raise ValueError(f"{path}: expected the name of one .png file")
    with open_writer(path, 1.0, *image.shape[:2]) as writer:
        writer.write(image)


def exact_rate(fps: float) -> Fraction:
    """The frame rate as the fraction that files store, such as 24000/1001."""
    return Fraction(fps).limit_denominator(10_000)


def _temporary_name(name: str) -> str:
    """A new hidden name that tells whose it is; file systems count its length, at most 255, in bytes."""
    beginning = name.encode("utf-8", "ignore")[:100].decode("utf-8", "ignore")
    return f".{beginning}.{secrets.token_hex(6)}.part"


def _check_grid(path: str | os.PathLike[str], suffix: str, fps: float, height: int, width: int) -> None:
    if height < 1 or width < 1:
        raise ValueError(f"{path}: expected a height and width of at least 1, got {height} x {width}")
    highest = 50 if suffix == ".gif" else 1000
    if not (math.isfinite(fps) and 0.001 <= fps <= highest):
        raise ValueError(f"{path}: expected from 0.001 to {highest} pictures a second for {suffix}, got {fps:g}")


def _publish(part: Path, target: Path, sequence: bool) -> None:
    """Give what is written its name.

    One file takes its place in one step, and so does each picture of a sequence; the sequence as a whole does not. If
    its renaming is cut off, the pictures up to there, all whole, stay in the folder.
    """
    if not part.is_dir():
        part.replace(target)
    elif not sequence:
        (part / "0").replace(target)
    else:
        target.parent.mkdir(exist_ok=True)
        for number in range(len(list(part.iterdir()))):
            (part / str(number)).rename(target.parent / (target.name % number))


@contextmanager
def _encoder(part: Path, suffix: str, rate: Fraction, height: int, width: int) -> Iterator[_Sink]:
    """A sink that encodes to one file, which is complete when the block ends."""
    import av
    from av.video.stream import VideoStream

    muxer, codec, options, container_options = _CODECS[suffix]
    pad = (height % 2, width % 2) if suffix == ".mp4" else (0, 0)
    prepare = _palettes(height, width, rate) if suffix == ".gif" else _bt709
    with av.open(str(part), "w", format=muxer, container_options=container_options) as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = height + pad[0], width + pad[1]
        stream.pix_fmt = "pal8" if suffix == ".gif" else "yuv420p"
        if suffix != ".gif":
            context = stream.codec_context
            context.colorspace = context.color_primaries = context.color_trc = _BT709
            context.color_range = _LIMITED
        count = 0

        def sink(picture: np.ndarray) -> None:
            nonlocal count
            padded = np.pad(picture, ((0, pad[0]), (0, pad[1]), (0, 0)), mode="edge") if any(pad) else picture
            frame = av.VideoFrame.from_ndarray(padded, format="rgb24")
            frame.pts, frame.time_base = count, 1 / rate
            count += 1
            for ready in prepare(frame):
                container.mux(stream.encode(ready))

        yield sink
        for ready in [*prepare(None), None] if count else []:
            container.mux(stream.encode(ready))


@contextmanager
def _pictures(part: Path, suffix: str, rate: Fraction, height: int, width: int) -> Iterator[_Sink]:
    """A sink that writes each picture as a PNG named by its bare number in the new folder `part`."""
    part.mkdir()
    count = 0

    def sink(picture: np.ndarray) -> None:
        nonlocal count
        (part / str(count)).write_bytes(_png(picture, rate))
        count += 1

    yield sink


def _png(picture: np.ndarray, rate: Fraction) -> bytes:
    """A PNG file that also tells its frame rate, in a text chunk after the header."""
    import av

    encoder = av.CodecContext.create("png", "w")
    encoder.height, encoder.width = picture.shape[:2]
    encoder.pix_fmt, encoder.time_base = "rgb24", Fraction(1)
    packets = encoder.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")) + encoder.encode(None)
    body = b"".join(bytes(packet) for packet in packets)
    text = b"tEXt" + f"fps\0{rate}".encode("ascii")
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    header = 8 + 25  # the signature and the IHDR chunk have fixed lengths
    return body[:header] + chunk + body[header:]


def _bt709(frame: "av.VideoFrame | None") -> "list[av.VideoFrame]":
    return [] if frame is None else [frame.reformat(format="yuv420p", dst_colorspace=_BT709)]


def _palettes(height: int, width: int, rate: Fraction) -> "Callable[[av.VideoFrame | None], list[av.VideoFrame]]":
    """From pictures to pictures with a palette of their own; the filter keeps some back, None asks for the rest."""
    import av

    graph = av.filter.Graph()
    source = graph.add_buffer(width=width, height=height, format=av.VideoFormat("rgb24"), time_base=1 / rate)
    split, make = graph.add("split"), graph.add("palettegen", "stats_mode=single:reserve_transparent=0")
    use, sink = graph.add("paletteuse", "new=1:dither=bayer"), graph.add("buffersink")
    source.link_to(split)
    split.link_to(use, 0, 0)
    split.link_to(make, 1, 0)
    make.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()

    def prepare(frame: av.VideoFrame | None) -> list[av.VideoFrame]:
        graph.vpush(frame)
        ready = []
        while True:
            try:
                ready.append(graph.vpull())
            except (av.BlockingIOError, av.EOFError):
                return ready

    return prepare
