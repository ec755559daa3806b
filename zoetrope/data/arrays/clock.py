"""Times of frames as the Climate and Forecast conventions write them: numbers of units since a date of a calendar.

A calendar may have 360 days a year, so times are compared in their own units, and dates are read by cftime.
Conventions: https://cfconventions.org, Sec. 4.4.
"""

import re
from typing import NamedTuple

import numpy as np

SECONDS = {"microsecond": 1e-6, "millisecond": 1e-3, "second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}
SHORT = {"us": "microsecond", "ms": "millisecond", "msec": "millisecond", "s": "second", "sec": "second"}
SHORT |= {"min": "minute", "h": "hour", "hr": "hour", "d": "day"}
_SINCE = re.compile(r"\s*(\w+)(\s+since\s+\S.*)?\s*", re.IGNORECASE)
_DATE = re.compile(r"(-?\d{1,6})-(\d\d?)(?:-(\d\d?)(?:[T ](\d\d?)(?::(\d\d?)(?::(\d\d?))?)?)?)?")
EVEN = 1e-3  # of a step by which steps may differ


class FrameTimes(NamedTuple):
    """The times of frames.

    Attributes:
        values: of each frame, float64, in units.
        unit: such as "hours since 1900-01-01"; or "hours" alone, which has no dates.
        calendar: such as "standard" or "360_day".
    """

    values: np.ndarray
    unit: str
    calendar: str = "standard"

    @property
    def second(self) -> float:
        """How many seconds a unit has. Raises ValueError for units of no fixed length, such as months."""
        word = _word(self.unit)
        if word not in SECONDS:
            raise ValueError(
                f"expected time in {', '.join(f'{name}s' for name in SECONDS)} since a date, got {self.unit!r}"
            )
        return SECONDS[word]

    @property
    def step(self) -> float:
        """The usual time from one frame to the next, in seconds; 0 for fewer than two frames."""
        return float(np.median(np.diff(self.values))) * self.second if len(self.values) > 1 else 0.0

    def breaks(self) -> np.ndarray:
        """The frames, by number, that do not follow the one before them after the usual step."""
        steps = np.diff(self.values)
        usual = np.median(steps) if len(steps) else 0.0
        return 1 + np.flatnonzero(np.abs(steps - usual) > EVEN * abs(usual))

    def expect_sorted(self) -> None:
        """Raise ValueError, with the place, unless times are known and increase."""
        if not np.isfinite(self.values).all():
            at = int(np.flatnonzero(~np.isfinite(self.values))[0])
            raise ValueError(f"expected a time for every frame, frame {at} has none")
        back = np.flatnonzero(np.diff(self.values) <= 0)
        if len(back):
            at = int(back[0])
            now, after = self.date(self.values[at]), self.date(self.values[at + 1])
            raise ValueError(f"expected times that increase, frame {at} is at {now} and frame {at + 1} at {after}")

    def frame(self, date: str) -> int:
        """The number of the first frame at a date or after it.

        Raises ValueError for what is no date of the calendar, and where cftime is not installed.
        """
        if not _dated(self.unit):
            raise ValueError(
                f"expected a frame, for the times of the file are {self.unit!r} and no dates, got {date!r}"
            )
        found = _DATE.fullmatch(date.strip())
        if found is None:
            raise ValueError(f"expected a date such as 1979-01-31 or 1979-01-31T12:00, got {date!r}")
        try:
            import cftime  # type: ignore[import-untyped]
        except ImportError as error:
            wanted = "dates expect the package cftime"
            raise ValueError(f"{wanted} ({error}); try: pip install 'zoetrope[netcdf]'") from None
        year, month, day, *clock = (int(part) if part else None for part in found.groups())
        assert year is not None and month is not None
        moment = cftime.datetime(year, month, day or 1, *(part or 0 for part in clock), calendar=self.calendar)
        time = float(cftime.date2num(moment, self.unit, calendar=self.calendar))
        return int(np.searchsorted(self.values, time - 1e-9 * max(1.0, abs(time))))

    def date(self, value: float) -> str:
        """The date of a time, for people."""
        if not _dated(self.unit):
            return f"{value:g} {self.unit}"
        try:
            import cftime

            return str(cftime.num2date(value, self.unit, calendar=self.calendar))
        except (ImportError, ValueError, OverflowError):
            return f"{value:g} {self.unit}"


def clock_of(values: np.ndarray, unit: object, calendar: object) -> FrameTimes | None:
    """A clock from what a file stores of its times; None if their unit is neither "... since ..." nor one of time."""
    if not isinstance(unit, str) or values.ndim != 1 or values.dtype.kind not in "iuf":
        return None
    if not _dated(unit) and _word(unit) not in SECONDS:
        return None
    return FrameTimes(
        values.astype(np.float64), unit, calendar if isinstance(calendar, str) and calendar else "standard"
    )


def _dated(unit: str) -> bool:
    """Whether times are counted from a date."""
    found = _SINCE.fullmatch(unit)
    return found is not None and found[2] is not None


def _word(unit: str) -> str:
    """What times are counted in, as `SECONDS` calls it."""
    found = _SINCE.fullmatch(unit)
    word = found[1].lower() if found else unit
    return SHORT.get(word, word.removesuffix("s"))
