"""Services that receive a training's metrics and sample sheets, besides its own folder; one per file."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from zoetrope.config import Kind
from zoetrope.wording import one_line

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
        """Raise ValueError that says what is missing, if it cannot be opened: the package, or a login."""
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
    """Connections to all of these services, closed at the end in any case.

    Raises ValueError if one cannot be opened for a new run. A run that goes on does so without it.
    """
    opened: list[Connection] = []
    try:
        for tracker in trackers:
            try:
                opened.append(_Optional(tracker.open(run, examples, recipe), tracker.kind()))
            except Exception as error:  # whatever a service raises
                told, name = one_line(str(error) or type(error).__name__), f"{tracker.kind()}: "
                if examples:
                    why = told.removeprefix(name)
                    log.warning("%scannot be opened (%s); the training goes on without it", name, why)
                elif told.startswith(name):
                    raise
                else:
                    raise ValueError(f"{name}cannot be opened ({told}); train without it, or try again") from error
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
