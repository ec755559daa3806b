"""How a command that samples is watched from outside: what is about to run, and every step."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoetrope.cascade.spec import StageSpec
    from zoetrope.models.progress import Progress


class Watcher(ABC):
    """Is told what a command does. What its methods raise ends the command."""

    @abstractmethod
    def begin(self, stages: "Sequence[StageSpec]") -> None:
        """These stages are about to run."""

    @abstractmethod
    def repeat(self, times: int) -> None:
        """The stages run so many times, one stretch of a long video after the other."""

    @abstractmethod
    def step(self, now: "Progress") -> None:
        """A step is finished."""


_active: ContextVar[Watcher | None] = ContextVar("watching", default=None)


def watching() -> Watcher | None:
    """Who watches what runs now; None: nobody."""
    return _active.get()


@contextmanager
def watched(by: Watcher) -> Iterator[None]:
    """Let commands be watched in this block."""
    token = _active.set(by)
    try:
        yield
    finally:
        _active.reset(token)
