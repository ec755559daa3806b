"""Worker processes of this one, which end with it.

They answer through pipes, which need no shared memory. A dead or suspended worker is an error within seconds, and a
worker whose parent is gone ends at once, whatever it is doing.
"""

import contextlib
import logging
import multiprocessing
import os
import pickle
import queue
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable
from multiprocessing import util
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

from zoetrope.training.messages import packed, receive, send, unpacked

R = TypeVar("R")

log = logging.getLogger(__name__)
AHEAD = 2  # orders queued at each worker
BEAT, POLL = 1.0, 0.25  # seconds between heartbeats, and between polls for an answer
SILENT = 30.0  # seconds without a heartbeat until a worker counts as lost
SLOW = 60.0  # seconds until the log says that an answer takes long
PASSED_OVER = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")  # sent to the whole group; the master ends its workers


class Stopped(Exception):
    """Waiting for an answer was cancelled."""


class Worker(Generic[R]):
    """A process that answers orders one after the other."""

    def __init__(self, work: list[bytes], preload: str):
        """`work` is the packed function from an order to its answer; module `preload` is what it needs imported."""
        context = _context(preload)
        self.line, theirs = context.Pipe()
        # Arguments travel as bytes: PyTorch would pass tensors in shared memory.
        self.process = context.Process(target=_serve, args=(theirs, [bytes(piece) for piece in work]), daemon=True)
        self.process.start()
        theirs.close()
        self.signs = 0  # of life, so far
        self._answers: queue.SimpleQueue[R | Exception | None] = queue.SimpleQueue()
        # Python waits for its children at exit, and these ignore termination signals.
        util.Finalize(self, self.process.kill, exitpriority=10)
        threading.Thread(target=self._hear, daemon=True).start()

    def order(self, order: int) -> None:
        """Send an order; if the worker is gone, `answer` raises."""
        with contextlib.suppress(OSError):
            self.line.send(order)

    def answer(self, what: str, stopped: Callable[[], bool]) -> R:
        """The next answer, called `what` in messages. Raises what the work raised.

        Raises ChildProcessError if the worker is dead or stopped, `Stopped` as soon as `stopped()` is true.
        """
        signs, silent, waited, slow = self.signs, 0.0, 0.0, SLOW
        while True:
            try:
                found = self._answers.get(timeout=POLL)
            except queue.Empty:
                if stopped():
                    raise Stopped from None
            else:
                break
            # Counted in polls, not by a clock: if all processes are suspended and resumed, all were silent.
            waited, silent = waited + POLL, silent + POLL if self.signs == signs else 0.0
            signs = self.signs
            if silent >= SILENT and signs:
                raise ChildProcessError(
                    f"worker process {self.process.pid} has given no sign of life for {SILENT:.0f} s while it made "
                    f"{what}: it is stopped, or hangs"
                )
            if waited >= slow:
                log.warning("worker process %s has been making %s for %.0f s", self.process.pid, what, waited)
                slow *= 4
        if found is None:
            raise ChildProcessError(f"worker process {self.process.pid} {self._end()} while it made {what}")
        if isinstance(found, Exception):
            raise found
        return found

    def dismiss(self) -> None:
        """Tell the worker to end."""
        with contextlib.suppress(OSError):
            self.line.send(None)

    def bury(self, seconds: float) -> None:
        """Wait for its end for so many seconds, then kill it."""
        self.process.join(seconds)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()

    def _hear(self) -> None:
        try:
            while True:
                pieces = receive(self.line)
                self.signs += 1
                if pieces:
                    self._answers.put(_read(pieces))
        except (EOFError, OSError):
            self._answers.put(None)
            self.line.close()

    def _end(self) -> str:
        self.process.join(5)
        code = self.process.exitcode
        if code is None or code >= 0:
            return f"ended with status {code}"
        cause = signal.Signals(-code).name if -code in {int(one) for one in signal.Signals} else f"signal {-code}"
        hint = " (a system that is short of memory does that; fewer workers need less)" if cause == "SIGKILL" else ""
        return f"was killed by {cause}{hint}"


def _read(pieces: list[bytearray]) -> Any:
    """An answer; one that cannot be read is an error, as if the worker had raised it."""
    try:
        return unpacked(pieces)
    except Exception as error:
        return error


def answers(
    work: Callable[[int], R], orders: Iterable[int], count: int, preload: str, stopped: Callable[[], bool], what: str
) -> Generator[R, None, None]:
    """Yield `work(order)` for each order, in order, computed by `count` processes; messages call a result `what`.

    It ends early when `stopped()` is true. Raises ValueError, OSError and MemoryError as the work raises them,
    RuntimeError with the traceback for anything else, and ChildProcessError if a worker is dead or stopped.
    """
    bundle, coming = packed(work), iter(orders)
    workers: list[Worker[R]] = []
    asked: deque[tuple[Worker[R], int]] = deque()

    def ask(worker: Worker[R]) -> None:
        order = next(coming, None)
        if order is not None:
            worker.order(order)
            asked.append((worker, order))

    try:
        workers += (Worker(bundle, preload) for _ in range(count))
        for _ in range(AHEAD):
            for worker in workers:
                ask(worker)
        while asked:
            worker, order = asked.popleft()
            answer = worker.answer(f"{what} {order}", stopped)
            ask(worker)
            yield answer
    except Stopped:
        return
    finally:
        for worker in workers:
            worker.dismiss()
        for worker in workers:
            worker.bury(2.0)


def _serve(line: Connection, work: list[bytes]) -> None:
    """The main function of a worker: it works in this thread, and receives and sends in two others."""
    for name in PASSED_OVER:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    orders: queue.SimpleQueue[int] = queue.SimpleQueue()
    made: queue.SimpleQueue[list[bytes]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(line, orders), daemon=True).start()
    threading.Thread(target=_speak, args=(line, made), daemon=True).start()
    function: Callable[[int], Any] | None = None
    while True:
        order = orders.get()
        try:
            function = function or unpacked(work)
            answer = packed(function(order))
        except Exception as error:
            answer = packed(_sendable(error))
        made.put(answer)


def _listen(line: Connection, orders: "queue.SimpleQueue[int]") -> None:
    """Receive orders; end the process when it is dismissed or its parent is gone."""
    with contextlib.suppress(EOFError, OSError):
        while (order := line.recv()) is not None:
            orders.put(order)
    os._exit(0)


def _speak(line: Connection, made: "queue.SimpleQueue[list[bytes]]") -> None:
    """Send answers as they are made, and heartbeats in between."""
    with contextlib.suppress(OSError):
        while True:
            try:
                pieces = made.get(timeout=BEAT)
            except queue.Empty:
                pieces = []
            send(line, pieces)
    os._exit(0)


def _sendable(error: Exception) -> Exception:
    """Errors about the input unchanged, because their messages are for people; any other with its traceback."""
    if isinstance(error, ValueError | OSError | MemoryError):
        with contextlib.suppress(Exception):
            pickle.loads(pickle.dumps(error))
            return error
    return RuntimeError(f"in a worker process:\n{''.join(traceback.format_exception(error))}")


def _context(preload: str) -> Any:
    """The start method of workers: never a fork of this process, whose threads may hold locks."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([preload])  # imported once for all workers
    return context
