"""Where a training's numbers and sheets of samples go besides its own folder, one service a file."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from zoetrope.config import Kind


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
            opened.append(tracker.open(run, examples, recipe))
        yield tuple(opened)
    finally:
        for track in opened:
            track.close()


def scalars_of(line: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a line of metrics by name; those of a list are numbered, and what is None is left out."""
    found: dict[str, float] = {}
    for name, value in line.items():
        if isinstance(value, list | tuple):
            numbered = {f"{name}/{place}": float(one) for place, one in enumerate(value) if one is not None}
            found.update(numbered)
        elif isinstance(value, int | float):
            found[name] = float(value)
    return found
