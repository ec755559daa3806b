"""Output of commands: results on stdout, everything else on stderr."""

import io
import logging
import os
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from zoetrope.wording import one_line, printable, readable_json

EVERY = 20.0
"""Seconds after which work without a progress bar reports its progress."""


_SO_FAR = "{task.completed}/{task.total}"


def fail(message: str, label: str = "error: ") -> None:
    """Say why a command ends early."""
    print(f"{label}{printable(message)}", file=sys.stderr, flush=True)


class Talk(NamedTuple):
    """How much a command prints: `json` puts the result on stdout for machines, `quiet` suppresses messages."""

    json: bool
    quiet: bool

    def result(self, value: Any, text: str) -> None:
        """The result: `value` as JSON, or `text` for people."""
        if self.json:
            print(readable_json(value, sys.stdout.encoding or "utf-8"))
        elif text:
            print(printable(text))

    def say(self, message: str) -> None:
        """Print a message, unless quiet."""
        if not self.quiet:
            print(printable(message), file=sys.stderr, flush=True)

    def warn(self, message: str) -> None:
        """Print a message even if quiet: the result differs from what was requested."""
        print(f"warning: {printable(message)}", file=sys.stderr, flush=True)

    @contextmanager
    def logged(self, name: str) -> Iterator[None]:
        """Print what the module of that name logs."""
        logger, handler = logging.getLogger(name), _Lines(_to_stderr)
        logger.addHandler(handler)
        level = logger.level
        logger.setLevel(logging.WARNING if self.quiet else logging.INFO)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)

    @contextmanager
    def bars(self) -> Iterator["Bars"]:
        """Progress bars on a terminal, lines elsewhere, nothing if quiet; the library's log appears above them.

        Lines appear when a part ends, and every `EVERY` seconds in between.
        """
        from rich.console import Console

        console = Console(stderr=True, soft_wrap=True, highlight=False)
        handler = _Lines(console.print)
        logger = logging.getLogger("zoetrope")
        level = logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.WARNING if self.quiet else logging.INFO)
        try:
            if console.is_terminal and not self.quiet:
                from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

                look = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn(_SO_FAR))
                text = TextColumn("{task.fields[note]}", markup=False)
                with Progress(*look, TimeElapsedColumn(), TimeRemainingColumn(), text, console=console) as shown:
                    yield _Terminal(shown)
            elif self.quiet:
                yield _Plain(self)
            else:
                with _Plain(self).telling() as plain:
                    yield plain
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)


class Bars(ABC):
    """Reports the progress of work in named parts."""

    @abstractmethod
    def begin(self, name: str, total: int) -> None:
        """Start, or resume, a part with `total` steps; `advance` then sets its position."""

    @abstractmethod
    def advance(self, done: int, note: str = "") -> None:
        """Report that `done` steps of the part are finished."""

    @abstractmethod
    def end(self, line: str) -> None:
        """Finish the part; `line` is printed where there are no bars."""


class _Terminal(Bars):
    def __init__(self, shown: Any) -> None:
        self.shown = shown

    def begin(self, name: str, total: int) -> None:
        self.task = self.shown.add_task(one_line(name), total=total, note="")

    def advance(self, done: int, note: str = "") -> None:
        self.shown.update(self.task, completed=done, note=note)

    def end(self, line: str) -> None:
        self.shown.stop_task(self.task)


class _Plain(Bars):
    """Lines: notes, finished parts, and from time to time the progress, printed by a separate thread."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.name, self.done, self.total = "", 0, 0
        self.begun = self.spoke = time.monotonic()

    def begin(self, name: str, total: int) -> None:
        self.begun = time.monotonic()
        self.name, self.done, self.total = name, 0, total

    def advance(self, done: int, note: str = "") -> None:
        self.done = done
        if note:
            self._say(f"{self.name}: {done}/{self.total} {note}")

    def end(self, line: str) -> None:
        self.name, self.begun = "", time.monotonic()
        self._say(line)

    def _say(self, line: str) -> None:
        self.spoke = time.monotonic()
        self.talk.say(line)

    @contextmanager
    def telling(self) -> Iterator["_Plain"]:
        """Inside this block, print the progress whenever nothing was printed for `EVERY` seconds."""
        ended, latest = threading.Event(), _Latest()

        def tell() -> None:
            while not ended.wait(max(0.01, self.spoke + EVERY - time.monotonic())):
                if time.monotonic() - self.spoke >= EVERY and (line := self._so_far(latest.message)):
                    self._say(line)

        thread = threading.Thread(target=tell, daemon=True)
        thread.start()
        try:
            with latest.listening():
                yield self
        finally:
            ended.set()
            thread.join()

    def _so_far(self, detail: str) -> str:
        """The part and its step; for a long step also the progress within it."""
        seconds = f"after {time.monotonic() - self.begun:.0f} s"
        if not self.name:
            return detail and f"{detail}, {seconds}"
        within = detail.partition(": ")[2]
        return f"{self.name}: {self.done}/{self.total} {seconds}{within and f' ({within})'}"


class _Latest(logging.Handler):
    """The last log message from sampling, about the smallest steps."""

    record: logging.LogRecord | None = None

    @property
    def message(self) -> str:
        """The message; "" if there is none yet."""
        return self.record.getMessage() if self.record else ""

    def emit(self, record: logging.LogRecord) -> None:
        self.record = record

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen in this block."""
        logger = logging.getLogger("zoetrope.cascade")
        level = logger.level
        logger.addHandler(self)
        logger.setLevel(logging.DEBUG)
        try:
            yield
        finally:
            logger.removeHandler(self)
            logger.setLevel(level)


class _Lines(logging.Handler):
    """The library's log as plain lines."""

    def __init__(self, write: Any, level: int = logging.INFO) -> None:
        super().__init__(level)
        self.write = write

    def emit(self, record: logging.LogRecord) -> None:
        self.write(printable(record.getMessage()), markup=False)


def _to_stderr(line: str, *, markup: bool) -> None:
    print(line, file=sys.stderr, flush=True)


def speak_safely() -> None:
    """Make printing safe: characters that the stream cannot encode are escaped, with or without bars.

    What goes to a closed stream, as after `2>&-`, is dropped; `print` would write it to the other one.
    """
    sys.stdout, sys.stderr = (stream or open(os.devnull, "w") for stream in (sys.stdout, sys.stderr))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    logging.lastResort = _Lines(_to_stderr, logging.WARNING)
