"""Checkpoints: written beside the training, kept or removed, and found again after damage and on a full disk."""

import json
import logging
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from conftest import make_pipe
from safetensors.torch import load_file, save_file
from torch import Tensor

from zoetrope.models.checkpoints import Damaged, check_file, find_checkpoints
from zoetrope.processes.ranks import ALONE
from zoetrope.training import checkpoints as module
from zoetrope.training.checkpoints import Keeper, check_whole, outdated
from zoetrope.training.loop import Run
from zoetrope.training.pieces import HEAD, Piece, Stored, write_pieces
from zoetrope.training.spec import Phase

from .conftest import Tiny
from .stages import recipe

CPU = torch.device("cpu")


def train(run: Run, cache: Path, until: int = 10**6) -> None:
    for progress in (reports := run.train(cache)):
        if progress.examples >= until:
            reports.close()  # type: ignore[attr-defined]
            break


def names(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "checkpoints").iterdir())


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """What a full disk does to files that are larger."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("keep", "every", "left"), [(2, 0, [25, 30]), (1, 10, [10, 20, 30]), (2, 12, [15, 25, 30]), (9, 0, range(5, 31, 5))]
)
def test_which_are_kept(keep: int, every: int, left: list[int]) -> None:
    there: list[Path] = []
    for examples in range(5, 31, 5):
        there.append(Path(f"{examples:09d}"))
        there = [path for path in there if path not in outdated(there, keep, every)]
    assert [int(path.name) for path in there] == list(left)


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_the_one_before_stands_in_for_a_damaged_one(
    tiny: Tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture, file: str, damage: str
) -> None:
    recipe, run = tiny(), tmp_path / "run"
    train(Run(recipe, "base", run, CPU), tmp_path)
    stored = load_file(run / "checkpoints/000000024/model.safetensors")
    whole = {name: value.clone() for name, value in stored.items()}
    hit = run / "checkpoints/000000024" / file
    contents = bytearray(hit.read_bytes())
    contents[len(contents) // 2] ^= 255
    hit.write_bytes(contents[: len(contents) // 2] if damage == "cut" else contents)
    with caplog.at_level(logging.WARNING):
        again = Run(recipe, "base", run, CPU)
    [told] = [record.getMessage() for record in caplog.records]
    assert str(hit) in told and "set aside as damaged-000000024" in told and told.endswith("000000016")
    assert again.state.examples == 16 and names(run) == ["000000016", "damaged-000000024"]
    train(again, tmp_path)
    after = load_file(run / "checkpoints/000000024/model.safetensors")
    assert all(torch.equal(value, after[name]) for name, value in whole.items())


def test_a_full_disk_is_survived(tiny: Tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recipe, run = tiny(), tmp_path / "run"
    training = Run(recipe, "base", run, CPU)
    with caplog.at_level(logging.WARNING):
        for progress in (reports := training.train(tmp_path)):
            if progress.examples == 8:
                with largest_file(8192):
                    next(reports)  # writes the checkpoint of 8 examples, in vain
                    assert training.state.examples == 16
                    while any(thread.name.startswith("checkpoint") and _busy(run) for thread in threading.enumerate()):
                        pass
    [told] = [record.getMessage() for record in caplog.records]
    assert "cannot be written" in told and "tries again at its next checkpoint" in told
    assert names(run) == ["000000016", "000000024"]


def _busy(run: Path) -> bool:
    return any((run / "checkpoints").glob(".*.partial"))


def test_a_disk_that_stays_full_is_an_error_at_the_end(
    tiny: Tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "run"
    training = Run(tiny(), "base", run, CPU)
    with largest_file(8192), pytest.raises(OSError, match="cannot be written"):
        train(training, tmp_path)
    assert training.state.examples == 24 and names(run) == []
    *before, last = [record.getMessage() for record in caplog.records if record.name == module.__name__]
    assert len(before) == 2 and all(told.endswith("tries again at its next checkpoint") for told in before)
    assert last.endswith("the training ends, and tries once more")


def test_the_training_goes_on_while_a_checkpoint_is_written(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The snapshot is of the moment at which it was taken, and the next one waits for it."""
    run, write, go = Run(tiny(log_every=4), "base", tmp_path / "run", CPU), Keeper._write, threading.Event()
    seen: list[int] = []

    def slow(self: Keeper, snapshot: module.Snapshot) -> None:
        assert go.wait(60)
        write(self, snapshot)

    monkeypatch.setattr(Keeper, "_write", slow)
    at_eight: dict[str, Tensor] = {}
    for progress in run.train(tmp_path):
        seen.append(progress.examples)
        if progress.examples == 8:
            at_eight = {name: value.clone() for name, value in run.state.network.state_dict().items()}
        if progress.examples == 16:
            assert find_checkpoints(tmp_path / "run/checkpoints") == []
            go.set()
        if progress.examples == 20:
            kept = load_file(tmp_path / "run/checkpoints/000000008/model.safetensors")
            assert all(torch.equal(value, kept[name]) for name, value in at_eight.items())
    assert seen == [4, 8, 12, 16, 20, 24] and names(tmp_path / "run") == ["000000016", "000000024"]


def test_a_state_says_what_it_was_written_with(tiny: Tiny, tmp_path: Path) -> None:
    train(Run(tiny(), "base", tmp_path / "run", CPU), tmp_path)
    about = json.loads((tmp_path / "run/checkpoints/000000024/state.json").read_text())
    assert (about["examples"], about["threads"], about["processes"]) == (24, torch.get_num_threads(), 1)
    assert sorted(about["files"]) == [f"{part}.safetensors" for part in ("average", "errors", "model", "optimizer")]
    del about["files"], about["processes"]  # as earlier versions wrote it
    (tmp_path / "run/checkpoints/000000024/state.json").write_text(json.dumps(about))
    assert Run(tiny(), "base", tmp_path / "run", CPU).state.examples == 24


def test_pieces_make_a_whole(tmp_path: Path) -> None:
    whole, step = torch.arange(30.0).view(5, 6), torch.tensor(3.0)
    (tmp_path / "part").mkdir()
    write_pieces({"w": Piece(whole[:3].clone(), (0, 0)), "step": Piece(step, ())}, tmp_path / "part/0.safetensors")
    write_pieces({"w": Piece(whole[3:].clone(), (3, 0))}, tmp_path / "part/1.safetensors")
    stored = Stored(tmp_path, "part")
    assert stored.names() == {"w", "step"} and stored.shape("w") == (5, 6)
    assert torch.equal(stored.read("w"), whole) and torch.equal(stored.read("step"), step)
    with pytest.raises(ValueError, match=r"expected a tensor 'w' of shape \(5, 7\), got shape \(5, 6\)"):
        stored.fill("w", torch.zeros(5, 7))
    write_pieces({"w": Piece(whole[4:].clone(), (4, 0))}, tmp_path / "part/1.safetensors")
    with pytest.raises(Damaged, match="'w' has 24 of the 30 numbers"):
        Stored(tmp_path, "part").read("w")
    assert not ALONE.any(False) and ALONE.any(True)


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("{", "does not tell where its pieces are"),
        ("[" * 100_000 + "]" * 100_000, "does not tell where its pieces are .*nested"),
        ("[1]", "does not tell where its pieces are .*its parts are of other types"),
        ('{"w": {}}', "does not tell where its pieces are .*'saved_offsets' is missing"),
        ('{"w": {"saved_offsets": 3}}', "its parts are of other types"),
        ('{"w": {"saved_offsets": [3]}}', r"expected 2 positions for 'w', got \(3,\)"),
        ('{"w": {"saved_offsets": [-2, 0]}}', r"expected 2 positions for 'w', got \(-2, 0\)"),
        ('{"w": {"saved_offsets": ["3", 0]}}', "expected 2 positions for 'w'"),
        ('{"w": {"saved_offsets": [3e2, 0]}}', "expected 2 positions for 'w'"),
        (f'{{"w": {{"saved_offsets": [1{"0" * 200}, 0]}}}}', "expected 2 positions for 'w'"),
        ('{"w": {"saved_offsets": [1000000000, 0]}}', "'w' has 30 of the 6000000012 numbers that belong here"),
        ('{"w": {"saved_offsets": [2, 0]}}', "'w' has 30 of the 24 numbers that belong here"),
    ],
)
def test_a_head_that_does_not_tell_where_pieces_belong(head: str, said: str, tmp_path: Path) -> None:
    whole = torch.arange(30.0).view(5, 6)
    (tmp_path / "part").mkdir()
    write_pieces({"w": Piece(whole[:3].clone(), (0, 0))}, tmp_path / "part/0.safetensors")
    save_file({"w": whole[3:].clone()}, tmp_path / "part/1.safetensors", metadata={HEAD: head})
    with pytest.raises(Damaged, match=said):
        Stored(tmp_path, "part").read("w")


def test_pieces_of_another_number_of_axes_and_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    write_pieces({"w": Piece(torch.zeros(3, 6), (0, 0))}, tmp_path / "part/0.safetensors")
    other = tmp_path / "part/1.safetensors"
    write_pieces({"w": Piece(torch.zeros(3), (3,))}, other)
    with pytest.raises(Damaged, match=r"1\.safetensors: 'w' has 1 axes, elsewhere 2"):
        Stored(tmp_path, "part")
    other.write_bytes(other.read_bytes()[:-1])
    with pytest.raises(Damaged, match=r"1\.safetensors: not a whole safetensors file"):
        Stored(tmp_path, "part")
    other.unlink()
    make_pipe(other)
    with pytest.raises(Damaged, match=r"1\.safetensors: no such file"):
        Stored(tmp_path, "part")


def test_newer_is_what_has_seen_more(tmp_path: Path) -> None:
    """However many digits that takes; what is no number is no checkpoint."""
    for name in ("999999992", "999999996", "1000000000", "5120000000", "5000000000.old", "12 (copy)"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "state.json").write_text("{}")
    found = find_checkpoints(tmp_path)
    assert [path.name for path in found] == ["999999992", "999999996", "1000000000", "5120000000"]
    assert [path.name for path in outdated(found, 2)] == ["999999992", "999999996"]


@pytest.mark.parametrize("at", range(0, 400, 7))
def test_no_bit_of_a_state_changes_unnoticed(whole: Path, tmp_path: Path, at: int) -> None:
    checkpoint = tmp_path / whole.name
    shutil.copytree(whole, checkpoint)
    check_whole(checkpoint)
    content = bytearray((checkpoint / "state.json").read_bytes())
    content[at % len(content)] ^= 1
    (checkpoint / "state.json").write_bytes(content)
    with pytest.raises(Damaged, match=r"state\.json"):
        check_whole(checkpoint)


def test_who_copies_a_file_of_a_checkpoint_looks_at_its_checksum(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / whole.name)
    file = tmp_path / whole.name / "average.safetensors"
    check_file(file)
    content = bytearray(file.read_bytes())
    content[-9] ^= 128
    file.write_bytes(content)
    with pytest.raises(Damaged, match=r"average\.safetensors: is not as it was written"):
        check_file(file)
    shutil.copy(file, tmp_path / "alone.safetensors")
    check_file(tmp_path / "alone.safetensors")  # not of a checkpoint


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint."""
    folder = tmp_path_factory.mktemp("whole")
    run = Run(recipe(phases=(Phase(examples=4, batch=4),)), "base", folder / "run", CPU)
    train(run, folder)
    return find_checkpoints(folder / "run/checkpoints")[-1]
