"""What is written appears whole or not at all, and errors name the file that people know."""

import ast
import errno
import os
import re
import stat
import sys
from pathlib import Path

import pytest

import zoetrope
from tests.training.test_checkpoints import largest_file
from zoetrope.files import locked, whole, whole_folder, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_at_the_end_of_its_block(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with whole(path) as first, whole(path) as second:
        first.write_text("first")
        second.write_text("second")
        assert first != second and first.parent == tmp_path and not path.exists()
    assert path.read_text() == "first" and names(tmp_path) == ["a.json"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_after_an_error_the_older_file_is_there(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.json"
    write_text(path, "old")
    with pytest.raises(error), whole(path) as partial:
        partial.write_text("new")
        raise error
    assert path.read_text() == "old" and names(tmp_path) == ["a.json"]


def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with largest_file(3), pytest.raises(OSError, match="File too large") as caught:
        write_text(path, "something longer")
    assert caught.value.filename == str(path) and names(tmp_path) == []
    with pytest.raises(OSError, match=f"^{re.escape(str(path))}: cannot be written") as told, whole(path) as partial:
        raise OSError(f"{partial}: cannot be written (no room)")
    assert "partial" not in str(told.value)
    with pytest.raises(FileNotFoundError, match=re.escape(f"'{tmp_path / 'no' / 'a.json'}'")):
        write_text(tmp_path / "no" / "a.json", "")
    write_text(path, "")
    with pytest.raises(OSError, match=re.escape(f"'{path / 'b'}'")):
        write_text(path / "b", "")


def test_links_and_pipes_give_way_and_permissions_are_the_users(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "victim")
    os.mkfifo(tmp_path / "pipe")
    before = os.umask(0o027)
    try:
        for name in ("link", "pipe"):
            write_text(tmp_path / name, "mine")
            assert (tmp_path / name).lstat().st_mode == stat.S_IFREG | 0o640
            assert (tmp_path / name).read_text() == "mine"
    finally:
        os.umask(before)
    assert (tmp_path / "victim").read_text() == "precious"


def test_long_names_can_be_written(tmp_path: Path) -> None:
    for name in ("x" * 250 + ".txt", "\u00e9" * 120):
        write_text(tmp_path / name, "here")
        assert (tmp_path / name).read_text() == "here"


def test_a_folder_appears_at_the_end_of_its_block(tmp_path: Path) -> None:
    (tmp_path / ".made.partial").mkdir()
    (tmp_path / ".made.partial/stale").touch()  # of a process that was killed
    (tmp_path / "made").mkdir()
    with whole_folder(tmp_path / "made") as partial:
        (partial / "a").write_text("new")
        assert names(tmp_path / "made") == []
    assert names(tmp_path / "made") == ["a"] and names(tmp_path) == ["made"]
    with pytest.raises(OSError, match="not empty"), whole_folder(tmp_path / "made") as partial:
        (partial / "b").touch()
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "made", over=True) as partial:
        (partial / "b").touch()
        raise RuntimeError
    assert names(tmp_path / "made") == ["a"] and names(tmp_path) == ["made"]
    with whole_folder(tmp_path / "made", over=True) as partial:
        (partial / "b").touch()
    assert names(tmp_path / "made") == ["b"] and names(tmp_path) == ["made"]
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError), whole_folder(tmp_path / "file"):
        pass
    assert (tmp_path / "file").read_text() == "mine" and names(tmp_path) == ["file", "made"]


def test_folders_that_are_filled_at_the_same_time_are_not_mixed(tmp_path: Path) -> None:
    """The last to end wins; what a killed process left is removed, and what another one fills is not."""
    path = tmp_path / ("made" + "x" * 240)
    stale = tmp_path / f".{path.name[:100]}.0123456789ab.partial"
    stale.mkdir()
    with whole_folder(path, over=True) as first:
        assert not stale.exists()
        (first / "a").write_text("first")
        with whole_folder(path, over=True) as second:
            (second / "a").write_text("second")
        assert (path / "a").read_text() == "second"
        (first / "b").write_text("first")
    assert {file.name: file.read_text() for file in path.iterdir()} == {"a": "first", "b": "first"}
    assert names(tmp_path) == [path.name]


def test_nothing_else_in_the_package_renames() -> None:
    """But for what is left unfinished on purpose, or ends in more than one file."""
    allowed = {"files/__init__.py", "data/_fetch.py", "models/precision.py"}
    allowed |= {"curation/clips.py", "training/checkpoints.py", "video/writing.py"}
    package, found = Path(zoetrope.__file__).parent, set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                one = len(node.args) == 1 and not node.keywords  # text.replace takes two
                of_system = isinstance(node.func.value, ast.Name) and node.func.value.id == "os"
                if node.func.attr in ("rename", "replace") and (one or of_system):
                    found.add(path.relative_to(package).as_posix())
    assert found == allowed


@pytest.mark.parametrize("reason", ["of the system", "of the file system"])
def test_without_locks_only_old_remains_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    """There nobody knows whether a folder is being filled."""
    if reason == "of the system":
        monkeypatch.setitem(sys.modules, "fcntl", None)
    else:
        monkeypatch.setattr("fcntl.flock", refused)
    fresh, old = tmp_path / ".made.0123456789ab.partial", tmp_path / ".made.ba9876543210.partial"
    for folder in (fresh, old):
        folder.mkdir()
    os.utime(old, (0, 0))
    with whole_folder(tmp_path / "made") as partial:
        (partial / "a").touch()
        with locked(tmp_path) as sure:
            assert not sure
    assert names(tmp_path) == [fresh.name, "made"]
    monkeypatch.undo()
    with whole_folder(tmp_path / "made", over=True), locked(tmp_path) as sure:
        assert sure and not fresh.exists()


def refused(number: int, how: int) -> None:
    """What a file system without locks says."""
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
