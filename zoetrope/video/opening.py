"""Opening untrusted media files: only regular files and containers with pictures, no other files and no network.

FFmpeg gets bytes, never a name; the containers that it may recognise are listed; it may not open anything else; and
pictures that are too large are refused by their header, before memory is allocated.
"""

import io
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from zoetrope.config.errors import expect_path
from zoetrope.video.member import Member
from zoetrope.video.naming import is_address

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

PathLike = str | os.PathLike[str]

MOST_PIXELS = 2**27
"""Height times width of the largest picture that is decoded: 134 million."""

# As FFmpeg names them. Raw streams and sound are among them for what is told: "has no video".
_CONTAINERS = (
    "mov,mp4,matroska,webm,avi,gif,apng,asf,dv,flv,mpeg,mpegts,mpegvideo,m4v,h264,hevc,vvc,av1,obu,ivf,mjpeg,mxf,nut,"
    "ogg,rm,swf,wtv,yuv4mpegpipe,h261,h263,vc1,dirac,mpjpeg,fits,"
    "png_pipe,jpeg_pipe,jpegls_pipe,jpegxl_pipe,jpegxl_anim,j2k_pipe,webp_pipe,bmp_pipe,tiff_pipe,gif_pipe,dds_pipe,"
    "dpx_pipe,exr_pipe,hdr_pipe,pam_pipe,pbm_pipe,pcx_pipe,pfm_pipe,pgm_pipe,pgmyuv_pipe,phm_pipe,ppm_pipe,psd_pipe,"
    "qoi_pipe,sgi_pipe,sunrast_pipe,xbm_pipe,xpm_pipe,xwd_pipe,ico,"
    "aac,ac3,aiff,au,eac3,flac,mp3,w64,wav"
)
_ANIMATED_WEBP = re.compile(rb"RIFF....WEBPVP8X....[\x02\x03\x06\x07\x0a-\x0f\x12-\xff]", re.DOTALL)
_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@contextmanager
def opened(path: PathLike) -> "Iterator[tuple[InputContainer, av.VideoStream]]":
    """The container and its video stream: the first that moves, or else the first.

    Raises ValueError, with the reason, where none can be decoded.
    """
    name = os.fsdecode(path)
    with opened_container(path) as container:
        stream = main_stream(container)
        if stream is None:
            kinds = ["a cover" if stream.type == "video" else stream.type for stream in container.streams]
            found = " and ".join(sorted(set(kinds), reverse=True)) or "no streams at all"
            raise ValueError(f"{name}: has no video, only {found}")
        # PyAV gives no context, against its annotations, where FFmpeg has no decoder.
        context: av.VideoCodecContext | None = stream.codec_context
        if context is None:
            raise ValueError(f"{name}: its video is in a format that FFmpeg cannot decode")
        check_size(name, context.height, context.width)
        context.options = {"max_pixels": str(MOST_PIXELS)}
        yield container, stream


def pictured(container: "InputContainer") -> "list[av.VideoStream]":
    """The video streams that are not the cover of a recording."""
    from av.stream import Disposition

    return [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]


def main_stream(container: "InputContainer") -> "av.VideoStream | None":
    """The video stream that is read: the first that moves, or else the first; None if there is none."""
    streams = pictured(container)
    return next((stream for stream in streams if stream.frames != 1), streams[0] if streams else None)


@contextmanager
def opened_container(path: PathLike) -> "Iterator[InputContainer]":
    """The container, whatever streams it has. Raises ValueError, with the reason, for what is no media file."""
    import av

    name = os.fsdecode(path)
    with file_of(path) as file:
        if not file.seek(0, os.SEEK_END):
            raise ValueError(f"{name}: is empty")
        file.seek(0)
        if _ANIMATED_WEBP.match(file.read(21)):
            raise ValueError(f"{name}: is an animated WebP, which FFmpeg cannot decode")
        file.seek(0)
        options = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "none", "max_pixels": str(MOST_PIXELS)}
        try:
            container = av.open(file, "r", options=options, metadata_errors="replace")
        except (av.FFmpegError, OSError, EOFError) as error:
            raise ValueError(f"{name}: not a media file, or cut off ({fault(error)})") from None
        with container:
            yield container


def file_of(path: PathLike) -> BinaryIO:
    """The bytes of a regular file or a member of a shard. Raises ValueError for anything else, without waiting."""
    if isinstance(path, Member):
        return io.BytesIO(path.read())
    expect_path("video", path)
    name = os.fsdecode(path)
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        why = "is an address; expected a file on this machine" if is_address(name) else "there is no such file"
        raise ValueError(f"{name}: {why}") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{name}: cannot be read ({fault(error)})") from None
    if stat.S_ISDIR(mode):
        raise ValueError(f"{name}: is a folder")
    if not stat.S_ISREG(mode):
        kind = next((text for test, text in _KINDS if test(mode)), "no regular file")
        raise ValueError(f"{name}: cannot be read (expected a file, it is {kind})")
    try:
        file = io.FileIO(os.fspath(path))
    except OSError as error:
        raise ValueError(f"{name}: cannot be read ({fault(error)})") from None
    file.name = "media"  # PyAV would tell FFmpeg the name, which reads patterns into it
    return io.BufferedReader(file)


def check_size(name: str, height: int, width: int) -> None:
    """Raise ValueError for pictures too large to be decoded."""
    if height * width > MOST_PIXELS:
        most = f"{MOST_PIXELS / 1e6:.0f} million pixels"
        raise ValueError(f"{name}: expected pictures of at most {most}, got {height} x {width}")


def fault(error: Exception) -> str:
    """What went wrong, in one line."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__).splitlines()[0]
