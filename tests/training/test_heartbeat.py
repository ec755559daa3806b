"""Processes that train together: one that is stopped or dead is an error on the others, within seconds."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROGRAM = """
import logging, sys, time
import torch
from zoetrope.processes import heartbeat
from zoetrope.processes.ranks import Ranks
logging.basicConfig(format="%(message)s")
heartbeat.BEAT, heartbeat.SILENT, heartbeat.GRACE = 0.2, 2.0, 0.5
ranks = Ranks.join(torch.device("cpu"))
ranks.meet()
print("met", flush=True)
while sys.argv[1] == "orphaned":
    time.sleep(0.1)
    if ranks.orphaned:
        sys.exit()
if sys.argv[1] == "leave":
    time.sleep(4 - 4 * ranks.rank)  # longer than one that has not left may be without a sign of life
    ranks.leave()
    sys.exit()
try:
    with ranks.together():
        while True:
            ranks.any(False)
            time.sleep(0.01)
except ChildProcessError as error:
    sys.exit(str(error))
"""


STORE = """
import sys, time
from torch.distributed import TCPStore
store = TCPStore("localhost", int(sys.argv[1]), is_master=True, wait_for_workers=False)
time.sleep(600)
"""


@contextmanager
def two(how: str) -> Iterator[list[subprocess.Popen[str]]]:
    """Two processes that have met; orphaned ones have met in a third, as torchrun is, which comes after them."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    at = {
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": port,
        "WORLD_SIZE": "2",
        "TORCHELASTIC_USE_AGENT_STORE": str(how == "orphaned"),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    both = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, how],
            env={**os.environ, **at, "RANK": rank, "PYTHONPATH": str(Path(__file__).parents[2])},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]
    every = list(both)
    if how == "orphaned":
        every.append(subprocess.Popen([sys.executable, "-c", STORE, port], stdout=subprocess.PIPE, text=True))
    try:
        for process in both:
            assert process.stdout is not None and process.stdout.readline() == "met\n"
        yield every
    finally:
        for process in every:
            process.kill()
            process.communicate()


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="this system has no such signals")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("SIGSTOP", "process 0 ends, because process 1 has given no sign of life for 2 s: it is stopped"),
        ("SIGKILL", "another of the 2 processes has ended or cannot be reached"),
    ],
)
def test_one_that_is_stopped_or_dead_ends_the_other(name: str, said: str) -> None:
    with two("stay") as (first, second):
        second.send_signal(getattr(signal, name))
        begun = time.monotonic()
        _, told = first.communicate(timeout=60)
        assert first.returncode == 1 and said in told and "Traceback" not in told, told
        assert time.monotonic() - begun < 30


def test_who_leaves_is_not_missed() -> None:
    with two("leave") as (first, second):
        for process in (second, first):
            _, told = process.communicate(timeout=60)
            assert process.returncode == 0 and "no sign of life" not in told, told


def test_who_has_lost_torchrun_knows_it() -> None:
    with two("orphaned") as (first, second, torchrun):
        torchrun.kill()
        for process in (first, second):
            _, told = process.communicate(timeout=60)
            assert process.returncode == 0 and "because torchrun, which began it, is gone" in told, told
