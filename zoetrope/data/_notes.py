"""Notes on parts of usable files that are unused or converted, such as sound, with the number of files."""

from collections import Counter
from collections.abc import Iterable

from zoetrope.video import Info
from zoetrope.wording import counted

_SOUND = "has sound"


def notes_on(infos: Iterable[Info]) -> tuple[str, ...]:
    """A note for each kind of thing, with the number of files that it is true of, the most frequent first."""
    found = Counter(note for info in infos for note in info.notes)
    return tuple(
        f"{counted(count, 'file')}: {note}{', which is not used' if note == _SOUND else ''}"
        for note, count in sorted(found.items(), key=lambda item: (-item[1], item[0]))
    )
