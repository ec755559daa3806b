"""Processes that work for a training: what they hand over, and that none is waited for in vain or left behind."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from zoetrope.training import workers
from zoetrope.training.messages import packed, unpacked
from zoetrope.training.workers import answers

HERE = __name__
ENV = {**os.environ, "PYTHONPATH": os.pathsep.join(str(Path(__file__).parents[up]) for up in (1, 2))}


def never() -> bool:
    return False


def python(program: str) -> list[str]:
    """The command of a process that knows what stands here."""
    return [sys.executable, "-c", f"from {HERE} import *\n{program}"]


def squares(order: int) -> tuple[int, torch.Tensor]:
    """A process's number, and a tensor."""
    return os.getpid(), torch.full((2, 3), float(order * order))


def large(order: int) -> torch.Tensor:
    return torch.full((3_000_000,), float(order))


def failing(order: int) -> int:
    if order == 2:
        raise ValueError("clip.mp4: expected a video")
    if order == 3:
        raise KeyError("ours")
    return order


def sleepy(order: int) -> int:
    time.sleep(600 if order else 0)
    return os.getpid()


class Unreadable:
    """What can be written, but not read."""

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return int, ("no number",)


def unreadable(order: int) -> Unreadable:
    return Unreadable()


def made(work: Callable[[int], object], count: int, orders: int = 10, stopped: Callable[[], bool] = never) -> Iterator:  # type: ignore[type-arg]
    return answers(work, range(orders), count, workers.__name__, stopped, "square")


def gone(pid: int, seconds: float = 10) -> bool:
    """Whether a process ends in time; one that nobody has waited for is dead, too."""
    for _ in range(int(seconds * 20)):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state in "ZX":
            return True
        time.sleep(0.05)
    return False


def test_tensors_and_arrays_come_as_they_were() -> None:
    value = {
        "bf16": torch.randn(3, 4).to(torch.bfloat16),
        "strided": torch.arange(12).view(3, 4).T,
        "none": torch.zeros(0, 5),
        "one": torch.tensor(True),
        "array": np.arange(6).reshape(2, 3),
        "words": ("a", 1, None),
    }
    found = unpacked([bytearray(piece) for piece in packed(value)])
    for name in ("bf16", "strided", "none", "one"):
        assert found[name].dtype == value[name].dtype and torch.equal(found[name], value[name]), name
    found["bf16"][0] = 1  # writable
    assert np.array_equal(found["array"], value["array"]) and found["words"] == value["words"]


def test_answers_come_in_order_and_from_all() -> None:
    found = list(made(squares, 3))
    assert [int(tensor[0, 0]) for _, tensor in found] == [order * order for order in range(10)]
    pids = {pid for pid, _ in found}
    assert len(pids) == 3 and os.getpid() not in pids and all(gone(pid) for pid in pids)


@pytest.mark.skipif(sys.platform != "linux" or os.getuid() != 0, reason="mounts a file system, which takes root")
def test_next_to_no_shared_memory_is_enough() -> None:
    mount = ["unshare", "-m", "bash", "-c", 'mount -t tmpfs -o size=64k tmpfs /dev/shm && exec "$@"', "-"]
    if subprocess.run([*mount, "true"], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    program = "print(sum(float(one.sum()) for one in made(large, 2, 6)))"
    done = subprocess.run([*mount, *python(program)], capture_output=True, text=True, timeout=120, env=ENV)
    assert done.returncode == 0 and float(done.stdout) == 3_000_000 * 15, done.stderr


def test_what_the_work_raises() -> None:
    coming = made(failing, 2)
    assert [next(coming), next(coming)] == [0, 1]
    with pytest.raises(ValueError, match=r"^clip.mp4: expected a video$"):
        next(coming)
    with pytest.raises(RuntimeError, match=r"(?s)in a worker process:.*in failing.*KeyError: 'ours'"):
        list(answers(failing, [3], 1, workers.__name__, never, "square"))


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="this system has no such signals")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "SIGKILL",
            r"worker process \d+ was killed by SIGKILL \(a system that is short of memory .* made square 1",
        ),
        ("SIGSTOP", r"worker process \d+ has given no sign of life for 3 s while it made square 1: "),
    ],
)
def test_the_dead_and_the_mute_are_an_error_within_seconds(
    name: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "SILENT", 3.0)
    coming = made(sleepy, 1)
    pid = next(coming)
    time.sleep(1.5)  # it has begun to make the next
    os.kill(pid, getattr(signal, name))
    begun = time.monotonic()
    with pytest.raises(ChildProcessError, match=said):
        next(coming)
    assert time.monotonic() - begun < 15 and gone(pid)


def test_nobody_waits_any_longer_than_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    coming = made(sleepy, 1, stopped=lambda: bool(caplog.records))  # as soon as it was told that it takes long
    pid = next(coming)
    monkeypatch.setattr(workers, "SLOW", 0.5)
    begun = time.monotonic()
    assert next(coming, None) is None and time.monotonic() - begun < 10
    assert "has been making square 1 for 0 s" in caplog.text and gone(pid)


def test_workers_end_with_their_master() -> None:
    program = (
        "coming = made(sleepy, 2); next(coming); print(*map(at_work, multiprocessing.active_children()), flush=True)"
    )
    master = subprocess.Popen(python(f"{program}; time.sleep(600)"), stdout=subprocess.PIPE, text=True, env=ENV)
    assert master.stdout is not None
    pids = {int(pid) for pid in master.stdout.readline().split()}
    assert len(pids) == 3  # with the process that began them
    master.kill()
    master.wait()
    assert all(gone(pid) for pid in pids)  # in the middle of their work


def at_work(process: multiprocessing.process.BaseProcess) -> str:
    """The numbers of a process and of the one that began it."""
    stat = Path(f"/proc/{process.pid}/stat").read_text()
    return f"{process.pid} {stat.rpartition(')')[2].split()[1]}"


def test_an_answer_that_cannot_be_read_is_an_error_at_once() -> None:
    begun = time.monotonic()
    with pytest.raises(ValueError, match=r"invalid literal for int.*no number"):
        list(made(unreadable, 1))
    assert time.monotonic() - begun < workers.SILENT
