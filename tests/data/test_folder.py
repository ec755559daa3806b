"""A folder as a source: what is kept and why not, clips by position, one window for a whole clip."""

import csv
import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import local_socket, number_of, numbered
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zoetrope.data import Source, preview
from zoetrope.data.folder import Folder, scan
from zoetrope.shapes import VideoShape
from zoetrope.video import Video, probe, save_image

SHAPE = VideoShape(frames=4, height=12, width=16, fps=6)


def numbers(x: torch.Tensor) -> list[int]:
    """Which pictures of `numbered` are in x (3, F, H, W)."""
    return number_of(Video.from_tensor(x, 1).frames)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two videos of 24 and 10 pictures at 24 fps, and an image, with captions in .txt files."""
    path = tmp_path / "set"
    path.mkdir()
    for name, count in (("long", 24), ("short", 10)):
        Video(numbered(count, 24, 40), 24).save(path / f"{name}.mp4")
        (path / f"{name}.txt").write_text(f"a {name}\n clip \n")
    save_image(path / "still.png", numbered(8, 24, 40)[7])
    (path / "still.txt").write_text("a still")
    return path


def test_captions_beside(folder: Path) -> None:
    report = scan(Folder(path=str(folder)))
    assert [(clip.name, clip.text) for clip in report.kept] == [
        ("long.mp4", "a long clip"), ("short.mp4", "a short clip"), ("still.png", "a still"),
    ]  # fmt: skip
    assert report.dropped == ()
    assert Folder(path=str(folder)).open().captions() == ["a long clip", "a short clip", "a still"]
    assert report.kept[0].info == probe(folder / "long.mp4")


def test_the_caption_of_a_name_is_not_that_of_its_stem(folder: Path) -> None:
    shutil.copy(folder / "long.mp4", folder / "long.mov")
    (folder / "long.mov.txt").write_text("the mov")
    found = {clip.name: clip.text for clip in scan(Folder(path=str(folder))).kept}
    assert (found["long.mp4"], found["long.mov"]) == ("a long clip", "the mov")


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_metadata(folder: Path, form: str) -> None:
    (folder / "sub").mkdir()
    shutil.copy(folder / "long.mp4", folder / "sub" / "deep.mp4")
    rows = [
        {"file_name": "sub/deep.mp4", "text": 'deep, "quoted"', "split": "train"},
        {"file_name": "long.mp4", "text": "one wording", "split": "train"},
        {"file_name": "long.mp4", "text": "another wording", "split": "test"},
        {"file_name": "gone.mp4", "text": "nothing", "split": "train"},
        {"file_name": "../set/long.mp4", "text": "outside", "split": "train"},
        {"file_name": "short.mp4", "text": "  ", "split": "train"},
    ]
    with (folder / f"metadata.{form}").open("w", encoding="utf-8", newline="") as file:
        if form == "jsonl":
            file.writelines(json.dumps(row) + "\n" for row in rows)
        else:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    report = scan(Folder(path=str(folder)))
    assert [(clip.name, clip.text) for clip in report.kept] == [
        ("sub/deep.mp4", 'deep, "quoted"'), ("long.mp4", "one wording"), ("long.mp4", "another wording"),
        ("still.png", "a still"),
    ]  # fmt: skip
    first = 1 if form == "jsonl" else 2
    assert {drop.name: drop.reason for drop in report.dropped} == {
        f"metadata.{form}:{first + 3}": "names 'gone.mp4', which does not exist",
        f"metadata.{form}:{first + 4}": "names '../set/long.mp4', which is outside the folder",
        f"metadata.{form}:{first + 5}": "has an empty text for 'short.mp4'",
    }
    test = scan(Folder(path=str(folder), split="test"))
    assert [(clip.name, clip.text) for clip in test.kept] == [("long.mp4", "another wording")]
    with pytest.raises(ValueError, match=r"unknown split 'tran'; did you mean 'train'\?"):
        scan(Folder(path=str(folder), split="tran"))


def test_bad_lines_of_metadata_have_reasons(folder: Path) -> None:
    (folder / "metadata.jsonl").write_text('{"file_name": "long.mp4", "caption": "x"}\n\nnonsense\n[1]\n')
    reasons = {drop.name: drop.reason for drop in scan(Folder(path=str(folder))).dropped}
    assert reasons == {
        "metadata.jsonl:1": "has no 'text', only 'file_name', 'caption'; is 'caption' meant? Then rename it",
        "metadata.jsonl:3": "is not JSON (Expecting value)",
        "metadata.jsonl:4": "is not a JSON object, but a list",
    }
    (folder / "metadata.csv").write_text("file_name,text\n")
    with pytest.raises(ValueError, match="keep one"):
        scan(Folder(path=str(folder)))


def test_csv_is_cut_at_its_own_lines_alone(folder: Path) -> None:
    rows = 'long.mp4,"before\u2028after"\r\nshort.mp4,"one\x0btwo\r\nthree"\r\n'
    (folder / "metadata.csv").write_text("file_name,text\r\n" + rows, encoding="utf-8", newline="")
    report = scan(Folder(path=str(folder)))
    assert [clip.text for clip in report.kept] == ["before after", "one two three", "a still"]
    assert report.dropped == ()
    (folder / "metadata.csv").write_text(
        "file_name,text\nlong.mp4," + "x" * 200_000 + "\nshort.mp4,short\n", encoding="utf-8"
    )
    report = scan(Folder(path=str(folder)))
    assert [clip.text for clip in report.kept] == ["short", "a long clip", "a still"]
    assert [drop.name for drop in report.dropped] == ["metadata.csv:2"]
    assert report.dropped[0].reason.startswith("is not CSV (field larger than field limit")


def test_what_the_system_will_not_read_is_dropped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "closed.txt").write_text("closed")
    (folder / "short.txt").unlink()
    with local_socket() as media, local_socket() as text:
        media.bind("closed.mp4")  # exists, and cannot be opened, whoever asks
        text.bind("short.txt")
        report = scan(Folder(path=str(folder)))
    assert [clip.name for clip in report.kept] == ["long.mp4", "still.png"]
    assert {drop.name: drop.reason for drop in report.dropped} == {
        "closed.mp4": "is not a file, but a pipe, a socket or a device",
        "closed.txt": "is a caption without a video or image of the same name",
        "short.mp4": "has no caption",
        "short.txt": "is not a file, but a pipe, a socket or a device",
    }


def test_reasons_to_drop(folder: Path, sound: Path) -> None:
    shutil.copy(sound, folder / "sound.mp4")
    (folder / "sound.txt").write_text("a tone")
    (folder / "broken.mp4").write_bytes((folder / "long.mp4").read_bytes()[:500])
    (folder / "broken.txt").write_text("broken")
    (folder / "lonely.txt").write_text("nothing to describe")
    (folder / "README.txt").write_text("about this set")
    shutil.copy(folder / "long.mp4", folder / "uncaptioned.mp4")
    shutil.copy(folder / "long.mp4", folder / ".hidden.mp4")
    (folder / "short.txt").write_text(" \n")
    shutil.copy(folder / "long.mp4", folder / "latin.mp4")
    (folder / "latin.txt").write_bytes(b"caf\xe9")
    Video(numbered(24, 8, 8), 24).save(folder / "tiny.mp4")
    (folder / "tiny.txt").write_text("tiny")
    report = scan(Folder(path=str(folder), min_height=20), VideoShape(frames=8, height=12, width=16, fps=12))
    assert [clip.name for clip in report.kept] == ["long.mp4"]
    reasons = {drop.name: drop.reason for drop in report.dropped}
    assert reasons.pop("broken.mp4").startswith("not a media file, or cut off")
    assert reasons == {
        "latin.mp4": "its caption is not UTF-8 text",
        "lonely.txt": "is a caption without a video or image of the same name",
        "short.mp4": "its caption is empty",
        "sound.mp4": "has no video, only audio",
        "still.png": "an image, gives at most 1 of 8 frames at 12 fps",
        "tiny.mp4": "too small: 8x8, expected at least 20x1",
        "uncaptioned.mp4": "has no caption",
    }


def test_a_folder_without_a_clip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no usable clip\n  it holds no videos or images"):
        Folder(path=str(tmp_path)).open()
    for k in range(25):
        (tmp_path / f"{k:02}.mp4").touch()
    with pytest.raises(
        ValueError,
        match=r"  00.mp4 \(and 24 more\): has no caption\n  nothing has a caption: expected 00.txt for 00.mp4",
    ):
        Folder(path=str(tmp_path)).open()
    with pytest.raises(ValueError, match="there is none"):
        Folder(path=str(tmp_path / "gone")).open()


def test_examples_are_pure_and_shuffled(folder: Path) -> None:
    source = Folder(path=str(folder), seed=3)
    shape = VideoShape(frames=1, height=12, width=16, fps=24)
    first, second, uncached = source.open(), source.open(), Folder(path=str(folder), seed=3, cache_mb=0).open()
    forward = [first.example(k, shape) for k in range(12)]
    backward = [second.example(k, shape) for k in reversed(range(12))][::-1]
    for one, other, streamed in zip(forward, backward, (uncached.example(k, shape) for k in range(12)), strict=True):
        assert one.text == other.text == streamed.text
        assert torch.equal(one.video, other.video)
        assert torch.equal(one.video, streamed.video)
    for epoch in range(4):
        assert len({example.text for example in forward[3 * epoch : 3 * epoch + 3]}) == 3
    orders = {tuple(example.text for example in forward[3 * epoch : 3 * epoch + 3]) for epoch in range(4)}
    assert len(orders) > 1
    reseeded = Folder(path=str(folder), seed=4).open()
    assert any(not torch.equal(reseeded.example(k, shape).video, forward[k].video) for k in range(6))


def test_a_clip_is_consecutive_in_time_and_starts_anywhere(folder: Path) -> None:
    data = Folder(path=str(folder)).open()
    shape = VideoShape(frames=4, height=12, width=16, fps=12)
    starts = set()
    for k in range(60):
        video, text, *_ = data.example(k, shape)
        assert video.shape == (3, 4, 12, 16)
        assert video.dtype == torch.float32
        assert float(video.abs().max()) <= 1
        found = numbers(video)
        assert found == list(range(found[0], found[0] + 8, 2))
        if text == "a long clip":
            starts.add(found[0])
        else:
            assert (text, found[0] <= 3) == ("a short clip", True)
    assert min(starts) <= 1
    assert max(starts) >= 15


@pytest.mark.parametrize("cache_mb", [0, 64])
@pytest.mark.parametrize(("fps", "frames"), [(0.1875, 1), (1.0, 1), (24.0, 1), (1.5, 2), (3.0, 3), (48.0, 4)])
def test_every_picture_of_a_file_may_be_in_a_clip(folder: Path, cache_mb: int, fps: float, frames: int) -> None:
    """Whatever the rate: also where a picture is said to last longer than the whole file."""
    data = Folder(path=str(folder), cache_mb=cache_mb).open()
    shape = VideoShape(frames=frames, height=12, width=16, fps=fps)
    clips = [numbers(clip.video) for clip in (data.example(k, shape) for k in range(240)) if clip.text == "a long clip"]
    assert min(clip[0] for clip in clips) == 0 and max(clip[-1] for clip in clips) == 23
    assert frames > 1 or len({clip[0] for clip in clips}) > 16


@pytest.mark.parametrize("own", [24000 / 1001, 24.2, 24.0])
@pytest.mark.parametrize("cache_mb", [0, 64])
def test_each_picture_comes_once_where_rates_are_nearly_equal(tmp_path: Path, own: float, cache_mb: int) -> None:
    """Films of 23.976 pictures a second are films of 24."""
    Video(numbered(24, 24, 40).repeat(4, 0), own).save(tmp_path / "a.mp4")
    (tmp_path / "a.txt").write_text("a")
    data = Folder(path=str(tmp_path), short="drop", cache_mb=cache_mb).open()
    for frames in (64, 96):
        shape = VideoShape(frames=frames, height=12, width=16, fps=24)
        for k in range(8):
            found = numbers(data.example(k, shape).video)
            changes = [place for place in range(1, frames) if found[place] != found[place - 1]]
            assert len(found) == frames and {b - a for a, b in pairwise(changes)} == {4}
    with pytest.raises(ValueError, match="no clip has 97 frames at 24 fps; the most that fit is 96"):
        data.example(0, VideoShape(frames=97, height=12, width=16, fps=24))


def test_short_clips_hold_or_drop(folder: Path) -> None:
    shape = VideoShape(frames=16, height=12, width=16, fps=24)
    held = Folder(path=str(folder)).open()
    found = {example.text: numbers(example.video) for example in (held.example(k, shape) for k in range(8))}
    assert set(found) == {"a long clip", "a short clip"}
    assert found["a short clip"] == [*range(10), *[9] * 6]
    dropped = Folder(path=str(folder), short="drop").open()
    assert {dropped.example(k, shape).text for k in range(8)} == {"a long clip"}
    for dataset, most in ((held, 48), (dropped, 24)):
        with pytest.raises(ValueError, match=rf"no clip has 49 frames at 24 fps; the most that fit is {most}"):
            dataset.example(0, VideoShape(frames=49, height=12, width=16, fps=24))
        longest = VideoShape(frames=most, height=12, width=16, fps=24)
        assert dataset.example(0, longest).video.shape[1] == most


def test_short_clips_play_slower_if_asked(folder: Path) -> None:
    slow = Folder(path=str(folder), short="slow").open()
    shape = VideoShape(frames=8, height=12, width=16, fps=3)
    found = {e.text: numbers(e.video) for e in (slow.example(k, shape) for k in range(8))}
    assert found["a short clip"] == [k * 10 // 8 for k in range(8)]
    assert "a still" not in found


def test_a_clip_that_is_long_enough_is_not_played_slower(folder: Path) -> None:
    """Even if it has fewer pictures than the clip has frames."""
    shape = VideoShape(frames=20, height=12, width=16, fps=48)
    found = {
        short: {e.text: numbers(e.video) for e in map(lambda k: data.example(k, shape), range(8))}
        for short in ("hold", "slow", "drop")
        for data in [Folder(path=str(folder), short=short).open()]
    }
    assert found["slow"] == found["drop"] == found["hold"] and len(found["slow"]) == 2
    assert found["slow"]["a short clip"] == [k // 2 for k in range(20)]


def test_short_clips_are_told_the_way_out(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    shape = VideoShape(frames=8, height=12, width=16, fps=3)
    reasons = {drop.name: drop.reason for drop in scan(Folder(path=str(folder)), shape).dropped}
    assert reasons == {
        "long.mp4": 'too short: 1.00 s, gives at most 6 of 8 frames at 3 fps; short="slow" plays it slower',
        "short.mp4": 'too short: 0.42 s, gives at most 4 of 8 frames at 3 fps; short="slow" plays it slower',
        "still.png": "an image, gives at most 1 of 8 frames at 3 fps",
    }
    with caplog.at_level("INFO", "zoetrope"):
        Folder(path=str(folder)).open().example(0, VideoShape(frames=6, height=12, width=16, fps=3))
    assert '1 of 3 clips fit 6x12x16@3fps; with short="slow" 1 more would, played slower' in caplog.text
    way_out = r'the most that fit is 6\. With short="slow" 2 of 3 clips fit.*--set STAGE\.training\.data\.short=slow'
    with pytest.raises(ValueError, match=way_out):
        Folder(path=str(folder)).open().example(0, shape)
    for short, frames in (("hold", 49), ("slow", 25)):
        with pytest.raises(ValueError, match=r"the most that fit is \d+$"):
            Folder(path=str(folder), short=short).open().example(
                0, VideoShape(frames=frames, height=12, width=16, fps=24)
            )


def test_images_give_single_frames_only(folder: Path) -> None:
    data = Folder(path=str(folder)).open()
    single = [data.example(k, VideoShape(frames=1, height=12, width=16, fps=24)) for k in range(30)]
    assert {numbers(e.video)[0] for e in single if e.text == "a still"} == {7}
    assert len({numbers(e.video)[0] for e in single if e.text == "a long clip"}) > 5
    assert "a still" not in {data.example(k, SHAPE).text for k in range(12)}


@given(height=st.integers(4, 50), width=st.integers(4, 50), index=st.integers(0, 10**9))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_static_clip_stays_static(static_folder: Path, height: int, width: int, index: int) -> None:
    data = Folder(path=str(static_folder)).open()
    video = data.example(index, VideoShape(frames=5, height=height, width=width, fps=10)).video
    assert video.shape == (3, 5, height, width)
    assert torch.equal(video, video[:, :1].expand_as(video))


@pytest.fixture(scope="module")
def static_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One lossless clip of one picture of noise, again and again."""
    folder = tmp_path_factory.mktemp("static")
    noise = np.random.default_rng(0).integers(0, 255, (1, 30, 44, 3), np.uint8)
    Video(np.repeat(noise, 15, axis=0), 15).save(folder / "noise.gif")
    (folder / "noise.txt").write_text("noise")
    return folder


def test_windows_lie_anywhere_and_fill_the_grid(tmp_path: Path) -> None:
    ramp = np.broadcast_to(np.linspace(0, 255, 120).astype(np.uint8)[None, None, :, None], (3, 30, 120, 3))
    Video(np.ascontiguousarray(ramp), 12).save(tmp_path / "ramp.webm")
    (tmp_path / "ramp.txt").write_text("a ramp")
    data = Folder(path=str(tmp_path)).open()
    means = [float(data.example(k, VideoShape(frames=2, height=30, width=30, fps=12)).video.mean()) for k in range(40)]
    assert min(means) < -0.6
    assert max(means) > 0.6


def test_a_file_that_decodes_less_than_it_claims_does_not_stop_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (48, 48, 64, 3), np.uint8)
    Video(noise, 24).save(tmp_path / "a.mp4")
    body = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.mp4").write_bytes(body[: len(body) // 3].ljust(len(body), b"\0"))
    (tmp_path / "set" / "a.txt").write_text("noise")
    for cache_mb in (64, 0):
        data = Folder(path=str(tmp_path / "set"), cache_mb=cache_mb).open()
        assert data.report.kept[0].info.frames == 48
        for k in range(10):
            assert data.example(k, VideoShape(frames=4, height=12, width=16, fps=6)).video.shape == (3, 4, 12, 16)
    assert "decodes less than it claims" in caplog.text


def test_memory_stays_within_its_budget(tmp_path: Path) -> None:
    for k in range(24):
        Video(numbered(6, 64, 64) + np.uint8(k), 6).save(tmp_path / f"{k}.webm")
        (tmp_path / f"{k}.txt").write_text(f"clip {k}")
    data = Folder(path=str(tmp_path), cache_mb=1).open()
    shape = VideoShape(frames=4, height=48, width=48, fps=6)
    first = [data.example(k, shape) for k in range(24)]
    assert 2**19 < data.cutter.cached_bytes <= 2**20
    again = [data.example(k, shape) for k in range(24)]
    assert all(torch.equal(a.video, b.video) for a, b in zip(first, again, strict=True))


def test_preview(folder: Path) -> None:
    sheet, captions = preview(Folder(path=str(folder)).open(), SHAPE, count=3, columns=2)
    assert sheet.dtype == np.uint8
    assert sheet.shape == (2 * 12 + 3 * 4, 2 * (4 * 17 - 1) + 3 * 4, 3)
    assert len(captions) == 3
    assert set(captions) <= {"a long clip", "a short clip"}


def test_source_from_json(folder: Path) -> None:
    source = Folder(path=str(folder), seed=5, short="drop")
    assert Source.from_json(source.to_json()) == source
    assert "folder" in Source.names()
    with pytest.raises(ValueError, match="short"):
        Folder.from_json({"path": "x", "short": "loop"})


@pytest.mark.shared
@pytest.mark.parametrize(("name", "count"), [("real_clips", 125)])
def test_real_sets(shared: Path, name: str, count: int) -> None:
    data = Folder(path=str(shared / "data" / name)).open()
    assert len(data.report.kept) == count
    assert all(drop.reason == "has no caption" for drop in data.report.dropped)
    for k in range(4):
        assert data.example(k, VideoShape(frames=16, height=24, width=40, fps=3)).video.std() > 0.05


@pytest.mark.shared
def test_real_clips_of_two_seconds_play_slower_for_the_base_stage(shared: Path) -> None:
    path, shape = str(shared / "data" / "real_clips"), VideoShape(frames=16, height=24, width=40, fps=3)
    assert len(scan(Folder(path=path), shape).kept) < 20
    data = Folder(path=path, short="slow").open()
    assert len(scan(data.source, shape).kept) >= 120
    given = [data.example(k, shape) for k in range(120)]
    assert {example.video.shape for example in given} == {(3, 16, 24, 40)}
    assert len({example.text for example in given}) > 20
