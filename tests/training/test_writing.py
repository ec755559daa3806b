"""What a run writes besides its checkpoints: in its folder alone, and nothing that a training could not do without."""

import errno
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import make_pipe

from zoetrope.files import write_text
from zoetrope.models.checkpoints import find_checkpoints
from zoetrope.training.lock import Lock, failure, holder
from zoetrope.training.loop import Run
from zoetrope.training.state import read_metrics
from zoetrope.training.trackers import Connection, Tracker, tracking
from zoetrope.training.writing import append_text, expect_own, open_own, remove

from .conftest import Tiny
from .test_checkpoints import largest_file

CPU = torch.device("cpu")


def test_what_is_appended_is_there_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    append_text(path, "one\n")
    with largest_file(6), pytest.raises(OSError):
        append_text(path, "two\nthree\n")
    append_text(path, "four\n")
    assert path.read_text() == "one\nfour\n"
    with largest_file(3), pytest.raises(OSError):
        write_text(path, "something longer")
    assert path.read_text() == "one\nfour\n" and os.listdir(tmp_path) == ["metrics.jsonl"]


def test_nothing_is_written_through_links_and_pipes(tmp_path: Path) -> None:
    victim, run = tmp_path / "victim", tmp_path / "run"
    victim.write_text("precious")
    run.mkdir()
    for name in ("metrics.jsonl", "lock.json", "run.json", ".run.json.partial"):
        (run / name).symlink_to(victim)
    append_text(run / "metrics.jsonl", "one\n")
    write_text(run / "run.json", "{}")
    lock = Lock(run)
    lock.take()
    assert holder(run) is not None and not (run / "lock.json").is_symlink()
    lock.release("why")
    assert failure(run) == "why" and (run / "run.json").read_text() == "{}"
    make_pipe(run / "pipe")
    os.close(open_own(run / "pipe"))
    assert (run / "pipe").is_file() and victim.read_text() == "precious"
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/kept").write_text("")
    (run / "checkpoints").symlink_to(tmp_path / "folder")
    with pytest.raises(ValueError, match=r"checkpoints: expected a folder, got a link to .*folder"):
        expect_own(run)
    remove(run / "checkpoints")
    expect_own(run)
    assert (tmp_path / "folder/kept").exists()


def test_a_pipe_in_the_place_of_a_lock_is_not_waited_for(tmp_path: Path) -> None:
    make_pipe(tmp_path / "lock.json")
    assert holder(tmp_path) is None and failure(tmp_path) is None


def test_a_run_refuses_folders_that_lead_elsewhere(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run/samples").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="samples: expected a folder, got a link"):
        Run(tiny(), "base", tmp_path / "run", CPU)


class Broken(Connection):
    """A service that fails from the second time on."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def scalars(self, examples: int, values: Any) -> None:
        self.calls.append("scalars")
        if len(self.calls) > 1:
            raise RuntimeError("503")

    def sheet(self, examples: int, picture: Path) -> None:
        self.calls.append("sheet")

    def close(self) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Opens(Tracker):
    """Opens such a line."""

    def open(self, run: Path, examples: int, recipe: Any) -> Connection:
        return BROKEN


class Closed(Tracker):
    """Cannot be opened."""

    def open(self, run: Path, examples: int, recipe: Any) -> Connection:
        raise RuntimeError("503\nlater")


BROKEN = Broken()


def test_a_service_that_cannot_be_opened(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Is told at the beginning of a run, and does not keep one from going on."""
    said = r"test_writing\.Closed: cannot be opened \(503\\nlater\); train without it, or try again"
    with pytest.raises(ValueError, match=said), tracking((Closed(),), tmp_path, 0, {}):
        pass
    with tracking((Closed(), Opens()), tmp_path, 8, {}) as lines:
        assert len(lines) == 1
    assert "Closed: cannot be opened (503\\nlater); the training goes on without it" in caplog.records[0].getMessage()


def test_a_service_that_fails_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with tracking((Opens(),), tmp_path, 0, {}) as (line,):
        for _ in range(4):
            line.scalars(1, {})
        line.sheet(1, tmp_path)
    assert BROKEN.calls == ["scalars", "scalars"]
    assert [record.getMessage() for record in caplog.records] == [
        "training.test_writing.Opens: failed (RuntimeError('503')); the training goes on without it"
    ]


def test_a_full_disk_ends_no_training(tiny: Tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither a line of metrics, nor a sheet, nor what is told of a bad batch."""
    run = Run(tiny(sample_every=8, patience=100), "base", tmp_path / "run", CPU)
    with caplog.at_level(logging.WARNING):
        for progress in (reports := run.train(tmp_path)):
            if progress.examples == 8:
                with largest_file(len((tmp_path / "run/metrics.jsonl").read_bytes()) + 20):
                    next(reports)
    assert run.state.examples == 24 and find_checkpoints(tmp_path / "run/checkpoints")[-1].name == "000000024"
    lines = read_metrics(tmp_path / "run/metrics.jsonl")
    assert [line["examples"] for line in lines] == [8, 24]
    told = " ".join(record.getMessage() for record in caplog.records)
    assert "metrics.jsonl: cannot be written (File too large); the training goes on" in told
    assert "samples/000000008.png: cannot be written" in told


def test_where_every_step_was_left_out_there_is_no_loss(tiny: Tiny, tmp_path: Path) -> None:
    run = Run(tiny(patience=100), "base", tmp_path / "run", CPU)
    with torch.no_grad():
        for weight in run.state.network.parameters():
            weight.fill_(float("nan"))
    assert {progress.loss for progress in run.train(tmp_path)} == {None}
    last = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[-1], parse_constant=pytest.fail)
    assert (last["examples"], last["loss"], last["grad_norm"]) == (24, None, None)


PORTABLE = """
import os, sys
from pathlib import Path
sys.modules.update(fcntl=None, resource=None)
del os.sysconf
import torch
from zoetrope.cascade.room import UNKNOWN, allowed, installed
from zoetrope.training.lock import Lock, holder
from zoetrope.training import meters
meters._high_water = lambda: None  # without /proc
run = Path(sys.argv[1])
lock = Lock(run)
lock.take()
assert holder(run).pid == os.getpid()
try:
    Lock(run).take()
except ValueError as error:
    assert "is training here" in str(error)
else:
    raise AssertionError("two at a time")
lock.release()
assert holder(run) is None
Lock(run).take()
assert meters.peak_memory(torch.device("cpu")) is None and installed() == UNKNOWN and allowed() is None
from zoetrope.__main__ import main
assert main(["show", "mini"]) == 0 and main(["status", "--help"]) == 0
"""


def test_systems_that_lack_what_others_have(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    words = [sys.executable, "-c", PORTABLE, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    lock = Lock(tmp_path)
    lock.take()  # the process is gone, and what it has left is taken over
    lock.release()
