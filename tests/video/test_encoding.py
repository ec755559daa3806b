"""What goes into files besides pictures, and that it is the same each time: equal bytes, tags, sound, no leftovers."""

import ctypes
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import Maker, numbered, picture_clip
from PIL import Image

from zoetrope.video import Video, open_writer, probe, read, read_tags, save_tensor

NAMES = ["a.mp4", "a.webm", "a.gif", "a.png", "a/", "a_%02d.png"]
TOLD = {"seed": 7, "text": 'a "b" \\ c'}
TAGS = {"title": "a red star — 犬", "comment": json.dumps(TOLD), "seed": "7", "model": "mini"}


@contextmanager
def memory_of(byte: int) -> Iterator[None]:
    """The C library fills memory that it gives with this, so that reading what nobody wrote shows."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        pytest.skip("needs the C library of GNU")
    library.mallopt(-6, byte)
    try:
        yield
    finally:
        library.mallopt(-6, 0)


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.gif", "a_%02d.png"])
def test_equal_pictures_become_equal_files(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (16, 24, 40, 3)).astype(np.uint8)
    video = Video(np.ascontiguousarray(noise.repeat(8, 1).repeat(8, 2)[:, :180, :310]), 3)
    found = set()
    for byte in (1, 85, 170):
        with memory_of(byte):
            video.save(f"{tmp_path}/{byte}{name}", tags={"title": "x", "seed": "1"})
        found.add(b"".join(path.read_bytes() for path in sorted(tmp_path.glob(f"{byte}a*"))))
    assert len(found) == 1


@pytest.mark.parametrize("name", NAMES)
def test_tags_come_back(tmp_path: Path, name: str) -> None:
    path = f"{tmp_path}/{name}"
    frames = numbered(1 if name == "a.png" else 5)
    Video(frames, 5).save(path, tags=TAGS)
    assert read_tags(path) == TAGS
    assert read(path).frames.shape == frames.shape
    assert read(path).fps == 5
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("name", NAMES)
def test_what_tells_nothing_has_no_tags(tmp_path: Path, name: str) -> None:
    path = f"{tmp_path}/{name}"
    Video(numbered(1 if name == "a.png" else 3), 5).save(path)
    assert read_tags(path) == {}


def test_tags_are_what_other_programs_read(tmp_path: Path) -> None:
    common = {key: TAGS[key] for key in ("title", "comment")}
    for name, tags in (("a.mp4", common), ("b.mp4", TAGS), ("a.webm", TAGS)):
        Video(numbered(3), 5).save(tmp_path / name, tags=tags)
        with av.open(str(tmp_path / name)) as container:
            assert {key.lower(): value for key, value in container.metadata.items()}.items() >= tags.items()
    assert b"\xa9nam" in (tmp_path / "a.mp4").read_bytes()  # the title where players look for it
    Video(numbered(1), 5).save(tmp_path / "a.png", tags=TAGS)
    with Image.open(tmp_path / "a.png") as image:
        assert image.text == {"fps": "5", **TAGS}
    Video(numbered(3), 5).save(tmp_path / "a.gif", tags=TAGS)
    with Image.open(tmp_path / "a.gif") as image:
        assert json.loads(image.info["comment"]) == TAGS
        assert image.n_frames == 3
    with av.open(str(tmp_path / "a.gif")) as container:  # no picture more, as FFmpeg makes of a comment behind them
        assert container.duration == pytest.approx(3 / 5 * av.time_base)
    Video(numbered(3), 5).save(f"{tmp_path}/pictures/", tags=TAGS)
    assert json.loads((tmp_path / "pictures" / "frame.tags.json").read_text()) == TAGS
    assert Image.open(tmp_path / "a.png").size == (64, 48)


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"Title": "x"}, "expected names of small letters"),
        ({"": "x"}, "expected names of small letters"),
        ({"fps": "3"}, "expected names of small letters"),
        ({"title": "a\0b"}, "tags.title: expected a text"),
        ({"title": 3}, "tags.title: expected a text"),
        ({"title": "\ud83d"}, "tags.title: expected Unicode text"),
    ],
)
def test_impossible_tags(tmp_path: Path, tags: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Video(numbered(2), 5).save(tmp_path / "a.mp4", tags=tags)
    assert list(tmp_path.iterdir()) == []


def test_damaged_tags_are_none(tmp_path: Path) -> None:
    for name in ("a.gif", "a.png", "a.mp4"):
        Video(numbered(1), 5).save(tmp_path / name, tags=TAGS)
        whole = (tmp_path / name).read_bytes()
        for end in (9, 20, 40, len(whole) // 2, len(whole) - 3):
            (tmp_path / f"cut{Path(name).suffix}").write_bytes(whole[:end])
            try:
                found = read_tags(tmp_path / f"cut{Path(name).suffix}")
            except ValueError as error:
                assert "\n" not in str(error)
            else:
                assert all(isinstance(value, str) for value in found.values())


def beeping(
    path: Path,
    codec: str,
    rate: int,
    *,
    layout: str = "stereo",
    start: float = 0.0,
    seconds: int = 3,
    still: bool = False,
) -> Path:
    """A video with a beep of a tenth of a second at the beginning of each second after the first picture.

    With a `still` a picture at 0 s is a video stream of its own before.
    """
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("libx264", rate=24)] if still else []
        out = container.add_stream("libvpx" if path.suffix == ".webm" else "libx264", rate=24)
        out.width, out.height, out.pix_fmt = 64, 48, "yuv420p"
        tone = container.add_stream(codec, rate=rate, layout=layout)
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(1)[0], format="rgb24")))
            container.mux(stream.encode(None))
        for k, picture in enumerate(numbered(24).repeat(seconds, 0)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = k + round(start * 24), Fraction(1, 24)
            container.mux(out.encode(frame))
        container.mux(out.encode(None))
        times = np.arange(rate * seconds) / rate
        wave = (np.sin(2 * np.pi * 440 * times) * (times % 1 < 0.1) * 0.5).astype(np.float32)
        for first in range(0, len(wave), 1024):
            block = wave[None, first : first + 1024].repeat(tone.codec_context.layout.nb_channels, 0)
            sound = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
            sound.sample_rate, sound.pts, sound.time_base = rate, first + round(start * rate), Fraction(1, rate)
            container.mux(tone.encode(sound))
        container.mux(tone.encode(None))
    return path


def heard(path: Path) -> tuple[str, list[float], float]:
    """The codec, when each beep begins after the first picture, and when the sound ends."""
    begin = probe(path).start
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler("flt", "mono", 8000)
        blocks = [block for frame in container.decode(stream) for block in resampler.resample(frame)]
        name = stream.codec_context.codec.canonical_name
    first = float(blocks[0].pts * blocks[0].time_base) - begin
    wave = np.abs(np.concatenate([block.to_ndarray()[0] for block in blocks]))
    loud = np.flatnonzero(wave > 0.2 * wave.max())
    begins = loud[np.diff(loud, prepend=-9999) > 2000]
    return name, [float(at) / 8000 + first for at in begins], first + len(wave) / 8000


@pytest.mark.parametrize(
    ("source", "codec", "rate", "target", "stored", "notes"),
    [
        ("s.mp4", "aac", 44100, "o.mp4", "aac", []),
        ("s.mp4", "aac", 44100, "o.webm", "opus", ["its sound (aac) is encoded anew as opus"]),
        ("s.mkv", "pcm_s16le", 22050, "o.mp4", "aac", ["its sound (pcm_s16le) is encoded anew as aac"]),
        ("s.webm", "libopus", 48000, "o.webm", "opus", []),
        ("s.webm", "libopus", 48000, "o.mp4", "opus", []),
        ("s.avi", "libmp3lame", 44100, "o.mp4", "mp3", []),
        ("s.ts", "aac", 48000, "o.mp4", "aac", []),
    ],
)
def test_sound_goes_along(
    tmp_path: Path, source: str, codec: str, rate: int, target: str, stored: str, notes: list[str]
) -> None:
    start = 1.5 if source == "s.ts" else 0.0
    made = beeping(tmp_path / source, codec, rate, start=start)
    with open_writer(tmp_path / target, 24, 48, 64, sound_of=made) as writer:
        writer.write(numbered(12).repeat(3, 0))  # 1.5 of 3 seconds
    assert writer.notes == notes
    name, beeps, end = heard(tmp_path / target)
    assert name == stored
    assert beeps == pytest.approx([0, 1], abs=0.04)
    assert end == pytest.approx(1.5, abs=0.06)
    assert read(tmp_path / target).frames.shape == (36, 48, 64, 3)
    assert probe(tmp_path / target).fps == 24


def test_sound_begins_with_the_stream_that_is_read(tmp_path: Path) -> None:
    made = beeping(tmp_path / "s.mp4", "aac", 44100, start=1.0, still=True)
    assert (probe(made).start, probe(made).frames) == (1.0, 72)
    with open_writer(tmp_path / "o.mp4", 24, 48, 64, sound_of=made) as writer:
        writer.write(read(made).frames)
    assert heard(tmp_path / "o.mp4")[1] == pytest.approx([0, 1, 2], abs=0.04)


def test_sound_of_many_streams_and_channels(tmp_path: Path) -> None:
    source = tmp_path / "s.mkv"
    with av.open(str(source), "w") as container:
        tones = [container.add_stream("pcm_s16le", rate=8000, layout=layout) for layout in ("mono", "5.1")]
        tones[1].metadata["language"] = "deu"
        for tone in tones:
            shape = (1, 8000 * tone.codec_context.layout.nb_channels)
            block = np.full(shape, 900, np.int16)
            sound = av.AudioFrame.from_ndarray(block, format="s16", layout=tone.codec_context.layout.name)
            sound.sample_rate = 8000
            container.mux(tone.encode(sound))
            container.mux(tone.encode(None))
    for name in ("o.mp4", "o.webm"):
        with open_writer(tmp_path / name, 24, 48, 64, sound_of=source) as writer:
            writer.write(numbered(12))
        assert len(writer.notes) == 2
        with av.open(str(tmp_path / name)) as container:
            assert [tone.codec_context.layout.nb_channels for tone in container.streams.audio] == [1, 2]


def test_sound_never_costs_the_video(tmp_path: Path, make_video: Maker, sound: Path) -> None:
    made = beeping(tmp_path / "s.mp4", "aac", 44100)
    broken = bytearray(made.read_bytes())
    middle = broken.index(b"mdat") + 4
    broken[middle : middle + len(broken) // 3] = bytes(len(broken) // 3)
    (tmp_path / "broken.mp4").write_bytes(broken)
    (tmp_path / "text.mp4").write_text("nothing to be heard\n" * 40)
    silent = make_video("silent.mp4", numbered(3))
    for source, notes in (
        (silent, []),
        (tmp_path / "text.mp4", ["its sound is left out"]),
        (tmp_path / "gone.mp4", ["its sound is left out"]),
        (tmp_path / "broken.mp4", None),
        (sound, ["its sound (pcm_s16le) is encoded anew as"]),
        (tmp_path, []),
        (tmp_path / "a_%04d.png", []),
    ):
        for name in ("o.mp4", "o.webm"):
            with open_writer(tmp_path / name, 24, 48, 64, sound_of=source) as writer:
                writer.write(numbered(6))
            if notes is not None:
                assert len(writer.notes) == len(notes)
                assert all(one.startswith(note) for one, note in zip(writer.notes, notes, strict=True))
            assert len(read(tmp_path / name).frames) == 6
    for name in ("o.gif", "pictures/"):
        with open_writer(f"{tmp_path}/{name}", 24, 48, 64, sound_of=made) as writer:
            writer.write(numbered(2))
        assert writer.notes == [f"a {'.gif' if name == 'o.gif' else '.png'} holds no sound"]
    for source in (silent, tmp_path / "a_%04d.png", tmp_path / "gone.mp4"):
        with open_writer(tmp_path / "o.gif", 24, 48, 64, sound_of=source) as writer:
            writer.write(numbered(2))
        assert writer.notes == []  # there is none to be lost


def test_saving_passes_tags_and_sound_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    video = Video(picture_clip(12), 24)
    made = beeping(tmp_path / "s.mkv", "pcm_s16le", 8000, layout="mono", seconds=1)
    video.save(tmp_path / "a.mp4", tags=TAGS, sound_of=made)
    save_tensor(video.to_tensor(), 24, tmp_path / "b.mp4", tags=TAGS, sound_of=made)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    assert read_tags(tmp_path / "b.mp4") == TAGS
    assert "is encoded anew as aac" in caplog.text


ENDLESS = """
import numpy as np
from zoetrope.video import open_writer
with open_writer({name!r}, 24, 48, 64) as writer:
    print("ready", flush=True)
    while True:
        writer.write(np.zeros((48, 64, 3), np.uint8))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no such signals")
@pytest.mark.parametrize(("name", "sent"), [("a.mp4", "SIGTERM"), ("pictures/", "SIGHUP")])
def test_a_signal_leaves_nothing(tmp_path: Path, name: str, sent: str) -> None:
    number, program = getattr(signal, sent), ENDLESS.format(name=name)
    with subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(0.3)
        assert len(list(tmp_path.iterdir())) == 1
        process.send_signal(number)
        assert process.wait(60) == 128 + number
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no such signals")
def test_signals_of_the_program_stay_its_own(tmp_path: Path) -> None:
    caught: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: caught.append(number))
    try:
        with open_writer(tmp_path / "a.mp4", 24, 48, 64) as writer:
            signal.raise_signal(signal.SIGTERM)
            writer.write(numbered(2))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert caught == [signal.SIGTERM]
    with pytest.raises(SystemExit, match=str(128 + signal.SIGHUP)), open_writer(tmp_path / "b.mp4", 24, 48, 64):
        signal.raise_signal(signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
