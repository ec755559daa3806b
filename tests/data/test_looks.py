"""What was found in the files of a folder is kept between starts, as long as it is true."""

import json
import os
import shutil
from pathlib import Path

import pytest
from conftest import numbered

from zoetrope.data import _looks, folder
from zoetrope.data.folder import Folder, scan
from zoetrope.video import Info, Video
from zoetrope.video.decoding import PathLike


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The names of the files that are looked at from now on, with a cache of the test's own."""
    monkeypatch.setenv("ZOETROPE_CACHE", str(tmp_path / "cache"))
    seen: list[str] = []
    real = folder.probe

    def counted(path: PathLike) -> Info:
        seen.append(Path(path).name)
        return real(path)

    monkeypatch.setattr(folder, "probe", counted)
    return seen


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Three clips."""
    path = tmp_path / "set"
    path.mkdir()
    for number in range(3):
        Video(numbered(4, 16, 16), 4).save(path / f"{number}.mp4")
        (path / f"{number}.txt").write_text(f"clip {number}")
    return path


def test_every_file_is_looked_at_once(looks: list[str], clips: Path) -> None:
    first = scan(Folder(path=str(clips)))
    assert looks == ["0.mp4", "1.mp4", "2.mp4"]
    (clips / "1.txt").write_text("another caption")
    again = scan(Folder(path=str(clips), short="drop"))
    assert len(looks) == 3
    assert [clip.info for clip in again.kept] == [clip.info for clip in first.kept]
    assert again.kept[1].text == "another caption"


def test_what_changed_is_looked_at_again(looks: list[str], clips: Path) -> None:
    scan(Folder(path=str(clips)))
    looks.clear()
    Video(numbered(8, 16, 16), 4).save(clips / "1.mp4")
    (clips / "2.mp4").unlink()
    shutil.copy(clips / "0.mp4", clips / "3.mp4")
    (clips / "3.txt").write_text("clip 3")
    report = scan(Folder(path=str(clips)))
    assert looks == ["1.mp4", "3.mp4"] and report.kept[1].info.frames == 8
    looks.clear()
    stale = (clips / "0.mp4").stat()
    (clips / "0.mp4").write_bytes(b"x" * stale.st_size)
    os.utime(clips / "0.mp4", ns=(stale.st_atime_ns, stale.st_mtime_ns + 1))
    assert [drop.name for drop in scan(Folder(path=str(clips))).dropped] == ["0.mp4", "2.txt"] and looks == ["0.mp4"]


@pytest.mark.parametrize("content", ["", "{", "[" * 200_000, '{"format": 1}', "null"])
def test_a_damaged_memory_is_none(looks: list[str], clips: Path, tmp_path: Path, content: str) -> None:
    scan(Folder(path=str(clips)))
    (kept,) = (tmp_path / "cache/looks").glob("*.json")
    kept.write_text(content)
    looks.clear()
    assert len(scan(Folder(path=str(clips))).kept) == 3 and len(looks) == 3


def test_what_another_version_found_is_found_anew(looks: list[str], clips: Path, tmp_path: Path) -> None:
    scan(Folder(path=str(clips)))
    (kept,) = (tmp_path / "cache/looks").glob("*.json")
    known = json.loads(kept.read_text())
    kept.write_text(json.dumps(known | {"reader": "zoetrope 0"}))
    looks.clear()
    scan(Folder(path=str(clips)))
    assert len(looks) == 3
    scan(Folder(path=str(clips)))
    assert len(looks) == 3


def test_no_cache_is_no_reason_to_stop(looks: list[str], clips: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    for _ in range(2):
        assert len(scan(Folder(path=str(clips))).kept) == 3
    assert len(looks) == 6


def test_what_is_kept_is_bounded(
    looks: list[str], clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_looks, "FOLDERS", 2)
    for number in range(4):
        shutil.copytree(clips, tmp_path / f"copy{number}")
        scan(Folder(path=str(tmp_path / f"copy{number}")))
    assert len(list((tmp_path / "cache/looks").iterdir())) == 2
    looks.clear()
    scan(Folder(path=str(tmp_path / "copy3")))
    assert looks == []


def test_a_cache_that_may_only_be_read_is_read(clips: Path, looks: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    scan(Folder(path=str(clips)))
    looks.clear()

    def refused(path: Path) -> None:
        raise PermissionError(1, "Operation not permitted", str(path))

    monkeypatch.setattr(_looks.os, "utime", refused)
    assert len(scan(Folder(path=str(clips))).kept) == 3 and looks == []
