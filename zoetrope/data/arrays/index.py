"""Index files, .csv, .tsv, .jsonl or .json: a line for each recording, with file, frames, and what is known of it.

Columns: `file` (relative to the index), `start` and `stop` (frames, or dates where the file has CF times; stop is not
included), `split`, `text`, the entries along axes of recordings by the name of the axis, and any numbers and labels.
"""

import csv
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from zoetrope.config import shown, unknown
from zoetrope.config.strict_json import LONGEST, parse_json
from zoetrope.data._metadata import bounded_lines
from zoetrope.files.plain import read_json

ENDINGS = (".csv", ".tsv", ".jsonl", ".json")
_MOST = 10_000_000  # lines
_WHOLE = re.compile(r"\s*-?[0-9]{1,18}\s*")


class IndexRow(NamedTuple):
    """A line of an index: where it stands, as "file:line", and what it says, without empty fields."""

    where: str
    fields: dict[str, Any]

    def text(self, name: str) -> str | None:
        """A field that is text. Raises ValueError for anything else."""
        value = self.fields.get(name)
        if value is not None and not isinstance(value, str):
            raise ValueError(f"{self.where}: {name}: expected text, got {shown(value)}")
        return value

    def whole(self, name: str) -> int | None:
        """A field that is a whole number of at least 0. Raises ValueError for anything else."""
        value = self.place(name)
        if isinstance(value, str):
            raise ValueError(f"{self.where}: {name}: expected a whole number of at least 0, got {shown(value)}")
        return value

    def place(self, name: str) -> int | str | None:
        """A field that is a frame, at least 0, or a date. Raises ValueError for other numbers."""
        value = self.fields.get(name)
        if isinstance(value, str) and _WHOLE.fullmatch(value):
            value = int(value)
        if isinstance(value, str | None):
            return value
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ValueError(f"{self.where}: {name}: expected a whole number of at least 0, got {shown(value)}")
        return value

    def number(self, name: str) -> float | None:
        """A field that is a finite number; None: it is unknown. Raises ValueError for anything else."""
        value = self.fields.get(name)
        if value is None:
            return None
        try:
            found = float("x") if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            raise ValueError(f"{self.where}: {name}: expected a number, got {shown(value)}") from None
        if not math.isfinite(found):
            raise ValueError(f"{self.where}: {name}: expected a finite number or nothing, got {shown(value)}")
        return found

    def label(self, name: str) -> str | None:
        """A field that is a label; None: it is unknown. Raises ValueError for lists and objects."""
        value = self.fields.get(name)
        if isinstance(value, list | dict):
            raise ValueError(f"{self.where}: {name}: expected a label, got {shown(value)}")
        return None if value is None else str(value)


def index_rows(path: Path) -> list[IndexRow]:
    """The lines of an index. Raises ValueError that names file and line for one that cannot be understood."""
    kind = path.suffix.lower()
    try:
        lines = _json_lines(path) if kind in (".json", ".jsonl") else _table_lines(path)
        found = list(islice(lines, _MOST + 1))
    except UnicodeDecodeError:
        raise ValueError(f"{path}: expected UTF-8 text") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    if not found:
        raise ValueError(f"{path}: expected a line for each recording, got none")
    if len(found) > _MOST:
        raise ValueError(f"{path}: expected at most {_MOST:,} lines, got more")
    for row in found:
        if not row.text("file"):
            names = ", ".join(map(repr, row.fields)) or "nothing"
            raise ValueError(f"{row.where}: expected a 'file', got {names}")
    return found


def columns_of(rows: Iterable[IndexRow]) -> set[str]:
    """Every column that a line fills."""
    return {name for row in rows for name in row.fields}


def expect_columns(path: Path, rows: Iterable[IndexRow], wanted: Iterable[str], what: str) -> None:
    """Raise ValueError, with the nearest name, for a wanted column that no line fills."""
    known = columns_of(rows)
    for name in wanted:
        if name not in known:
            raise ValueError(f"{path}: {what}: {unknown('column', name, known)}")


def _table_lines(path: Path) -> Iterator[IndexRow]:
    with path.open("r", encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(bounded_lines(file), delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
            if "file" not in header:
                raise ValueError(
                    f"{path}: expected a column 'file', got {', '.join(map(repr, header[:8])) or 'nothing'}"
                )
            if twice := [name for place, name in enumerate(header) if name and name in header[:place]]:
                raise ValueError(f"{path}: expected every column once, got {twice[0]!r} twice")
            for row in reader:
                where = f"{path}:{reader.line_num}"
                if not any(field.strip() for field in row):
                    continue
                if len(row) != len(header):
                    raise ValueError(f"{where}: expected {len(header)} fields, as in the first line, got {len(row)}")
                yield IndexRow(where, _filled(dict(zip(header, row, strict=True))))
        except csv.Error as error:
            raise ValueError(f"{path}:{reader.line_num}: expected CSV ({error})") from None


def _json_lines(path: Path) -> Iterator[IndexRow]:
    if path.suffix.lower() == ".json":
        rows = read_json(path)
        if not isinstance(rows, list):
            raise ValueError(f"{path}: expected a list of objects, got {shown(rows)}")
        numbered: Iterable[tuple[str, Any]] = ((f"{path}: entry {number}", row) for number, row in enumerate(rows))
    else:
        numbered = _parsed(path)
    for where, row in numbered:
        if not isinstance(row, dict):
            raise ValueError(f"{where}: expected an object, got {shown(row)}")
        yield IndexRow(where, _filled(row))


def _parsed(path: Path) -> Iterator[tuple[str, Any]]:
    with path.open("r", encoding="utf-8-sig") as file:
        number = 0
        while line := file.readline(LONGEST + 1):
            number += 1
            if line.strip():
                try:
                    yield f"{path}:{number}", parse_json(line)
                except ValueError as error:
                    raise ValueError(f"{path}:{number}: not readable as JSON ({error})") from None


def _filled(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that are not empty."""
    stripped = {name: value.strip() if isinstance(value, str) else value for name, value in fields.items()}
    return {name: value for name, value in stripped.items() if value not in ("", None)}
