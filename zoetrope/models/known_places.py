"""Places in a video: the numbers of known frames, as users say them."""

import re

import numpy as np

Place = int | range | str
"""Which frames: a number, -1 the last; a range of numbers; or text, such as "0", "-1", "0:8" or "-8:"."""


def numbers_of(place: Place, frames: int) -> list[int]:
    """The numbers, from 0, of the frames at a place in a video; negative ones count from its end.

    Raises ValueError for a place that is none, and for one out of range.
    """
    where = f"known {named(place)}"
    if isinstance(place, str):
        match = re.fullmatch(r"\s*(?:(-?\d{1,9})|(-?\d{1,9})?:(-?\d{1,9})?)\s*", place)
        if match is None:
            raise ValueError(f"{where}: expected the number of a frame, or of frames such as 0:8 or -8:, got {place!r}")
        if match[1] is None:
            first, last = _within(where, match[2] or "0", frames), frames
            if match[3] is not None:
                last = frames if int(match[3]) == frames else _within(where, match[3], frames)
            if last <= first:
                raise ValueError(f"{where}: expected a last frame after the first, got {place!r}")
            return list(range(first, last))
        place = int(match[1])
    if isinstance(place, range):
        numbers = [_within(where, number, frames) for number in place]
        if not numbers:
            raise ValueError(f"{where}: expected at least one frame, got none")
        return numbers
    if isinstance(place, bool) or not isinstance(place, int | np.integer):
        raise ValueError(f"{where}: expected the number of a frame, a range, or text such as '0:8', got {place!r}")
    return [_within(where, int(place), frames)]


def _within(where: str, number: int | str, frames: int) -> int:
    number = int(number)
    if not -frames <= number < frames:
        raise ValueError(
            f"{where}: expected a frame from 0 to {frames - 1}, or from the end, -{frames} to -1, got {number}"
        )
    return number % frames


def named(place: object) -> str:
    """A place as messages name it."""
    return f"{place.start}:{place.stop}" if isinstance(place, range) and place.step == 1 else str(place)
