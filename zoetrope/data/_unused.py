"""Reports of data that training does not use, in the same words for all sources."""

from collections.abc import Sequence
from typing import NamedTuple

from zoetrope.wording import counted, one_line

_SHOWN = 20


class Dropped(NamedTuple):
    """A file, a sample, or a line of a text file, that gives no clip, and why."""

    name: str
    reason: str


class Unused(NamedTuple):
    """What a source does not use.

    Attributes:
        source: what messages call the source.
        dropped: what gives no clip.
        notes: what else is not used, such as sound, each with how often.
    """

    source: str
    dropped: tuple[Dropped, ...] = ()
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The messages for every command that reads the data; equal reasons share a line. [] if there are none."""
        head = [f"{self.source}: {len(self.dropped)} dropped:"] if self.dropped else []
        return [*head, *grouped(self.dropped), *(f"{self.source}: {note}" for note in self.notes)]


def grouped(dropped: Sequence[Dropped]) -> list[str]:
    """A line for each reason, with the first name that it is about; the first of many."""
    names: dict[str, list[str]] = {}
    for item in dropped:
        names.setdefault(item.reason, []).append(item.name)
    lines = [
        f"  {one_line(own[0])}{f' (and {len(own) - 1} more)' if own[1:] else ''}: {one_line(reason)}"
        for reason, own in names.items()
    ]
    more = len(lines) - _SHOWN
    return lines if more <= 0 else [*lines[:_SHOWN], f"  and {counted(more, 'other reason')}"]
