"""Services that receive a training's metrics and sample sheets, besides its own folder; one per file."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from zoetrope.config import Kind

log = logging.getLogger(__name__)


class Connection(ABC):
    """An open connection to a service; whoever opens it must close it."""

    @abstractmethod
    def scalars(self, examples: int, values: Mapping[str, float]) -> None:
        """Send numbers by name, as of `examples`."""

    @abstractmethod
    def sheet(self, examples: int, picture: Path) -> None:
        """Send a sheet of samples, a PNG."""

    @abstractmethod
    def close(self) -> None:
        """Flush and close."""


class Tracker(Kind, ABC):
    """A service that displays trainings."""

    folder: ClassVar[str] = "zoetrope.training.trackers"

    def check(self) -> None:
        """Raise ValueError that names the package if it is not installed."""
        return

    @abstractmethod
    def open(self, run: Path, examples: int, recipe: Mapping[str, Any]) -> Connection:
        """A connection for the run in this folder, now at `examples`: anything the service has from later is void.

        Raises ValueError as `check` does.
        """


@contextmanager
def tracking(
    trackers: tuple[Tracker, ...], run: Path, examples: int, recipe: Mapping[str, Any]
) -> Iterator[tuple[Connection, ...]]:
    """Connections to all of these services, closed at the end in any case."""
    opened: list[Connection] = []
    try:
        for tracker in trackers:
            opened.append(_Optional(tracker.open(run, examples, recipe), tracker.kind()))
        yield tuple(opened)
    finally:
        for track in opened:
            track.close()


class _Optional(Connection):
    """A connection whose failure does not stop the training: after an error nothing more is sent."""

    def __init__(self, track: Connection, name: str) -> None:
        self.track: Connection | None = track
        self.name = name

    def scalars(self, examples: int, values: Mapping[str, float]) -> None:
        with self._tried() as track:
            if track is not None:
                track.scalars(examples, values)

    def sheet(self, examples: int, picture: Path) -> None:
        with self._tried() as track:
            if track is not None:
                track.sheet(examples, picture)

    def close(self) -> None:
        with self._tried() as track:
            if track is not None:
                track.close()

    @contextmanager
    def _tried(self) -> Iterator[Connection | None]:
        try:
            yield self.track
        except Exception as error:
            self.track = None
            log.warning("%s: failed (%r); the training goes on without it", self.name, error)


def scalars_of(line: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a line of metrics by name; list items get numbers, mapping items their keys; None is dropped."""
    found: dict[str, float] = {}
    for name, value in line.items():
        if isinstance(value, list | tuple):
            numbered = {f"{name}/{place}": float(one) for place, one in enumerate(value) if one is not None}
            found.update(numbered)
        elif isinstance(value, Mapping):
            found.update({f"{name}/{key}": float(one) for key, one in value.items()})
        elif isinstance(value, int | float):
            found[name] = float(value)
    return found
