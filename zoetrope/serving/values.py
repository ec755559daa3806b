"""Values of inputs as clients send them: numbers, labels and rows of numbers, of bounded size."""

import math
from typing import Annotated, Any

from pydantic import AfterValidator

MOST_FRAMES, MOST_NUMBERS, LONGEST_LABEL = 1024, 65_536, 100
"""Rows of a value, numbers in all of them, and letters of a label, at most."""
LARGEST = 1e30
"""Of a number, without its sign."""

Row = tuple[float | None, ...]
"""The numbers of a frame; None: unknown, as all of its row then are."""


def _value(value: Any) -> float | str | tuple[Row, ...]:
    """A value in its own type: a label, a finite number, or rows of such. Raises ValueError for anything else."""
    if isinstance(value, str):
        if not 0 < len(value) <= LONGEST_LABEL:  # which of them are labels is for the model to tell
            raise ValueError(f"expected a label of 1 to {LONGEST_LABEL} letters")
        return value
    if isinstance(value, list | tuple):
        return _rows(value)
    return _number(value)


def _rows(value: list[Any] | tuple[Any, ...]) -> tuple[Row, ...]:
    rows = [row if isinstance(row, list | tuple) else None for row in value]
    width = len(rows[0]) if rows and rows[0] is not None else 0
    if not width or len(rows) > MOST_FRAMES or len(rows) * width > MOST_NUMBERS:
        most = f"at most {MOST_FRAMES} rows and {MOST_NUMBERS:,} numbers"
        raise ValueError(f"expected a list of numbers for each frame, {most}, such as [[1, 0], [0, -1]]")
    found = list[Row]()
    for number, row in enumerate(rows):
        if row is None or len(row) != width:
            raise ValueError(f"expected {width} numbers in each row, as in the first, got others in row {number}")
        unknown = [one is None for one in row]
        if any(unknown) and not all(unknown):
            raise ValueError(f"expected numbers, or null alone, in row {number}, got both")
        found.append(tuple(None if one is None else _number(one) for one in row))
    return tuple(found)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"expected a number, a label or rows of numbers, got {type(value).__name__}")
    if not (math.isfinite(value) and abs(value) <= LARGEST):
        raise ValueError(f"expected a finite number of at most {LARGEST:g}")
    return value


GivenValue = Annotated[Any, AfterValidator(_value)]
"""A number, a label, or rows of numbers."""
