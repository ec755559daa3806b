"""What the axes of arrays are: time, channels, rows, columns, and any others, whose entries are recordings apart."""

from collections.abc import Sequence
from typing import NamedTuple, Self

from zoetrope.data.arrays.reading import Box

TIME, CHANNEL, ROW, COLUMN = "t", "c", "y", "x"
_LONG = {"time": TIME, "frame": TIME, "frames": TIME, "channel": CHANNEL, "channels": CHANNEL, "row": ROW, "rows": ROW}
_LONG |= {"height": ROW, "lat": ROW, "latitude": ROW, "column": COLUMN, "columns": COLUMN, "width": COLUMN}
_LONG |= {"lon": COLUMN, "longitude": COLUMN}


class Axes(NamedTuple):
    """The axes of an array, in its order.

    Attributes:
        names: "t" is time, "c" channels, "y" rows, "x" columns; along any other lie recordings apart.
    """

    names: tuple[str, ...]

    @classmethod
    def parsed(cls, text: str, needed: Sequence[str] = (ROW, COLUMN)) -> Self:
        """The axes that a text such as "time,y,x" or "tyx" names.

        Raises ValueError unless those that are needed are among them, and each is there once.
        """
        words = [word.strip() for word in text.split(",")] if "," in text else list(text.strip())
        names = tuple(_LONG.get(word.lower(), word) for word in words)
        where = f"axes: expected names such as 'time,y,x' or 'n,t,c,y,x', got {text!r}"
        if not all(name.isidentifier() for name in names):
            raise ValueError(where)
        if len(set(names)) < len(names):
            raise ValueError(f"{where}, which has an axis twice")
        if missing := [name for name in needed if name not in names]:
            raise ValueError(f"{where}, which has no axis {missing[0]!r}")
        return cls(names)

    @property
    def apart(self) -> tuple[str, ...]:
        """The axes along which recordings lie apart."""
        return tuple(name for name in self.names if name not in (TIME, CHANNEL, ROW, COLUMN))

    def without(self, name: str) -> "Axes":
        """The axes without one of them."""
        return Axes(tuple(own for own in self.names if own != name))

    def size(self, shape: tuple[int, ...], name: str) -> int:
        """The length of an axis in an array of this shape; 1 if it has none of that name."""
        return shape[self.names.index(name)] if name in self.names else 1

    def box(self, parts: dict[str, slice]) -> Box:
        """A box of an array, with these parts of its axes."""
        return tuple(parts[name] for name in self.names)

    def order(self) -> list[int]:
        """How to transpose a box so that recordings' axes are first, then time, channels, rows and columns."""
        wanted = [*self.apart, *(name for name in (TIME, CHANNEL, ROW, COLUMN) if name in self.names)]
        return [self.names.index(name) for name in wanted]
