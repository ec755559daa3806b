"""The lines of metadata files: each has fields about a file, or a fault, which affects that line alone."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TextIO

from zoetrope.data._captions import LONGEST, names_of, object_in

NAMES = ("metadata.jsonl", "metadata.csv", "metadata.tsv")
_NEEDED = ("file_name", "text")
_INVALID = re.compile("[\udc80-\udcff]")  # what surrogateescape makes of bytes that are not UTF-8


class MetadataRow(NamedTuple):
    """A line, as "file:line", with its fields, or with what is wrong with it."""

    where: str
    fields: dict[str, object]
    fault: str | None = None


def rows(path: Path, called: str) -> Iterator[MetadataRow]:
    """Every line of a metadata file that is not blank.

    Raises ValueError if the file cannot be read at all, or if its columns have not the names that are needed.
    """
    try:
        with path.open("rb") as raw:
            mark = raw.read(2)
        if mark in (b"\xff\xfe", b"\xfe\xff"):
            raise ValueError(f"{path}: expected UTF-8 text, got UTF-16; save it as UTF-8")
        as_json = path.suffix.lower() == ".jsonl"
        newline = "\n" if as_json else ""  # not splitlines, which cuts at characters that are part of a text
        with path.open("r", encoding="utf-8-sig", errors="surrogateescape", newline=newline) as file:
            yield from _json_rows(file, called) if as_json else _table_rows(file, path, called)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None


def bounded_lines(file: TextIO) -> Iterator[str]:
    """The lines of a file; of one that is too long, the beginning, which is too long still."""
    while line := file.readline(LONGEST + 1):
        yield line
        while len(line) > LONGEST and not line.endswith("\n"):
            line = file.readline(LONGEST + 1)


def _json_rows(file: TextIO, called: str) -> Iterator[MetadataRow]:
    for number, line in enumerate(bounded_lines(file), 1):
        if not line.strip():
            continue
        where = f"{called}:{number}"
        if len(line) > LONGEST:
            yield MetadataRow(where, {}, f"is longer than {LONGEST // 2**20} MB")
        elif _INVALID.search(line):
            yield MetadataRow(where, {}, "is not UTF-8 text")
        else:
            try:
                yield MetadataRow(where, object_in(line))
            except ValueError as error:
                yield MetadataRow(where, {}, str(error))


def _table_rows(file: TextIO, path: Path, called: str) -> Iterator[MetadataRow]:
    sign = "\t" if path.suffix.lower() == ".tsv" else ","
    reader = csv.reader(bounded_lines(file), delimiter=sign, strict=True)
    try:
        header = [field.strip() for field in next(reader, [])]
    except csv.Error as error:
        raise ValueError(f"{path}: expected the names of its columns in the first line ({error})") from None
    if missing := [name for name in _NEEDED if name not in header]:
        raise ValueError(
            f"{path}: expected the columns 'file_name' and 'text', got no {missing[0]!r}, {names_of(header)}"
            f"{_separated(header, sign)}"
        )
    while True:
        begin = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            if "unexpected end" in str(error):
                yield MetadataRow(
                    f"{called}:{begin}", {}, f"opens a quote that is not closed before line {reader.line_num}"
                )
            else:
                yield MetadataRow(f"{called}:{reader.line_num}", {}, f"is not CSV ({error})")
            continue
        if row is None:
            return
        if row:
            where = f"{called}:{reader.line_num}"
            fault = _row_fault(row, header)
            yield MetadataRow(where, {} if fault else dict(zip(header, row, strict=False)), fault)


def _row_fault(row: list[str], header: list[str]) -> str | None:
    if any(map(_INVALID.search, row)):
        return "is not UTF-8 text"
    if any(field.strip() for field in row[len(header) :]):
        return f"has {len(row)} fields, the first line {len(header)}; a text with a comma has to stand in quotes"
    if len(row) <= max(map(header.index, _NEEDED)):
        return f"has {len(row)} of {len(header)} fields"
    return None


def _separated(header: list[str], sign: str) -> str:
    """A hint for a table whose columns are separated by another sign."""
    used = next((other for other in ",;\t|" if other != sign and len(header) == 1 and other in header[0]), None)
    names = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
    return f"; its columns are to be separated by {names[sign]}, not {names[used]}" if used else ""
