"""Files of anybody: nothing but media is opened, nothing waits, and what a file claims costs no memory."""

import gc
import io
import struct
import tarfile
import threading
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import Maker, local_socket, make_pipe, number_of, numbered, picture_clip

from zoetrope.video import Member, expected_frames, probe, read, stream
from zoetrope.video.decoding import decoded, opened, orientation
from zoetrope.video.opening import MOST_PIXELS
from zoetrope.video.timing import count_moments, moments

SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 7790 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
M3U8 = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nother.mp4\n#EXT-X-ENDLIST\n"
DASH = '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period/></MPD>'
LISTS = {
    "sdp": SDP,
    "m3u8": M3U8,
    "dash": DASH,
    "concat": "ffconcat version 1.0\nfile other.mp4\n",
    "sap": "\x20\0\0\0",
}


def member(tmp_path: Path, content: bytes) -> Member:
    """The content as a member of a shard."""
    about = tarfile.TarInfo("a.mp4")
    about.size = len(content)
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        tar.addfile(about, io.BytesIO(content))
    return Member(tmp_path / "s.tar", "a.mp4", 512, len(content))


@pytest.mark.parametrize("kind", LISTS)
def test_lists_of_other_files_and_streams_are_no_media(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch, make_video: Maker
) -> None:
    make_video("other.mp4", numbered(3))
    (tmp_path / "a.mp4").write_text(LISTS[kind])
    monkeypatch.chdir(tmp_path)
    before = Path("/proc/net/udp").read_text()
    for path in ("a.mp4", member(tmp_path, LISTS[kind].encode())):
        with pytest.raises(ValueError, match=r"^a\.mp4: not a media file"):
            probe(path)
    assert len(Path("/proc/net/udp").read_text().splitlines()) <= len(before.splitlines())


@pytest.mark.parametrize("kind", ["a pipe", "a socket", "a device"])
def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with local_socket() as end:
        name = {"a pipe": "p.mp4", "a socket": "s.mp4", "a device": "/dev/zero"}[kind]
        if kind == "a pipe":
            make_pipe(name)
        elif kind == "a socket":
            end.bind(name)
        found: list[str] = []

        def look() -> None:
            with pytest.raises(ValueError, match=f"{name}: cannot be read .*{kind}") as caught:
                probe(name)
            found.append(str(caught.value))

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        thread.join(10)
        assert len(found) == 1


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_a_codec_without_a_decoder_is_told(make_video: Maker, container: str) -> None:
    path = make_video(f"a.{container}", numbered(3))
    body = bytearray(path.read_bytes())
    if container == "mp4":
        at = body.index(b"avc1", body.index(b"stsd"))
        body[at : at + 4] = b"zzzz"
    else:
        body = body.replace(b"V_MPEG4/ISO/AVC", b"V_NOBODY/KNO/WS")
    path.write_bytes(body)
    with pytest.raises(ValueError, match=r"a\.\w+: its video is in a format that FFmpeg cannot decode$"):
        probe(path)


def png_of(height: int, width: int) -> bytes:
    """A black picture of one bit a pixel, which takes few bytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((width // 8 + 1) * height), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_large_pictures_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    side = int(MOST_PIXELS**0.5)
    (tmp_path / "most.png").write_bytes(png_of(side // 4, side * 2))
    assert probe(tmp_path / "most.png").width == side * 2
    (tmp_path / "more.png").write_bytes(png_of(side + 1, side + 1))
    with pytest.raises(ValueError, match=r"more\.png: .*134 million pixels"):
        probe(tmp_path / "more.png")
    gif = b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + bytes(6)
    gif += b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x02\x02\x44\x01\0;"
    (tmp_path / "a.gif").write_bytes(gif)
    with pytest.raises(ValueError, match=r"a\.gif: .*134 million pixels"):
        probe(tmp_path / "a.gif")


@pytest.mark.parametrize("late", [10**6, 10**8, 10**12])
def test_a_late_time_is_told(make_video: Maker, late: int) -> None:
    pts = [k * 100 + (late * 1000 if k >= 12 else 0) for k in range(24)]
    with pytest.raises(ValueError, match=r"expected at most 3600 s from one picture to the next, its time stamps say"):
        probe(make_video("a.mkv", numbered(24), pts=pts))


def test_lengths_are_counted_and_not_listed(make_video: Maker) -> None:
    path = make_video("a.mkv", numbered(4), pts=[0, 3_000_000, 6_000_000, 9_000_000])
    info = probe(path)
    assert expected_frames(info, 1000) == count_moments(0, 1000, info.seconds, info.slack) > 9_000_000
    assert number_of(read(path, fps=1 / 1500).frames) == [0, 0, 1, 1, 2, 2, 3]
    with pytest.raises(ValueError, match="more than 100000 pictures; ask for fewer `frames`"):
        read(path, fps=1000)
    shown = stream(path, fps=1000)
    assert number_of(np.stack([next(shown) for _ in range(3)])) == [0, 0, 0]
    with pytest.raises(ValueError, match="expected at most"):
        moments(0.0, 1e9, 3600.0, 0.0, None)


def test_a_name_with_per_cent_that_exists_is_a_picture(tmp_path: Path) -> None:
    from zoetrope.video import save_image

    for number, name in enumerate(("sale 50%.png", "100%d.png", "a_%04d.png", "%s%s.png")):
        save_image(tmp_path / "plain.png", numbered(number + 1)[-1])
        (tmp_path / "plain.png").rename(tmp_path / name)
        assert probe(tmp_path / name).still
        assert number_of(read(tmp_path / name).frames) == [number]


def alive() -> int:
    """How many decoded pictures are in memory."""
    return sum(type(thing) is av.VideoFrame for thing in gc.get_objects())


def most_alive(path: Path, turned: int) -> int:
    """How many pictures are in memory at most while a file is decoded."""
    most = 0
    with opened(path) as (container, found):
        for frame in decoded(path, container, found):
            assert orientation(frame)[0] == (turned == 90)
            most = max(most, alive())
    return most


@pytest.mark.parametrize("turned", [0, 90])
def test_pictures_are_freed_at_once(make_video: Maker, turned: int) -> None:
    path = make_video("a.mp4", numbered(12), turned=turned)
    gc.collect()
    gc.disable()
    try:
        before = alive()
        assert most_alive(path, turned) - before <= 4
        read(path)
        probe(path)
        assert alive() == before
    finally:
        gc.enable()


def test_the_cover_of_a_recording_is_no_video(tmp_path: Path, make_video: Maker) -> None:
    still = make_video("cover.png", numbered(1), codec="png", pix_fmt="rgb24").read_bytes()
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        tone = container.add_stream("aac", rate=8000, layout="mono")
        cover = container.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(tone.encode(frame))
        container.mux(tone.encode(None))
        packet = av.Packet(still)
        packet.stream, packet.pts, packet.dts, packet.time_base = cover, 0, 0, Fraction(1)
        container.mux(packet)
    with pytest.raises(ValueError, match=r"a\.mp4: has no video, only audio and a cover$"):
        probe(path)


def test_metadata_that_is_no_text_costs_nothing(make_video: Maker) -> None:
    path = make_video("a.mkv", picture_clip(3))
    body = path.read_bytes()
    assert body.count(b"Lavf") >= 1
    path.write_bytes(body.replace(b"Lavf", b"\xff\xfe\xff\xfe"))
    assert len(read(path).frames) == 3
