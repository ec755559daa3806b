"""Videos on disk: what is written reads back, and what is read is the picture shown at the time asked for."""

import errno
import os
import resource
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from conftest import number_of, numbered
from hypothesis import given, settings
from hypothesis import strategies as st

from zoetrope.video import Video, check_output, contact_sheet, open_writer, probe, read, read_track, save_image
from zoetrope.video.timing import moments, pick, simplest, timing

Maker = Callable[..., Path]
RATES = [24.0, 3.0, 5.3]


def picture_clip(count: int = 10, height: int = 48, width: int = 64) -> np.ndarray:
    """A smooth coloured moving pattern, kind to lossy codecs."""
    y, x = np.mgrid[:height, :width]
    planes = [np.stack([x / width, y / height, np.full(x.shape, k / count)], -1) for k in range(count)]
    return (np.stack(planes) * 200 + 25).astype(np.uint8)


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize(
    ("name", "tolerance"), [("a.mp4", 2), ("a.webm", 2), ("a.gif", 6), ("a/", 0), ("a%03d.png", 0)]
)
def test_written_reads_back(tmp_path: Path, name: str, tolerance: float, fps: float) -> None:
    video = Video(picture_clip(), fps)
    path = f"{tmp_path}/{name}"
    video.save(path)
    back = read(path)
    info = probe(path)
    assert back.fps == info.fps == fps
    assert back.frames.shape == video.frames.shape
    assert (info.frames, info.height, info.width, info.variable_rate) == (10, 48, 64, False)
    assert info.seconds == pytest.approx(10 / fps)
    assert np.abs(back.frames.astype(int) - video.frames).mean() <= tolerance


@pytest.mark.parametrize("name", ["a.mp4", "a.webm"])
def test_ntsc_rate_is_exact(tmp_path: Path, name: str) -> None:
    Video(picture_clip(), 24000 / 1001).save(tmp_path / name)
    assert read(tmp_path / name).fps == 24000 / 1001


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.gif", "a.png"])
@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (10, 200, 90), (255, 255, 255), (0, 0, 0)])
def test_colours_survive(tmp_path: Path, name: str, colour: tuple[int, int, int]) -> None:
    Video(np.full((1, 32, 32, 3), colour, np.uint8), 24).save(tmp_path / name)
    assert np.abs(read(tmp_path / name).frames.astype(int) - colour).max() <= 3


def test_odd_size_grows_by_the_edge_in_mp4_alone(tmp_path: Path) -> None:
    video = Video(numbered(3, 31, 45), 24)
    for name, shape in (("a.mp4", (3, 32, 46, 3)), ("a.webm", (3, 31, 45, 3)), ("a.gif", (3, 31, 45, 3))):
        video.save(tmp_path / name)
        back = read(tmp_path / name).frames
        assert back.shape == shape
        assert np.abs(back[:, -1, -1].astype(int) - back[:, 5, 5]).max() <= 2


def test_gif_of_few_colours_is_exact(tmp_path: Path) -> None:
    frames = np.zeros((4, 20, 20, 3), np.uint8)
    for k in range(4):
        frames[k, k * 3 : k * 3 + 6, 4:9] = (250, 13, 77)
    Video(frames, 10).save(tmp_path / "a.gif")
    assert np.array_equal(read(tmp_path / "a.gif").frames, frames)


def test_mp4_plays_before_it_is_whole(tmp_path: Path) -> None:
    Video(picture_clip(), 24).save(tmp_path / "a.mp4")
    body = (tmp_path / "a.mp4").read_bytes()
    assert 0 < body.index(b"moov") < body.index(b"mdat")


def test_pictures_one_by_one_are_the_same_file(tmp_path: Path) -> None:
    frames = picture_clip(6)
    Video(frames, 12).save(tmp_path / "whole.mp4")
    with open_writer(tmp_path / "parts.mp4", 12, 48, 64) as writer:
        writer.write(frames[0])
        writer.write(frames[1:4])
        writer.write(frames[4:])
        assert not (tmp_path / "parts.mp4").exists()
    assert writer.frames == 6
    assert (tmp_path / "parts.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.gif", "a.png", "a_%02d.png", "folder/"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_nothing_is_left_after_an_error(tmp_path: Path, name: str, error: type[BaseException]) -> None:
    with pytest.raises(error), open_writer(f"{tmp_path}/{name}", 24, 48, 64) as writer:
        writer.write(numbered(1))
        raise error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.mp4", "a.gif", "folder/"])
def test_a_video_without_pictures_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="no pictures were written"), open_writer(f"{tmp_path}/{name}", 24, 48, 64):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    Video(numbered(2), 24).save(tmp_path / "a.mp4")
    old = (tmp_path / "a.mp4").read_bytes()
    with (
        pytest.raises(ValueError, match=r"Writer.write: expected"),
        open_writer(tmp_path / "a.mp4", 24, 48, 64) as writer,
    ):
        writer.write(numbered(1))
        writer.write(numbered(1, 50, 64))
    assert (tmp_path / "a.mp4").read_bytes() == old
    Video(numbered(5), 24).save(tmp_path / "a.mp4")
    assert len(read(tmp_path / "a.mp4").frames) == 5


@contextmanager
def full_disk() -> Iterator[None]:
    """Files can grow to 4 KiB only; the same write error path as a full disk.

    Not a fixture: between a test and the end of its fixtures pytest writes too, perhaps to a log larger than that.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.gif", "a_%02d.png"])
def test_a_full_disk_is_an_error_that_leaves_nothing(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (4, 64, 64, 3), np.uint8)
    with full_disk(), pytest.raises(OSError) as caught:
        Video(noise, 24).save(tmp_path / name)
    assert caught.value.errno == errno.EFBIG
    assert list(tmp_path.iterdir()) == []


def test_check_output(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.WEBM", "a.gif", "a.png", "a_%d.png", "new/"):
        check_output(f"{tmp_path}/{name}")
    assert list(tmp_path.iterdir()) == []
    for name, message in (
        ("a.mp5", r"unknown suffix '.mp5'; did you mean '.mp4'\? \(legal: .gif, .mp4, .png, .webm\)"),
        ("a", "expected a name ending in .gif, .mp4"),
        ("no/a.mp4", "the folder '.*no' does not exist"),
        ("no/new/", "the folder '.*no' does not exist"),
        ("a_%s.png", "number pattern such as %04d"),
        ("a_%d_%d.png", "number pattern such as %04d"),
    ):
        with pytest.raises(ValueError, match=message):
            check_output(f"{tmp_path}/{name}")
    with pytest.raises(ValueError, match=r"one .png holds one picture, not 3; name a folder or a_%04d.png"):
        check_output(tmp_path / "a.png", 3)
    with pytest.raises(ValueError, match="cannot write in the folder '/proc'"):
        check_output("/proc/a.mp4")


def test_sequences_are_never_mixed(tmp_path: Path) -> None:
    Video(numbered(3), 24).save(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [f"frame_000{k}.png" for k in range(3)]
    with pytest.raises(ValueError, match=r"already holds pictures of this name \(frame_0000.png\)"):
        Video(numbered(2), 24).save(tmp_path)
    Video(numbered(2), 24).save(tmp_path / "other_%d.png")
    assert number_of(read(tmp_path).frames) == [0, 1, 2]
    assert number_of(read(tmp_path, start=0.05, fps=48).frames) == [1, 1, 2, 2]


@pytest.mark.parametrize(("name", "fps"), [("a.gif", 60), ("a.mp4", 0), ("a.mp4", float("nan")), ("a.webm", 5000)])
def test_impossible_rates(tmp_path: Path, name: str, fps: float) -> None:
    with pytest.raises(ValueError, match="pictures a second"), open_writer(tmp_path / name, fps, 8, 8):
        pass


def test_tensor_round_trip_is_exact() -> None:
    frames = np.arange(256, dtype=np.uint8).repeat(6).reshape(2, 16, 16, 3)
    video = Video(frames, 24)
    x = video.to_tensor()
    assert x.shape == (3, 2, 16, 16)
    assert x.dtype == torch.float32
    assert (float(x.min()), float(x.max())) == (-1, 1)
    assert np.array_equal(Video.from_tensor(x, 24).frames, frames)
    assert np.array_equal(Video.from_tensor(x * 3, 24).frames[0, 0, 0], [0, 0, 0])
    with pytest.raises(ValueError, match="NaN or infinity"):
        Video.from_tensor(x / 0, 24)
    with pytest.raises(ValueError, match=r"expected shape \(3, F, H, W\)"):
        Video.from_tensor(x[:1], 24)


@pytest.mark.parametrize(
    ("frames", "fps"),
    [(np.zeros((2, 4, 4, 3)), 24), (np.zeros((2, 4, 4), np.uint8), 24), (np.zeros((0, 4, 4, 3), np.uint8), 24),
     (np.zeros((2, 4, 4, 3), np.uint8), 0), (np.zeros((2, 4, 4, 3), np.uint8), float("inf"))],
)  # fmt: skip
def test_a_video_is_checked(frames: np.ndarray, fps: float) -> None:
    with pytest.raises(ValueError, match=r"Video\."):
        Video(frames, fps)


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
    with socket.socket(socket.AF_UNIX) as end:
        end.bind("a.mp4")  # exists, and cannot be opened, whoever asks
        for function in (probe, read):
            with pytest.raises(ValueError, match=r"^a\.mp4: cannot be read \(.+\)$"):
                function("a.mp4")


@pytest.mark.parametrize("name", [f"{'犬' * 80}.gif", f"{'犬' * 80}_%02d.png", f"{'é' * 120}.mp4", f"{'a' * 250}.gif"])
def test_long_names_are_written(tmp_path: Path, name: str) -> None:
    check_output(tmp_path / name)
    Video(picture_clip(2), 5).save(tmp_path / name)
    assert [file.name for file in tmp_path.iterdir() if file.suffix == ".part"] == []
    assert read(tmp_path / name).frames.shape == (2, 48, 64, 3)


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


@pytest.mark.parametrize(
    "name", ["a:b.mp4", "100%d.mp4", "[x] 'q\".mp4", "ñ 测试.mp4", os.fsdecode(b"caf\xe9_\xff.mp4")]
)
def test_awkward_names(tmp_path: Path, name: str) -> None:
    Video(numbered(2), 24).save(tmp_path / "plain.mp4")
    shutil.copy(tmp_path / "plain.mp4", tmp_path / name)
    assert len(read(tmp_path / name).frames) == 2
    Video(numbered(3), 24).save(tmp_path / name)
    assert len(read(tmp_path / name).frames) == 3


def test_contact_sheet_and_image(tmp_path: Path) -> None:
    sheet = contact_sheet([Video(numbered(9, 8, 12), 24)] * 3, columns=2, picks=3)
    assert sheet.shape == (2 * 8 + 3 * 4, 2 * (3 * 13 - 1) + 3 * 4, 3)
    assert [int(sheet[6, 6 + 13 * k, 0]) for k in range(3)] == [4, 36, 68]
    save_image(tmp_path / "sheet.png", sheet)
    assert np.array_equal(read(tmp_path / "sheet.png").frames[0], sheet)
    with pytest.raises(ValueError, match="clips of one size"):
        contact_sheet([Video(numbered(2, 8, 8), 24), Video(numbered(2, 8, 9), 24)])
    with pytest.raises(ValueError, match=r"one \.png file"):
        save_image(tmp_path / "sheet.jpg", sheet)


def _stress_files() -> list[str]:
    folder = Path(__file__).parents[2] / "shared" / "data" / "stress"
    return sorted(str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file()) or ["generated/empty.mp4"]


@pytest.mark.shared
@pytest.mark.parametrize("name", _stress_files())
def test_stress(shared: Path, name: str) -> None:
    path = shared / "data" / "stress" / name
    try:
        info = probe(path)
        video = read(path, frames=60)
    except ValueError as error:
        assert str(error).startswith(str(path))
        assert "\n" not in str(error)
        return
    assert video.frames.shape[1:3] == (info.height, info.width)
    assert 1 <= len(video.frames) <= max(info.frames, 60)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "frames", "fps", "shape"),
    [
        ("decord/corrupted.mp4", 28, 10, (720, 1280)),
        ("decord/video_90.mov", 3, 30, (568, 320)),
        ("mp4parse/video_rotation_90.mp4", 1, 24, (100, 60)),
        ("mp4parse/white.mp4", 300, 30, (240, 320)),
        ("torchcodec/h265_10bits.mp4", 30, 30, (200, 200)),
        ("generated/bitflips_late.mp4", 33, 24, (120, 160)),
        ("generated/codec_vp8.webm", 24, 25, (120, 160)),
        ("generated/high_fps_240.mp4", 48, 240, (120, 160)),
        ("generated/huge_header_60000x60000_mjpeg.avi", 24, 25, (120, 160)),
        ("generated/low_fps_0_5.mp4", 8, 0.5, (120, 160)),
        ("generated/mp4_named.avi", 48, 24, (120, 160)),
        ("generated/odd_97x71_444.mp4", 24, 24, (71, 97)),
        ("generated/rgb48_16bit.mkv", 6, 24, (120, 160)),
        ("generated/starts_at_5s.mp4", 48, 24, (120, 160)),
    ],
)
def test_stress_that_reads(shared: Path, name: str, frames: int, fps: float, shape: tuple[int, int]) -> None:
    video = read(shared / "data" / "stress" / name)
    assert (len(video.frames), video.fps, video.frames.shape[1:3]) == (frames, fps, shape)


@pytest.mark.shared
def test_phone_rotations_agree(shared: Path) -> None:
    for turn, quarters in ((0, 0), (90, -1), (180, 2)):  # clockwise; rot90 counts counterclockwise
        path = shared / "data" / "stress" / "decord" / f"video_{turn}.mov"
        with av.open(str(path)) as container:
            stored = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
        expected = np.rot90(stored, quarters, axes=(1, 2))
        assert read(path).frames.shape == expected.shape
        assert np.abs(read(path).frames.astype(int) - expected).mean() < 3


@pytest.mark.shared
def test_originals_seek_as_they_read(shared: Path) -> None:
    for name in ("again.mkv", "nasa_13013.mp4", "people-detection.gif"):
        path = shared / "data" / "real_clips" / "originals" / name
        info = probe(path)
        whole = read(path, size=(24, 32)).frames
        for share in (0.31, 0.77):
            first = int(share * len(whole))
            part = read(path, start=first / info.fps, frames=3, size=(24, 32)).frames
            assert np.array_equal(part, whole[first : first + 3]), name
