"""Where a training's numbers and sheets of samples go besides its own folder, one service a file."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from zoetrope.config import Kind

log = logging.getLogger(__name__)


class Track(ABC):
    """An open line to a service. Whoever opened it closes it."""

    @abstractmethod
    def scalars(self, examples: int, values: Mapping[str, float]) -> None:
        """Numbers by name, as they were after so many examples."""

    @abstractmethod
    def sheet(self, examples: int, picture: Path) -> None:
        """A sheet of samples, a PNG."""

    @abstractmethod
    def close(self) -> None:
        """Hand over what is left, and end."""


class Tracker(Kind, ABC):
    """A service that shows trainings."""

    folder: ClassVar[str] = "zoetrope.training.trackers"

    @abstractmethod
    def open(self, run: Path, examples: int, recipe: Mapping[str, Any]) -> Track:
        """A line for the run in this folder, which stands at so many examples: what a service knows beyond is void.

        Raises ValueError that names the package which is not installed.
        """


@contextmanager
def tracking(
    trackers: tuple[Tracker, ...], run: Path, examples: int, recipe: Mapping[str, Any]
) -> Iterator[tuple[Track, ...]]:
    """Lines to all of these services, closed at the end whatever happens."""
    opened: list[Track] = []
    try:
        for tracker in trackers:
            opened.append(_Optional(tracker.open(run, examples, recipe), tracker.kind()))
        yield tuple(opened)
    finally:
        for track in opened:
            track.close()


class _Optional(Track):
    """A line without which a training goes on: once it fails, whatever the reason, nothing more is said there."""

    def __init__(self, track: Track, name: str) -> None:
        self.track: Track | None = track
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
    def _tried(self) -> Iterator[Track | None]:
        try:
            yield self.track
        except Exception as error:
            self.track = None
            log.warning("%s: failed (%r); the training goes on without it", self.name, error)


def scalars_of(line: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a line of metrics by name; those of a list are numbered, of a mapping named, and None left out."""
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
