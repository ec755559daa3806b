"""How commands speak: results on stdout, everything else on stderr."""

import json
import logging
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple


def fail(message: str, label: str = "error: ") -> None:
    """Say why a command ends early."""
    print(f"{label}{message}", file=sys.stderr, flush=True)


class Talk(NamedTuple):
    """How much a command says: `json` puts the result on stdout for machines, `quiet` leaves the messages out."""

    json: bool
    quiet: bool

    def result(self, value: Any, text: str) -> None:
        """The result: `value` as JSON, or `text` for people."""
        if self.json:
            print(json.dumps(value, indent=1, ensure_ascii=False))
        elif text:
            print(text)

    def say(self, message: str) -> None:
        """A message that a quiet command leaves out."""
        if not self.quiet:
            print(message, file=sys.stderr, flush=True)

    def warn(self, message: str) -> None:
        """A message that even a quiet command gives: the result is not quite what was asked for."""
        print(f"warning: {message}", file=sys.stderr, flush=True)

    @contextmanager
    def bars(self) -> Iterator["Bars"]:
        """Progress bars on a terminal, lines elsewhere, nothing if quiet; what the library logs appears above them."""
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

                look = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
                text = TextColumn("{task.fields[note]}")
                with Progress(*look, TimeElapsedColumn(), TimeRemainingColumn(), text, console=console) as shown:
                    yield _Terminal(shown)
            else:
                yield _Plain(self)
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)


class Bars(ABC):
    """Where work in named parts is reported."""

    @abstractmethod
    def begin(self, name: str, total: int) -> None:
        """A part with so many steps begins, or goes on: where it stands is told next."""

    @abstractmethod
    def advance(self, done: int, note: str = "") -> None:
        """So many steps of the part are done."""

    @abstractmethod
    def end(self, line: str) -> None:
        """The part is finished; `line` tells of it where there are no bars."""


class _Terminal(Bars):
    def __init__(self, shown: Any) -> None:
        self.shown = shown

    def begin(self, name: str, total: int) -> None:
        self.task = self.shown.add_task(name, total=total, note="")

    def advance(self, done: int, note: str = "") -> None:
        self.shown.update(self.task, completed=done, note=note)

    def end(self, line: str) -> None:
        self.shown.stop_task(self.task)


class _Plain(Bars):
    def __init__(self, talk: Talk) -> None:
        self.talk = talk

    def begin(self, name: str, total: int) -> None:
        self.name, self.total = name, total

    def advance(self, done: int, note: str = "") -> None:
        if note:
            self.talk.say(f"{self.name}: {done}/{self.total} {note}")

    def end(self, line: str) -> None:
        self.talk.say(line)


class _Lines(logging.Handler):
    """The library's log as plain lines."""

    def __init__(self, write: Any) -> None:
        super().__init__(logging.INFO)
        self.write = write

    def emit(self, record: logging.LogRecord) -> None:
        self.write(record.getMessage(), markup=False)
