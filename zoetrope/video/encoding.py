"""Encoders, one file each: equal pictures become equal bytes, on any number of cores.

What would differ from one writing to the next is set: the number of threads, for it decides how x264 and libvpx divide
the work; random identifiers in containers; and B-frames of x264, whose decisions read memory that nobody wrote on
processors with AVX-512. Without them crf is half a step higher, which keeps the quality.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from zoetrope.files import whole
from zoetrope.video.opening import PathLike
from zoetrope.video.sound import Sound, has_sound, no_sound, sound_of
from zoetrope.video.tags import COMMON, gif_comment, gif_head, png_chunks

if TYPE_CHECKING:
    import av
    from av.container import OutputContainer
    from av.video.stream import VideoStream

Sink = Callable[[np.ndarray], None]

_BT709 = 1
_LIMITED = 1
_EXACT = 0x4 | 0x2000 | 0x40000 | 0x80000  # bicubic, whole chroma, rounded, the same on every processor
_THREADS = 4
_WORTH_THREADS = 640 * 360  # pixels; fewer are encoded in one thread, whose bytes are the same every time


class Output(NamedTuple):
    """What is common to the pictures of a file, and what goes along with them.

    `notes` takes what could not be kept, while the file is written.
    """

    suffix: str
    rate: Fraction
    height: int
    width: int
    tags: Mapping[str, str]
    sound_of: PathLike | None
    notes: list[str]


class _Codec(NamedTuple):
    muxer: str
    encoder: str
    options: dict[str, str]
    pix_fmt: str


_CODECS = {
    ".mp4": _Codec("mp4", "libx264", {"crf": "16.5", "preset": "veryfast", "bf": "0"}, "yuv420p"),
    ".webm": _Codec("webm", "libvpx-vp9", {"crf": "24", "b": "0", "cpu-used": "4", "row-mt": "1"}, "yuv420p"),
    ".gif": _Codec("gif", "gif", {}, "pal8"),
}


@contextmanager
def encoder(part: Path, output: Output) -> Iterator[Sink]:
    """A sink that encodes to one file, which is complete when the block ends."""
    import av

    pad = (output.height % 2, output.width % 2) if output.suffix == ".mp4" else (0, 0)
    prepare = _palettes(output) if output.suffix == ".gif" else _bt709
    count = 0
    muxer = _CODECS[output.suffix].muxer
    with (
        _sound(output) as open_sound,
        av.open(str(part), "w", format=muxer, container_options=_flags(output)) as container,
    ):
        container.metadata.update(output.tags if output.suffix != ".gif" else {})
        stream = _stream(container, output, pad)
        sound = open_sound(container)

        def sink(picture: np.ndarray) -> None:
            nonlocal count
            padded = np.pad(picture, ((0, pad[0]), (0, pad[1]), (0, 0)), mode="edge") if any(pad) else picture
            frame = av.VideoFrame.from_ndarray(padded, format="rgb24")
            frame.pts, frame.time_base = count, 1 / output.rate
            count += 1
            for ready in prepare(frame):
                container.mux(stream.encode(ready))
            sound.until(float(count / output.rate))

        yield sink
        for ready in [*prepare(None), None] if count else []:
            container.mux(stream.encode(ready))
        sound.finish()
    if output.suffix == ".gif" and output.tags:
        _put_comment(part, output.tags)


@contextmanager
def pictures(part: Path, output: Output) -> Iterator[Sink]:
    """A sink that writes each picture as a PNG named by its bare number in the new folder `part`."""
    part.mkdir()
    count = 0
    texts = {"fps": str(output.rate), **output.tags}

    def sink(picture: np.ndarray) -> None:
        nonlocal count
        (part / str(count)).write_bytes(_png(picture, texts))
        count += 1

    with _sound(output):
        yield sink


@contextmanager
def _sound(output: Output) -> "Iterator[Callable[[OutputContainer], Sound]]":
    """What opens the sound that goes along, if any can."""
    if output.sound_of is not None and output.suffix in (".mp4", ".webm"):
        with sound_of(output.sound_of, output.suffix, output.notes) as open_sound:
            yield open_sound
    else:
        if output.sound_of is not None and has_sound(output.sound_of):
            output.notes.append(f"a {output.suffix} holds no sound")
        yield no_sound


def _flags(output: Output) -> dict[str, str]:
    same = {"fflags": "+bitexact"}
    if output.suffix != ".mp4":
        return same
    return {**same, "movflags": "+faststart" + ("" if COMMON.issuperset(output.tags) else "+use_metadata_tags")}


def _stream(container: "OutputContainer", output: Output, pad: tuple[int, int]) -> "VideoStream":
    from av.video.stream import VideoStream

    codec = _CODECS[output.suffix]
    stream = container.add_stream(codec.encoder, rate=output.rate, options=codec.options)
    assert isinstance(stream, VideoStream)
    stream.height, stream.width = output.height + pad[0], output.width + pad[1]
    stream.pix_fmt = codec.pix_fmt
    if output.suffix != ".gif":
        context = stream.codec_context
        context.thread_count = _THREADS if stream.width * stream.height >= _WORTH_THREADS else 1
        context.thread_type = "FRAME"
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED
    return stream


def _put_comment(part: Path, tags: Mapping[str, str]) -> None:
    """Put a comment before the first picture of a GIF: of one behind the last, FFmpeg makes another picture."""
    with whole(part) as made, part.open("rb") as source, made.open("wb") as file:
        head = gif_head(source)
        source.seek(0)
        file.write(source.read(head) + gif_comment(tags))
        shutil.copyfileobj(source, file)


def _png(picture: np.ndarray, texts: Mapping[str, str]) -> bytes:
    """A PNG file with text chunks after its header."""
    import av

    encoder = av.CodecContext.create("png", "w")
    encoder.height, encoder.width = picture.shape[:2]
    encoder.pix_fmt, encoder.time_base = "rgb24", Fraction(1)
    packets = encoder.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")) + encoder.encode(None)
    body = b"".join(bytes(packet) for packet in packets)
    header = 8 + 25  # the signature and the IHDR chunk have fixed lengths
    return body[:header] + png_chunks(texts) + body[header:]


def _bt709(frame: "av.VideoFrame | None") -> "list[av.VideoFrame]":
    if frame is None:
        return []
    return [frame.reformat(format="yuv420p", dst_colorspace=_BT709, interpolation=_EXACT, threads=1)]


def _palettes(output: Output) -> "Callable[[av.VideoFrame | None], list[av.VideoFrame]]":
    """From pictures to pictures with a palette of their own; the filter keeps some back, None asks for the rest."""
    import av

    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=output.width, height=output.height, format=av.VideoFormat("rgb24"), time_base=1 / output.rate
    )
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
