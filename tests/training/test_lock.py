"""One training at a time in a folder: who is refused, what a dead process leaves, and how a training ended."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from zoetrope.training.lock import FILE, Holder, Lock, failure, holder
from zoetrope.training.loop import Run
from zoetrope.training.spec import Recipe

Tiny = Callable[..., Recipe]
Trained = Callable[..., Run]

HOLD = """
import sys, time
from pathlib import Path
from zoetrope.training.lock import Lock
lock = Lock(Path(sys.argv[1]))
lock.take()
print("taken", flush=True)
time.sleep(600)
"""


def holding(folder: Path) -> subprocess.Popen[str]:
    """A process that has taken the lock of a folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "taken\n"
    return process


def test_another_process_is_refused_until_the_first_is_dead(tmp_path: Path) -> None:
    other = holding(tmp_path)
    try:
        assert holder(tmp_path) == Holder(other.pid, socket.gethostname())
        with pytest.raises(ValueError, match=f"process {other.pid} on {socket.gethostname()} is training here"):
            Lock(tmp_path).take()
    finally:
        other.send_signal(signal.SIGKILL)
        other.wait()
    assert json.loads((tmp_path / FILE).read_text())["pid"] == other.pid
    assert holder(tmp_path) is None and failure(tmp_path) is None
    lock = Lock(tmp_path)
    lock.take()
    lock.take()  # it is ours already
    assert holder(tmp_path) == Holder(os.getpid(), socket.gethostname())
    with pytest.raises(ValueError, match="is training here"):
        Lock(tmp_path).take()
    lock.release()
    assert holder(tmp_path) is None and json.loads((tmp_path / FILE).read_text()) == {}


def test_a_lock_that_children_of_a_dead_process_still_have_is_taken_over(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    child = holding(tmp_path)
    try:
        value = {"pid": gone.pid, "host": socket.gethostname()}
        (tmp_path / FILE).write_text(json.dumps(value))
        lock = Lock(tmp_path)
        lock.take()
        assert holder(tmp_path) == Holder(os.getpid(), socket.gethostname())
        lock.release()
    finally:
        child.kill()
        child.wait()


def test_a_run_holds_it_until_its_training_ends(tiny: Tiny, trained: Trained, tmp_path: Path) -> None:
    early = Run(tiny(), "base", tmp_path / "run", torch.device("cpu"))
    run = Run(tiny(), "base", tmp_path / "run", torch.device("cpu"))
    reports = run.train(tmp_path / "cache")
    next(reports)
    before = (tmp_path / "run/run.json").read_bytes()
    with pytest.raises(ValueError, match=f"process {os.getpid()} on .* is training here; wait for it"):
        Run(tiny(), "base", tmp_path / "run", torch.device("cpu"))
    with pytest.raises(ValueError, match="is training here"):
        next(early.train(tmp_path / "cache"))
    assert (tmp_path / "run/run.json").read_bytes() == before
    reports.close()  # type: ignore[attr-defined]
    assert holder(tmp_path / "run") is None and failure(tmp_path / "run") is None
    with pytest.raises(ValueError, match="run: has been gone on with elsewhere in the meantime"):
        next(early.train(tmp_path / "cache"))
    trained(tiny(), "run")
    assert holder(tmp_path / "run") is None


def test_a_failure_is_noted_and_forgotten_when_it_goes_on(tiny: Tiny, trained: Trained, tmp_path: Path) -> None:
    run = Run(tiny(patience=1), "base", tmp_path / "run", torch.device("cpu"))
    with torch.no_grad():
        next(iter(run.state.network.parameters())).fill_(float("nan"))
    with pytest.raises(FloatingPointError):
        for _ in run.train(tmp_path / "cache"):
            pass
    assert failure(tmp_path / "run") == "not finite 1 times in a row at 0 examples"
    assert holder(tmp_path / "run") is None
    trained(tiny(), "run")
    assert failure(tmp_path / "run") is None


@pytest.mark.skipif(os.name == "nt", reason="Windows locks by other means")
def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There the process that the file names decides."""
    import fcntl

    def refused(file: object, how: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", refused)
    lock = Lock(tmp_path)
    lock.take()
    assert holder(tmp_path) == Holder(os.getpid(), socket.gethostname())
    with pytest.raises(ValueError, match=f"process {os.getpid()} on {socket.gethostname()} is training here"):
        Lock(tmp_path).take()
    lock.release()
    assert holder(tmp_path) is None
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    (tmp_path / FILE).write_text(json.dumps({"pid": int(dead.stdout), "host": socket.gethostname()}))
    lock.take()
    assert holder(tmp_path) == Holder(os.getpid(), socket.gethostname())
