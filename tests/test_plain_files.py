"""What lies in the place of a file that is only a convenience: it is done without; nothing waits or fails for it."""

import json
import os
import signal
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest
import torch
from conftest import local_socket, make_pipe, numbered

from zoetrope.data import _looks, _tar
from zoetrope.data._fetch import Mark
from zoetrope.data.folder import Folder
from zoetrope.data.shards import Shards
from zoetrope.embeddings.shards import FeatureShards as TextShards
from zoetrope.embeddings.shards import encoders
from zoetrope.files.plain import expect_plain, make_way, read_json, read_plain
from zoetrope.files.store import FILE, Store
from zoetrope.models import precision
from zoetrope.planning import kept
from zoetrope.training.state import read_metrics
from zoetrope.video import Video, read_tags

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="this system ends nobody who waits")


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A cache of the test's own, and an end to what waits for ever."""

    def end(number: int, frame: FrameType | None) -> None:
        raise AssertionError("waits for ever")

    monkeypatch.setenv("ZOETROPE_CACHE", str(tmp_path / "cache"))
    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def pipe(path: Path) -> None:
    make_pipe(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def bound(path: Path) -> None:
    with local_socket() as end:
        here = Path.cwd()
        os.chdir(path.parent)  # their names are short
        end.bind(path.name)
        os.chdir(here)


def garbage(path: Path) -> None:
    path.write_bytes(b"\xff\x00\xfe")


def another(path: Path) -> None:
    path.write_text(json.dumps([{"a": [1]}]))


def deep(path: Path) -> None:
    path.write_text("[" * 100_000)


def empty(path: Path) -> None:
    path.touch()


SPECIAL = [pipe, device, bound]
ALL = [*SPECIAL, garbage, another, deep, empty]


def put(place: Callable[[Path], None], path: Path) -> None:
    """Have something else in the place of a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    place(path)


def films(folder: Path) -> Folder:
    folder.mkdir()
    Video(numbered(4, 16, 16), 4).save(folder / "0.mp4")
    (folder / "0.txt").write_text("a clip")
    return Folder(path=str(folder))


@pytest.mark.parametrize("place", ALL)
def test_what_is_known_of_a_folder(place: Callable[[Path], None], tmp_path: Path) -> None:
    source = films(tmp_path / "films")
    assert len(source.open().captions()) == 1
    [path] = (tmp_path / "cache/looks").iterdir()
    put(place, path)
    assert len(source.open().captions()) == 1
    assert path.is_file() and not path.is_symlink() and _looks._stored_looks(path)  # and it is kept again


@pytest.mark.parametrize("place", ALL)
def test_the_index_of_a_shard(place: Callable[[Path], None], tmp_path: Path) -> None:
    films(tmp_path / "films")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name in ("0.mp4", "0.txt"):
            tar.add(tmp_path / "films" / name, name)
    source = Shards(path=str(tmp_path / "a.tar"))
    assert len(source.open().captions()) == 1
    path = tmp_path / f"a.tar{_tar.SUFFIX}"
    assert path.is_file()
    put(place, path)
    assert len(source.open().captions()) == 1
    assert path.is_file() and not path.is_symlink()


@pytest.mark.parametrize("place", ALL)
def test_counts_of_a_plan(place: Callable[[Path], None], tmp_path: Path) -> None:
    kept._store("key", [1])
    [path] = (tmp_path / "cache/plans").iterdir()
    put(place, path)
    assert kept._stored("key") is None
    kept._store("key", [2])
    assert kept._stored("key") == [2]


def test_counts_that_have_the_right_sum_and_another_structure(tmp_path: Path) -> None:
    from tests.planning.test_plan import stage

    value = kept.sampling(stage(), torch.float32, 2**40, torch.device("cpu"))
    [path] = (tmp_path / "cache/plans").iterdir()
    whole = path.read_bytes()
    for text in ("[1, 2]", "{}", "3", "[1, 2, 3, 4, [[5]], 6]", "[", "[" * 100_000):
        path.write_text(f"{kept._checksum(path.stem, text.encode())}\n{text}")
        assert kept.sampling(stage(), torch.float32, 2**40, torch.device("cpu")) == value
        assert path.read_bytes() == whole


@pytest.mark.parametrize("place", ALL)
def test_the_type_that_a_machine_computes_in(
    place: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    monkeypatch.setattr(precision, "matmul_seconds", lambda dtype, **options: float(dtype == torch.float32))
    path = precision.settled_file(["avx512_bf16"])
    put(place, path)
    precision._gains.cache_clear()
    assert precision.compute_dtype(torch.device("cpu")) == torch.bfloat16
    precision._gains.cache_clear()
    assert read_json(path)["bf16_gains"] is True


@pytest.mark.parametrize("value", ["1", '"yes"', "null", "[true]"])
def test_a_type_that_is_told_in_other_words(value: str, tmp_path: Path) -> None:
    path = tmp_path / "told.json"
    path.write_text(f'{{"bf16_gains": {value}}}')
    assert precision._kept(path) is None


@pytest.mark.parametrize("name", [FILE, f"{FILE}-journal", f"{FILE}-wal"])
@pytest.mark.parametrize("place", SPECIAL)
def test_features_of_texts(
    place: Callable[[Path], None], name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = {bytes(16): torch.ones(2, 4, dtype=torch.float16)}
    if name != FILE:
        assert Store(tmp_path).put("t5", rows)
    put(place, tmp_path / name)
    store = Store(tmp_path)
    assert store.get("t5", rows, 4) == {} and not store.put("t5", rows) and not store.known("t5", rows)
    assert caplog.text.count("cannot be used, and is done without") == 1


@pytest.mark.parametrize("place", SPECIAL)
def test_features_beside_data(place: Callable[[Path], None], tmp_path: Path) -> None:
    put(place, tmp_path / "t5/0.safetensors")
    with pytest.raises(ValueError, match=r"0\.safetensors: expected a plain file"):
        TextShards(tmp_path / "t5", 4)
    assert encoders(tmp_path) == set()


@pytest.mark.parametrize("place", ALL)
def test_the_tags_of_pictures(place: Callable[[Path], None], tmp_path: Path) -> None:
    put(place, tmp_path / "a.tags.json")
    for number in range(2):
        (tmp_path / f"a_{number:04d}.png").touch()
    assert read_tags(tmp_path / "a_%04d.png") == {}


@pytest.mark.parametrize("place", ALL)
def test_the_mark_of_a_download(place: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "a.mark"
    put(place, path)
    assert Mark.read(path) is None
    Mark("tag", None).write(path)
    assert Mark.read(path) == Mark("tag", None) and not path.is_symlink()


@pytest.mark.parametrize("place", SPECIAL)
def test_what_is_read_and_written(place: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "file"
    make_way(path)
    expect_plain(path)
    place(path)
    with pytest.raises((ValueError, OSError)):
        read_plain(path, 10)
    with pytest.raises(ValueError, match="file: expected a plain file"):
        expect_plain(path)
    with pytest.raises(ValueError, match="expected a plain file"):
        read_metrics(path)
    make_way(path)
    assert not path.exists() and Path("/dev/zero").exists()
    path.write_bytes(b"0123456789")
    assert read_plain(path, 10) == path.read_bytes()
    with pytest.raises(ValueError, match="file: expected at most 9 bytes, got more"):
        read_plain(path, 9)
