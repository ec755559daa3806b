"""The recordings that a source of arrays names: their files, entries and frames, and what is known of them."""

import glob
import os
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from zoetrope.config import shown, unknown
from zoetrope.config.errors import nearest
from zoetrope.data._fetch import expect_local
from zoetrope.data._unused import Dropped
from zoetrope.data.arrays.axes import Axes
from zoetrope.data.arrays.beside import expect_beside
from zoetrope.data.arrays.clock import EVEN
from zoetrope.data.arrays.contents import Held, expect_same_units, held
from zoetrope.data.arrays.index import ENDINGS as INDEXES
from zoetrope.data.arrays.index import IndexRow, expect_columns, index_rows
from zoetrope.data.arrays.reading import ending, is_store, open_reader
from zoetrope.wording import counted

if TYPE_CHECKING:
    from zoetrope.data.arrays import Arrays


class Recording(NamedTuple):
    """Frames in a row of one file.

    Attributes:
        file: the number of its file.
        name: what messages call it.
        entry: its entry along every axis on which recordings lie apart.
        start, frames: its first frame in the file, and how many it has.
        text: its caption; "": none.
        told: numbers and labels of it.
        beside: the files of arrays beside it that are not in its own, by name.
    """

    file: int
    name: str
    entry: Mapping[str, int]
    start: int
    frames: int
    text: str = ""
    told: Mapping[str, float | str] = {}
    beside: Mapping[str, Path] = {}


class Survey(NamedTuple):
    """What a source of arrays names.

    Attributes:
        files: the paths, and what each file holds.
        recordings: in the order of the files.
        rate: frames a second in the files; None: unknown.
        dropped: what gives no recording, and why.
        notes: what else is to be known.
    """

    files: tuple[tuple[Path, Held], ...]
    recordings: tuple[Recording, ...]
    rate: float | None
    dropped: tuple[Dropped, ...]
    notes: tuple[str, ...]


def survey(source: "Arrays") -> Survey:
    """Look at every file that a source names, but at no values.

    Raises ValueError that names file and variable for what is not as the source says, and if there is no recording. A
    file of a folder that cannot be read is left out, with the reason; one that an index names is an error.
    """
    expect_local(source.path)
    paths, rows, notes = _named(source)
    axes = Axes.parsed(source.axes)
    files, dropped, place = list[tuple[Path, Held]](), list[Dropped](), dict[Path, int]()
    for path in paths:
        try:
            reader = open_reader(path)
        except ValueError as error:
            if rows or len(paths) == 1:
                raise
            dropped.append(Dropped(str(path), str(error).removeprefix(f"{path}: ")))
            continue
        place[path] = len(files)
        files.append((path, held(reader, list(source.variables), axes)))
        reader.close()
    expect_same_units(files)
    rate = _rate(source, files)
    recordings = list[Recording]()
    lines: list[tuple[Path, IndexRow | None]] = [*rows] or [(path, None) for path in place]
    for path, row in lines:
        made = list(_recordings(source, place[path], *files[place[path]], row))
        recordings += made
        if not made:
            dropped.append(Dropped(row.where if row else str(path), "has no frame from start to stop"))
    if not recordings:
        reasons = "".join(f"\n  {item.name}: {item.reason}" for item in dropped[:5])
        raise ValueError(f"{source.path}: no usable recording{reasons}")
    return Survey(tuple(files), tuple(recordings), rate, tuple(dropped), (*notes, *_other_units(source, files)))


def _named(source: "Arrays") -> tuple[list[Path], list[tuple[Path, IndexRow]], list[str]]:
    """The files that a source names, the lines of its index with theirs, and notes on files that are not read."""
    place = source.place
    if place.suffix.lower() in INDEXES:
        rows = _lines(source, place)
        return list(dict.fromkeys(path for path, _ in rows)), rows, []
    columns = [one.column for one in source.beside.values() if one.column is not None]
    for name, asked in (("split", source.split), ("told", source.told), ("beside", columns)):
        if asked:
            raise ValueError(f"{name}: expected an index file as the path, got {source.path}")
    if any(sign in source.path for sign in "*?[") and not place.exists():
        matched = sorted(Path(name) for name in glob.glob(str(place), recursive=True))
        found = [path for path in matched if ending(path)]
        if not found:
            raise ValueError(f"{source.path}: expected a pattern of files of arrays, got one that none matches")
        return found, [], []
    if place.is_dir() and not is_store(place) and ending(place) is None:
        found, others = files_in(place)
        kinds = ", ".join(f"{kind or 'no ending'} ({count})" for kind, count in others.most_common(5))
        notes = [f"{counted(others.total(), 'file')} of kinds that are not read: {kinds}"] if others else []
        if not found:
            raise ValueError(
                f"{source.path}: expected files of arrays in it, got none" + "".join(f"; {n}" for n in notes)
            )
        return found, [], notes
    if not place.exists():
        raise ValueError(f"{source.path}: there is no such file or folder{_near(place)}")
    return [place], [], []


def files_in(folder: Path) -> tuple[list[Path], Counter[str]]:
    """The files of arrays in a folder and below, sorted, and how many others there are by ending.

    Hidden ones are skipped; a zarr store is one file.
    """
    found, others, seen = list[Path](), Counter[str](), set[str]()
    waiting = deque([folder])
    while waiting:
        at = waiting.popleft()
        real = os.path.realpath(at)
        if real in seen:
            continue
        seen.add(real)
        for entry in sorted(os.scandir(at), key=lambda entry: entry.name):
            path = Path(entry.path)
            if entry.name.startswith("."):
                continue
            if ending(path) is not None:
                found.append(path)
            elif entry.is_dir():
                waiting.append(path)
            else:
                others[path.suffix.lower()] += 1
    return sorted(found), others


def _lines(source: "Arrays", place: Path) -> list[tuple[Path, IndexRow]]:
    """The lines of the index of the split, each with its file. Raises ValueError for files that are not there."""
    rows = index_rows(place)
    expect_columns(place, rows, source.told, "told")
    expect_columns(place, rows, (one.column for one in source.beside.values() if one.column), "beside")
    if source.split is not None:
        splits = {row.text("split") or "" for row in rows}
        rows = [row for row in rows if row.text("split") == source.split]
        if not rows:
            raise ValueError(f"{place}: {unknown('split', source.split, splits - {''})}")
    found = [(Path(os.path.normpath(place.parent / str(row.fields["file"]))), row) for row in rows]
    missing = [(path, row) for path, row in found if not path.exists()]
    if missing:
        path, row = missing[0]
        more = f" (and {len(missing) - 1} more that are not there)" if missing[1:] else ""
        raise ValueError(
            f"{row.where}: expected a file, got {row.fields['file']!r}, which is not there{_near(path)}{more}"
        )
    return found


def _near(path: Path) -> str:
    """A hint at the file that may be meant."""
    if not path.parent.is_dir():
        return ""
    near = nearest(path.name, sorted(os.listdir(path.parent)))
    return f"; is {near!r} meant?" if near else ""


def _rate(source: "Arrays", files: Sequence[tuple[Path, Held]]) -> float | None:
    """Frames a second, as the source or the times of the files say. Raises ValueError for times that are irregular."""
    if source.rate is not None:
        return source.rate
    usual: tuple[Path, float] | None = None
    for path, own in files:
        if own.clock is None or own.frames < 2:
            continue
        where = f"{path}: time"
        try:
            step = own.clock.step
        except ValueError as error:
            raise ValueError(f"{where}: {error}; or a rate, which says it") from None
        breaks = own.clock.breaks()
        if len(breaks) and source.gaps == "refuse":
            at = int(breaks[0])
            now, after = (own.clock.date(own.clock.values[number]) for number in (at - 1, at))
            raise ValueError(
                f"{where}: expected equal steps, of {step:g} s, got {now} and then {after} (frame {at}, and "
                f'{len(breaks) - 1} more); gaps="cut" cuts there, a rate takes them as equal'
            )
        if usual is not None and abs(step - usual[1]) > EVEN * usual[1]:
            raise ValueError(f"{where}: expected steps of {usual[1]:g} s, as in {usual[0]}, got {step:g} s")
        usual = usual or (path, step)
    return 1 / usual[1] if usual else None


def _recordings(source: "Arrays", file: int, path: Path, own: Held, row: IndexRow | None) -> Iterator[Recording]:
    """The recordings of a file, those of a line of an index, with frames from start to stop."""
    where = row.where if row else str(path)
    first, last = (row.place("start"), row.place("stop")) if row else (None, None)
    start = _frame(where, "start", source.start if first is None else first, own, 0)
    stop = _frame(where, "stop", source.stop if last is None else last, own, own.frames)
    told = _told(source, row) if row else {}
    beside = _beside(source, path, own, row)
    text = (row.text("text") if row else None) or ""
    pieces = _pieces(source, own, start, stop)
    for entry in product(*(_entries(where, name, size, row) for name, size in own.apart.items())):
        named = dict(zip(own.apart, entry, strict=True))
        name = " ".join([str(path), *(f"{axis}={number}" for axis, number in named.items())])
        for first, last in pieces:
            yield Recording(file, name, named, first, last - first, " ".join(text.split()), told, beside)


def _told(source: "Arrays", row: IndexRow) -> dict[str, float | str]:
    """The numbers and labels of a line of an index, those that are known."""
    kinds = source.told.items()
    found = {name: row.number(name) if kind == "number" else row.label(name) for name, kind in kinds}
    return {name: value for name, value in found.items() if value is not None}


def _beside(source: "Arrays", path: Path, own: Held, row: IndexRow | None) -> dict[str, Path]:
    """The files of arrays beside a recording that are not in its own. Raises ValueError for arrays that do not fit."""
    found = dict[str, Path]()
    for name, one in source.beside.items():
        place = path
        if one.column is not None:
            told = row.text(one.column) if row else None
            if told is None:
                continue
            place = found[name] = Path(os.path.normpath(source.place.parent / told))
        try:
            reader = open_reader(place)
            expect_beside(reader, one, own.frames, own.apart, len(source.variables))
        except ValueError as error:
            raise ValueError(f"{row.where if row else path}: beside {name!r}: {error}") from None
        reader.close()
    return found


def _frame(where: str, name: str, place: int | str | None, own: Held, usual: int) -> int:
    """The frame of a place in a file."""
    if place is None:
        return usual
    if isinstance(place, int):
        if place > own.frames:
            raise ValueError(f"{where}: {name}: expected at most {own.frames}, its number of frames, got {place}")
        return place
    if own.clock is None:
        raise ValueError(f"{where}: {name}: expected a frame, for the file has no times, got {shown(place)}")
    try:
        return own.clock.frame(place)
    except ValueError as error:
        raise ValueError(f"{where}: {name}: {error}") from None


def _pieces(source: "Arrays", own: Held, start: int, stop: int) -> list[tuple[int, int]]:
    """The frames from start to stop, cut where time has gaps."""
    ends = [stop]
    if source.gaps == "cut" and own.clock is not None:
        ends = [*(int(at) for at in own.clock.breaks() if start < at < stop), stop]
    starts = [start, *ends[:-1]]
    return [(first, last) for first, last in zip(starts, ends, strict=True) if first < last]


def _entries(where: str, axis: str, size: int, row: IndexRow | None) -> Sequence[int]:
    """The entries along an axis: all, or the one that a line of an index names."""
    number = row.whole(axis) if row else None
    if number is None:
        return range(size)
    if number >= size:
        raise ValueError(f"{where}: {axis}: expected an entry below {size}, got {number}")
    return (number,)


def _other_units(source: "Arrays", files: Sequence[tuple[Path, Held]]) -> list[str]:
    """Notes on channels that call their unit otherwise than the files do."""
    notes = []
    for number, (name, channel) in enumerate(source.variables.items()):
        unit = next((own.units[number] for _, own in files if own.units[number] is not None), None)
        if unit is not None and channel.unit and unit.split() != channel.unit.split():
            notes.append(f"{name}: its unit is {unit!r} in the files, and {channel.unit!r} in the channel")
    return notes
