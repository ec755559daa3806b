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
_SINCE = re.compile(r"\s*(\w+)\s+since\s+\S", re.IGNORECASE)
_DATE = re.compile(r"(-?\d{1,6})-(\d\d?)(?:-(\d\d?)(?:[T ](\d\d?)(?::(\d\d?)(?::(\d\d?))?)?)?)?")
EVEN = 1e-3  # of a step by which steps may differ


class Clock(NamedTuple):
    """The times of frames.

    Attributes:
        values: of each frame, float64, in units.
        unit: such as "hours since 1900-01-01".
        calendar: such as "standard" or "360_day".
    """

    values: np.ndarray
    unit: str
    calendar: str = "standard"

    @property
    def second(self) -> float:
        """How many seconds a unit has. Raises ValueError for units of no fixed length, such as months."""
        found = _SINCE.match(self.unit)
        word = found[1].lower() if found else self.unit
        word = SHORT.get(word, word.removesuffix("s"))
        if found is None or word not in SECONDS:
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
        try:
            import cftime
        except ImportError as error:
            raise ValueError(
                f"dates expect the package cftime ({error}); try: pip install 'zoetrope[netcdf]'"
            ) from None

        found = _DATE.fullmatch(date.strip())
        if found is None:
            raise ValueError(f"expected a date such as 1979-01-31 or 1979-01-31T12:00, got {date!r}")
        year, month, day, *clock = (int(part) if part else None for part in found.groups())
        assert year is not None and month is not None
        moment = cftime.datetime(year, month, day or 1, *(part or 0 for part in clock), calendar=self.calendar)
        wanted = cftime.date2num(moment, self.unit, calendar=self.calendar)
        return int(np.searchsorted(self.values, wanted - 1e-9 * max(1.0, abs(wanted))))

    def date(self, value: float) -> str:
        """The date of a time, for people."""
        try:
            import cftime

            return str(cftime.num2date(value, self.unit, calendar=self.calendar))
        except (ImportError, ValueError, OverflowError):
            return f"{value:g} {self.unit}"


def clock_of(values: np.ndarray, unit: object, calendar: object) -> Clock | None:
    """A clock from what a file stores of its times; None if its units are not "... since ..."."""
    if not isinstance(unit, str) or not _SINCE.match(unit) or values.ndim != 1 or values.dtype.kind not in "iuf":
        return None
    return Clock(values.astype(np.float64), unit, calendar if isinstance(calendar, str) and calendar else "standard")
