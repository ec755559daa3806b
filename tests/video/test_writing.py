"""Videos written to disk: what reads back, what is refused, and that nothing is left half-written."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import number_of, numbered, picture_clip
from hypothesis import given, settings
from hypothesis import strategies as st

from zoetrope.video import (
    Video,
    check_output,
    contact_sheet,
    open_writer,
    probe,
    read,
    read_tags,
    save_image,
    save_tensor,
)
from zoetrope.video.tags import gif_comment
from zoetrope.video.writing import exact_rate

RATES = [24.0, 3.0, 5.3]


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


def test_a_tensor_is_written_as_its_video_is(tmp_path: Path) -> None:
    x = torch.rand(3, 5, 16, 24, generator=torch.Generator().manual_seed(0)) * 3 - 1.5
    Video.from_tensor(x, 8).save(tmp_path / "a.mp4")
    save_tensor(x, 8, tmp_path / "b.mp4")
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    with pytest.raises(ValueError, match="NaN or infinity"):
        save_tensor(torch.where(torch.arange(5)[:, None, None] == 3, torch.nan, x), 8, tmp_path / "c.mp4")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


@pytest.mark.parametrize(
    ("frames", "fps"),
    [(np.zeros((2, 4, 4, 3)), 24), (np.zeros((2, 4, 4), np.uint8), 24), (np.zeros((0, 4, 4, 3), np.uint8), 24),
     (np.zeros((2, 4, 4, 3), np.uint8), 0), (np.zeros((2, 4, 4, 3), np.uint8), float("inf"))],
)  # fmt: skip
def test_a_video_is_checked(frames: np.ndarray, fps: float) -> None:
    with pytest.raises(ValueError, match=r"Video\."):
        Video(frames, fps)


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
    resource = pytest.importorskip("resource")
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
        ("a.mp5", r"expected a name ending in .gif, .mp4, .png, .webm, got '.mp5'"),
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


@pytest.mark.parametrize("name", [f"{'犬' * 80}.gif", f"{'犬' * 80}_%02d.png", f"{'é' * 120}.mp4", f"{'a' * 250}.gif"])
def test_long_names_are_written(tmp_path: Path, name: str) -> None:
    check_output(tmp_path / name)
    Video(picture_clip(2), 5).save(tmp_path / name)
    assert [file.name for file in tmp_path.iterdir() if file.suffix == ".part"] == []
    assert read(tmp_path / name).frames.shape == (2, 48, 64, 3)


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


@given(
    suffix=st.sampled_from([".gif", ".mp4", ".webm", "/"]),
    frames=st.integers(1, 24),
    fps=st.floats(0.02, 50) | st.sampled_from([1, 2, 3, 24, 24000 / 1001, 30000 / 1001, 50]),
    said=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_as_many_pictures_for_as_long(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, frames: int, fps: float, said: bool
) -> None:
    """Of every length and rate, with tags or without; a GIF counts hundredths of a second."""
    path = f"{tmp_path_factory.mktemp('long')}/a{suffix}"
    Video(numbered(frames, 8, 8), fps).save(path, tags={"comment": "a word"} if said else None)
    found = probe(path)
    assert (found.frames, len(read(path).frames), found.variable_rate) == (frames, frames, False)
    assert found.seconds == pytest.approx(frames / float(exact_rate(fps)), abs=0.0101)


@pytest.mark.parametrize("fps", [0.002, 0.015])
@pytest.mark.parametrize("suffix", [".gif", ".mp4", ".webm", "/"])
def test_pictures_that_stand_for_minutes(tmp_path: Path, suffix: str, fps: float) -> None:
    Video(numbered(3, 8, 8), fps).save(f"{tmp_path}/a{suffix}")
    found = probe(f"{tmp_path}/a{suffix}")
    assert (found.frames, found.fps, found.seconds) == (3, pytest.approx(fps), pytest.approx(3 / fps))


def test_a_remark_of_lists_in_each_other_is_text(tmp_path: Path) -> None:
    """Written out it might take minutes, or be too deep for Python."""
    path, lists = tmp_path / "a.gif", list[object]()
    for _ in range(200):
        lists = [lists]
    Video(numbered(4), 2).save(path)
    path.write_bytes(path.read_bytes()[:-1] + gif_comment({"a": lists}) + b";")  # type: ignore[dict-item]
    assert list(read_tags(path)) == ["comment"]


def test_remarks_behind_the_last_picture_of_a_gif(tmp_path: Path) -> None:
    """As other programs write them, and we did."""
    for frames in (1, 4):
        path = tmp_path / "a.gif"
        Video(numbered(frames), 2).save(path)
        path.write_bytes(path.read_bytes()[:-1] + gif_comment({"comment": "x" * 700}) + b"\x21\xff\x01a\x02bc\0;")
        assert (probe(path).frames, len(read(path).frames), probe(path).seconds) == (frames, frames, frames / 2)
        assert read_tags(path) == {"comment": "x" * 700}
