"""Where two JSON values differ."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple


class Absent:
    """What stands for a value that is not there at all."""

    def __repr__(self) -> str:
        return "nothing"


ABSENT: Final = Absent()


class Difference(NamedTuple):
    """A place where two values differ, as "training.base.seed", with both; one of them may be `ABSENT`."""

    path: str
    one: Any
    other: Any


def differences(one: Any, other: Any, path: str = "") -> Iterator[Difference]:
    """Every place where two JSON values differ, in their order: objects name by name, lists of one length item by item.

    Lists of different lengths differ as a whole.
    """
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        one, other = dict(enumerate(one)), dict(enumerate(other))
    if isinstance(one, dict) and isinstance(other, dict):
        for name in dict.fromkeys([*one, *other]):
            own = f"{path}.{name}" if path else str(name)
            yield from differences(one.get(name, ABSENT), other.get(name, ABSENT), own)
    elif one != other:
        yield Difference(path, one, other)
