"""Reading videos: the picture shown at the time asked for, whatever the file, and why a file cannot be read."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import Maker, local_socket, number_of, numbered, picture_clip
from hypothesis import given, settings
from hypothesis import strategies as st

from zoetrope.video import probe, read, read_track
from zoetrope.video.timing import moments, pick, simplest, timing


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.mkv"])
def test_any_rate_by_timestamp(make_video: Maker, name: str) -> None:
    path = make_video(name, numbered(24), codec="libvpx-vp9" if name.endswith("webm") else "libx264")
    assert number_of(read(path).frames) == list(range(24))
    assert number_of(read(path, fps=6).frames) == [0, 4, 8, 12, 16, 20]
    assert number_of(read(path, fps=16, frames=5).frames) == [0, 1, 3, 4, 6]
    assert number_of(read(path, fps=60, frames=6).frames) == [0, 0, 0, 1, 1, 2]
    assert number_of(read(path, start=0.5, frames=3).frames) == [12, 13, 14]
    assert number_of(read(path, start=0.49, frames=2).frames) == [11, 12]
    assert number_of(read(path, start=22.5 / 24, frames=30).frames) == [22, 23]


def test_timestamps_on_a_coarse_grid_are_not_taken_for_rounded_ones(make_video: Maker) -> None:
    path = make_video("a.avi", numbered(8), codec="mjpeg", pix_fmt="yuvj420p")  # one tick is one period
    assert number_of(read(path, fps=24 * 8, frames=17).frames) == [0] * 8 + [1] * 8 + [2]


def test_variable_rate(make_video: Maker) -> None:
    pts = [0, 100, 120, 500, 530, 1000]
    path = make_video("a.mkv", numbered(6), pts=pts)
    info = probe(path)
    assert info.variable_rate
    assert info.frames == 6
    assert info.fps == pytest.approx(5)
    assert number_of(read(path, fps=10, frames=11).frames) == [0, 1, 2, 2, 2, 3, 4, 4, 4, 4, 5]
    assert number_of(read(path, fps=100, start=0.09, frames=5).frames) == [0, 1, 1, 2, 2]


@given(
    steps=st.lists(st.integers(1, 40), min_size=1, max_size=30),
    fps=st.floats(1, 120),
    start=st.floats(0, 0.5),
)
@settings(max_examples=200, deadline=None)
def test_picking_is_the_last_picture_not_after_the_time(steps: list[int], fps: float, start: float) -> None:
    times = np.cumsum([0, *steps]) / 100
    wanted = moments(start, fps, times[-1] + 0.01, 0.0, None)
    for at, index in zip(wanted, pick(times, wanted, 0.0), strict=True):
        assert times[index] <= at + 2e-6
        assert index == len(times) - 1 or times[index + 1] > at


@given(
    fps=st.sampled_from([3, 6, 12, 15, 23, 24, 25, 30, 50, 60]),
    per_second=st.sampled_from([1000, 600, 90_000]),
    count=st.integers(20, 90),
)
@settings(max_examples=100, deadline=None)
def test_rates_are_recovered_from_rounded_times(fps: int, per_second: int, count: int) -> None:
    ticks = [round(Fraction(k * per_second, fps)) for k in range(count)]
    found = timing(ticks, Fraction(1, per_second), None)
    assert found.constant
    assert found.fps == fps


@given(low=st.fractions(Fraction(1, 100), 100), width=st.fractions(0, 1))
@settings(deadline=None)
def test_simplest_fraction(low: Fraction, width: Fraction) -> None:
    found = simplest(low, low + width)
    assert low <= found <= low + width
    for denominator in range(1, min(found.denominator, 50)):
        assert -(-low * denominator // 1) > (low + width) * denominator


def test_reading_from_the_middle_equals_slicing(make_video: Maker) -> None:
    path = make_video("a.mp4", picture_clip(30), options={"g": "7", "bf": "3"})
    whole = read(path).frames
    track = read_track(path, probe(path))
    for first in range(30):
        part = read(path, start=first / 24, frames=4).frames
        assert np.array_equal(part, whole[first : first + 4])
        assert np.array_equal(track.at(24, first / 24, 4), part)


def test_size_covers_and_crops(make_video: Maker) -> None:
    frames = np.zeros((2, 40, 80, 3), np.uint8)
    frames[:, :, :40, 0] = 255
    frames[:, :, 40:, 2] = 255
    path = make_video("a.mkv", frames, codec="ffv1", pix_fmt="bgr0")
    left, right = (read(path, size=(20, 20), crop=(0.5, at)).frames for at in (0.0, 1.0))
    assert left.shape == right.shape == (2, 20, 20, 3)
    assert np.abs(left.astype(int) - (255, 0, 0))[:, :, :18].max() <= 2
    assert np.abs(right.astype(int) - (0, 0, 255))[:, :, 2:].max() <= 2
    assert read(path, size=(100, 33)).frames.shape == (2, 100, 33, 3)


def test_resizing_has_antialiasing(make_video: Maker) -> None:
    frames = np.zeros((1, 64, 64, 3), np.uint8)
    frames[:, :, ::2] = 255
    small = read(make_video("a.mkv", frames, codec="ffv1", pix_fmt="bgr0"), size=(8, 8)).frames
    assert np.abs(small.astype(int) - 127).max() <= 16


@pytest.mark.parametrize("turned", [90, 180, 270])
def test_rotation(make_video: Maker, turned: int) -> None:
    frames = picture_clip(2, 48, 64)
    path = make_video("a.mp4", frames, turned=turned, options={"crf": "5"})
    upright = read(path).frames
    expected = np.rot90(frames, turned // 90, axes=(1, 2))  # the stored angle turns counterclockwise
    assert upright.shape == expected.shape
    assert np.abs(upright.astype(int) - expected).mean() < 4
    assert (probe(path).height, probe(path).width) == upright.shape[1:3]
    assert read(path, size=(30, 20)).frames.shape == (2, 30, 20, 3)


@pytest.mark.parametrize(
    ("pix_fmt", "codec"), [("yuv420p10le", "libx264"), ("gbrp16le", "ffv1"), ("yuv444p", "libx264")]
)
def test_deep_and_odd(make_video: Maker, pix_fmt: str, codec: str) -> None:
    size = (48, 64) if pix_fmt == "yuv420p10le" else (31, 45)
    back = read(make_video("a.mkv", numbered(5, *size), codec=codec, pix_fmt=pix_fmt))
    assert back.frames.shape == (5, *size, 3)
    assert number_of(back.frames) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("a.jpg", "mjpeg", "yuvj420p"),
        ("a.png", "png", "rgb24"),
        ("a.webp", "libwebp", "yuv420p"),
        ("a.bmp", "bmp", "bgr24"),
    ],
)
def test_an_image_is_a_video_of_one_frame(make_video: Maker, name: str, codec: str, pix_fmt: str) -> None:
    path = make_video(name, numbered(4)[3:], codec=codec, pix_fmt=pix_fmt)
    assert probe(path).still
    assert read(path).fps == 1
    for video in (read(path), read(path, fps=24, frames=16), read(path, start=3.0)):
        assert number_of(video.frames) == [3]


def test_transparency_lies_over_white(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:, 4:] = (200, 0, 0, 255)
    encoder = av.CodecContext.create("png", "w")
    encoder.height, encoder.width, encoder.pix_fmt, encoder.time_base = 8, 8, "rgba", Fraction(1)
    packets = encoder.encode(av.VideoFrame.from_ndarray(pixels, format="rgba")) + encoder.encode(None)
    (tmp_path / "a.png").write_bytes(b"".join(map(bytes, packets)))
    back = read(tmp_path / "a.png").frames[0]
    assert back[0, 0].tolist() == [255, 255, 255]
    assert back[0, 7].tolist() == [200, 0, 0]


def test_unreadable_files_say_why(tmp_path: Path, make_video: Maker, sound: Path, no_pictures: Path) -> None:
    good = make_video("good.mp4", picture_clip())
    (tmp_path / "cut.mp4").write_bytes(good.read_bytes()[:-400])  # the index is at the end
    (tmp_path / "text.mp4").write_text("not a video at all\n" * 40)
    (tmp_path / "text.txt").write_text("a caption\n")
    (tmp_path / "list.mp4").write_text(f"ffconcat version 1.0\nfile {good}\n")
    (tmp_path / "empty.mp4").touch()
    for path, reason in (
        (tmp_path / "cut.mp4", "not a media file, or cut off"),
        (tmp_path / "text.mp4", "not a media file"),
        (tmp_path / "text.txt", "not a media file"),
        (tmp_path / "list.mp4", "not a media file"),
        (tmp_path / "empty.mp4", "is empty"),
        (tmp_path / "gone.mp4", "there is no such file"),
        ("https://example.org/a.mp4", "is an address; expected a file on this machine"),
        (tmp_path / "none_%03d.png", "holds no pictures named none_%03d.png"),
        (sound, "has no video, only audio"),
        (no_pictures, "holds no pictures"),
    ):
        for function in (probe, read):
            with pytest.raises(ValueError, match=reason) as caught:
                function(path)
            assert str(caught.value).startswith(str(path))
            assert "\n" not in str(caught.value)


def test_a_file_that_the_system_will_not_read_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with local_socket() as end:
        end.bind("a.mp4")  # exists, and cannot be opened, whoever asks
        for function in (probe, read):
            with pytest.raises(ValueError, match=r"^a\.mp4: cannot be read \(.+\)$"):
                function("a.mp4")


def test_reading_past_the_end_and_bad_requests(make_video: Maker) -> None:
    path = make_video("a.mp4", numbered(24))
    with pytest.raises(ValueError, match=r"a.mp4: ends at 1.000 s, the start is at 1 s"):
        read(path, start=1.0)
    for request in (
        {"fps": 0},
        {"fps": float("nan")},
        {"start": -1},
        {"frames": 0},
        {"size": (0, 4)},
        {"crop": (2, 0)},
    ):
        with pytest.raises(ValueError, match=r"a.mp4: expected"):
            read(path, **request)


def test_a_truncated_file_is_usable_up_to_there(tmp_path: Path, make_video: Maker) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (24, 48, 64, 3), np.uint8)
    whole = make_video("a.mkv", noise, options={"g": "4"})
    (tmp_path / "cut.mkv").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    part = read(tmp_path / "cut.mkv").frames
    assert 6 <= len(part) < 20
    assert np.array_equal(part[:6], read(whole).frames[:6])
