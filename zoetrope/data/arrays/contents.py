"""What a file of arrays holds for a source: where each of its channels is, how long and how large it is, and when."""

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zoetrope.config import unknown
from zoetrope.data.arrays.axes import CHANNEL, COLUMN, ROW, TIME, Axes
from zoetrope.data.arrays.clock import FrameTimes
from zoetrope.data.arrays.reading import Field, Reader, called, expect_numbers

_ENTRY = re.compile(r"(.*)\[(\d+)\]")
CALENDARS = {
    "standard",
    "gregorian",
    "proleptic_gregorian",
    "noleap",
    "365_day",
    "360_day",
    "julian",
    "all_leap",
    "366_day",
}


class ChannelPlace(NamedTuple):
    """Where a channel is in a file: in which array, with which axes, and which entry of it along "c"."""

    variable: str
    array: str
    axes: Axes
    entry: int = 0


class Held(NamedTuple):
    """What a file holds.

    Attributes:
        wanted: where its channels are.
        frames, height, width: of its recordings.
        apart: the length of every axis along which these lie apart, by name.
        clock: the times of the frames; None: unknown.
        units: of the channels, as the file says.
    """

    wanted: tuple[ChannelPlace, ...]
    frames: int
    height: int
    width: int
    apart: Mapping[str, int]
    clock: FrameTimes | None
    units: tuple[str | None, ...]


def held(reader: Reader, variables: Sequence[str], axes: Axes) -> Held:
    """What an opened file holds of these variables. Raises ValueError that names file and variable if it does not."""
    wanted = tuple(_wanted(reader, variables, axes))
    sizes = [_sizes(reader, one, axes) for one in wanted]
    for one, own in zip(wanted, sizes, strict=True):
        if own != sizes[0]:
            raise ValueError(
                f"{called(reader.path, one.variable)}: expected the shape of {wanted[0].variable!r}, "
                f"{_worded(sizes[0])}, got {_worded(own)}"
            )
    units = tuple(reader.fields[one.array].unit for one in wanted)
    first, size = wanted[0], sizes[0]
    clock = _clock(reader, first) if TIME in first.axes.names else None
    apart = {name: size[name] for name in axes.apart}
    return Held(wanted, size[TIME], size[ROW], size[COLUMN], apart, clock, units)


def _wanted(reader: Reader, variables: Sequence[str], axes: Axes) -> list[ChannelPlace]:
    if set(reader.fields) == {""}:
        return _of_one(reader, variables, axes)
    found = []
    for variable in variables:
        match = _ENTRY.fullmatch(variable)
        array, entry = (match[1], int(match[2])) if match else (variable, None)
        if array not in reader.fields:
            raise ValueError(f"{reader.path}: {unknown('variable', array, reader.fields)}")
        field = reader.fields[array]
        own = axes
        if entry is None and CHANNEL in axes.names and len(field.shape) == len(axes.names) - 1:
            own = axes.without(CHANNEL)
        _expect_axes(reader, variable, field, own)
        entries = own.size(field.shape, CHANNEL)
        if entry is None and entries > 1:
            where = f"{called(reader.path, variable)}: has {entries} entries along 'c'"
            raise ValueError(f"{where}; expected which of them, such as {f'{array}[0]'!r}")
        if entry is not None and (CHANNEL not in own.names or entry >= entries):
            where = f"{called(reader.path, variable)}: expected an entry below {entries} along the axis 'c'"
            raise ValueError(f"{where} of axes {','.join(axes.names)!r}")
        found.append(ChannelPlace(variable, array, own, entry or 0))
    return found


def _of_one(reader: Reader, variables: Sequence[str], axes: Axes) -> list[ChannelPlace]:
    """The channels of a file whose only array has no name."""
    field = reader.fields[""]
    _expect_axes(reader, "", field, axes)
    entries = axes.size(field.shape, CHANNEL)
    named = [_ENTRY.fullmatch(variable) for variable in variables]
    places = [int(match[2]) if match and not match[1] else number for number, match in enumerate(named)]
    chosen = any(match and not match[1] for match in named)
    if not chosen and entries != len(variables):
        along = "along 'c'" if CHANNEL in axes.names else f"and no axis 'c' in {','.join(axes.names)!r}"
        raise ValueError(
            f"{reader.path}: expected as many variables as it has channels, got {len(variables)} variables, and "
            f"{entries} {'entries' if entries > 1 else 'entry'} {along} of its shape {field.shape}"
        )
    if max(places) >= entries:
        raise ValueError(f"{reader.path}: expected entries below {entries} along 'c', got {max(places)}")
    return [ChannelPlace(name, "", axes, place) for name, place in zip(variables, places, strict=True)]


def _expect_axes(reader: Reader, variable: str, field: Field, axes: Axes) -> None:
    where = called(reader.path, variable)
    expect_numbers(reader.path, variable, field)
    if len(field.shape) != len(axes.names):
        dims = f" ({', '.join(field.dims)})" if field.dims else ""
        raise ValueError(
            f"{where}: expected {len(axes.names)} axes, {','.join(axes.names)!r}, got the shape {field.shape}{dims}"
        )
    names = [name.lower() for name in field.dims]
    at = names.index("time") if "time" in names else names.index("t") if "t" in names else None
    if at is not None and TIME in axes.names and axes.names[at] != TIME:
        raise ValueError(
            f"{where}: expected axes in the order of the file, ({', '.join(field.dims)}), got "
            f"{','.join(axes.names)!r}, in which axis {at} is {axes.names[at]!r}"
        )


def _sizes(reader: Reader, one: ChannelPlace, axes: Axes) -> dict[str, int]:
    shape = reader.fields[one.array].shape
    return {name: one.axes.size(shape, name) for name in (TIME, ROW, COLUMN, *axes.apart)}


def _worded(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {size}" for name, size in sizes.items())


def _clock(reader: Reader, one: ChannelPlace) -> FrameTimes | None:
    """The times of a file's frames, if they are known and increase."""
    try:
        clock = reader.clock(one.array, one.axes.names.index(TIME))
        if clock is None:
            return None
        if clock.calendar.lower() not in CALENDARS:
            raise ValueError(unknown("calendar", clock.calendar, CALENDARS))
        clock.expect_sorted()
        return clock
    except ValueError as error:
        raise ValueError(f"{reader.path}: time of {one.variable!r}: {error}") from None


def read_box(
    reader: Reader,
    wanted: Sequence[ChannelPlace],
    entry: Mapping[str, int],
    frames: slice,
    rows: slice,
    columns: slice,
    fill: Sequence[float] = (),
) -> np.ndarray:
    """A box of the channels of a recording, (C, F, H, W) float64; NaN where there is no value, or one of `fill`.

    Raises ValueError that names file and variable if it cannot be read, and for values that are infinite.
    """
    made: dict[str, np.ndarray] = {}
    by_array = sorted(wanted, key=lambda one: one.array)
    for array, group in groupby(by_array, key=lambda one: one.array):
        own = list(group)
        low, high = min(one.entry for one in own), max(one.entry for one in own)
        parts = {TIME: frames, ROW: rows, COLUMN: columns, CHANNEL: slice(low, high + 1, 1)}
        parts |= {name: slice(number, number + 1, 1) for name, number in entry.items()}
        axes = own[0].axes
        values = reader.read(array, axes.box(parts), fill).transpose(axes.order())
        values = values.reshape(values.shape[len(axes.apart) :])
        if TIME not in axes.names:
            values = values[None]
        if CHANNEL not in axes.names:
            values = values[:, None]
        for one in own:
            made[one.variable] = values[:, one.entry - low]
            if np.isinf(made[one.variable]).any():
                raise ValueError(f"{called(reader.path, one.variable)}: expected finite values, got infinity")
    return np.stack([made[one.variable] for one in wanted])


def expect_same_units(found: Sequence[tuple[Path, Held]]) -> None:
    """Raise ValueError, with both files, if the units of a variable differ between files."""
    first: dict[str, tuple[Path, str]] = {}
    for path, own in found:
        for one, unit in zip(own.wanted, own.units, strict=True):
            if unit is None:
                continue
            known = first.setdefault(one.variable, (path, unit))
            if " ".join(known[1].split()) != " ".join(unit.split()):
                raise ValueError(
                    f"{called(path, one.variable)}: expected the unit of {known[0]}, {known[1]!r}, got {unit!r}"
                )
