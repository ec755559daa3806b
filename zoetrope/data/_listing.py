"""Which files of a folder have which captions, from the names and the text files alone; media are not opened here."""

import csv
import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from zoetrope.config import unknown
from zoetrope.video import Info

IMAGES = {".avif", ".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
VIDEOS = {".avi", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".ts", ".webm", ".wmv"}
METADATA = ("metadata.jsonl", "metadata.csv")


class Entry(NamedTuple):
    """A file, by its name relative to the folder with "/", and a caption of it."""

    name: str
    text: str


class Dropped(NamedTuple):
    """A file, or a line of a text file, that gives no clip, and why."""

    name: str
    reason: str


class Clip(NamedTuple):
    """A usable captioned file, by its name relative to the folder, and what is in it."""

    name: str
    text: str
    info: Info


@dataclass(frozen=True)
class Report:
    """What a folder holds: clips in the order of the folder, and what was left out, by name."""

    kept: tuple[Clip, ...]
    dropped: tuple[Dropped, ...]


def listing(folder: Path, split: str | None) -> tuple[list[Entry], list[Dropped]]:
    """Every captioned file, and what lacks a caption or a file.

    Raises ValueError for no folder, metadata that cannot be read as a whole, or an unknown split.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder of videos or images, there is none")
    described = [name for name in METADATA if (folder / name).is_file()]
    if len(described) > 1:
        raise ValueError(f"{folder}: has both {' and '.join(METADATA)}; keep one")
    files = _files(folder)
    entries: list[Entry] = []
    dropped: list[Dropped] = []
    named: set[str] = set()
    splits: set[str] = set()
    for where, row in _rows(folder / described[0]) if described else ():
        name = row if isinstance(row, str) else str(row.get("file_name") or "")
        verdict = _row_fault(folder, row)
        name = str(PurePosixPath(name)) if verdict is None else name
        named.add(name)
        if verdict is not None:
            dropped.append(Dropped(where, verdict))
            continue
        if isinstance(row, dict):
            splits.add(str(row.get("split")))
            if split is None or row.get("split") == split:
                entries.append(Entry(name, _one_line(row["text"])))
    if split is not None and split not in splits:
        raise ValueError(f"{folder}: {unknown('split', split, splits - {'None'})}")
    beside = [name for name in files if _is_media(name) and name not in named] if split is None else []
    found, missing = _beside(folder, beside, files)
    return [*entries, *found], [*dropped, *missing, *_lonely(files)]


def _files(folder: Path) -> list[str]:
    """Names relative to the folder, sorted; hidden files and folders are passed over."""
    found = []
    for at, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        here = Path(at).relative_to(folder)
        found += [(here / name).as_posix() for name in names if not name.startswith(".")]
    return sorted(found)


def _is_media(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in IMAGES | VIDEOS


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any] | str]]:
    """Each line as "file:line" with its fields, or with what is wrong with it."""
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path}: expected UTF-8 text") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    if path.suffix == ".csv":
        # Not splitlines, which also cuts at characters that are part of a text, such as U+2028.
        reader = csv.DictReader(io.StringIO(text, newline=""))
        try:
            for row in reader:
                yield f"{path.name}:{reader.line_num}", row
        except csv.Error as error:
            raise ValueError(f"{path}: expected CSV, got an error after line {reader.line_num} ({error})") from None
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield f"{path.name}:{number}", _object(line)


def _object(line: str) -> dict[str, Any] | str:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        return f"is not JSON ({error.msg})"
    return value if isinstance(value, dict) else "is not a JSON object"


def _row_fault(folder: Path, row: dict[str, Any] | str) -> str | None:
    if isinstance(row, str):
        return row
    for field in ("file_name", "text"):
        if not isinstance(row.get(field), str):
            return f"has no {field!r}, only {', '.join(repr(key) for key in row)}"
    name = PurePosixPath(row["file_name"])
    if name.is_absolute() or ".." in name.parts:
        return f"names {row['file_name']!r}, which is outside the folder"
    if not (folder / name).is_file():
        return f"names {row['file_name']!r}, which does not exist"
    if not row["text"].strip():
        return f"has an empty text for {row['file_name']!r}"
    return None


def _beside(folder: Path, media: list[str], files: list[str]) -> tuple[list[Entry], list[Dropped]]:
    """Captions from the .txt files of the same stem."""
    known = set(files)
    entries: list[Entry] = []
    dropped: list[Dropped] = []
    for name in media:
        beside = str(PurePosixPath(name).with_suffix(".txt"))
        if beside not in known:
            dropped.append(Dropped(name, "has no caption"))
            continue
        try:
            text = _one_line((folder / beside).read_text("utf-8-sig"))
        except UnicodeDecodeError:
            dropped.append(Dropped(name, f"its caption {beside} is not UTF-8 text"))
            continue
        except OSError as error:
            dropped.append(Dropped(name, f"its caption {beside} cannot be read ({error.strerror})"))
            continue
        if text:
            entries.append(Entry(name, text))
        else:
            dropped.append(Dropped(name, f"its caption {beside} is empty"))
    return entries, dropped


def _lonely(files: list[str]) -> list[Dropped]:
    """Captions of nothing. Text files of other names (README.txt, LICENSE.txt in capitals) are no captions."""
    stems = {str(PurePosixPath(name).with_suffix("")) for name in files if _is_media(name)}
    texts = [PurePosixPath(name) for name in files if name.endswith(".txt")]
    return [
        Dropped(str(name), "is a caption without a video or image of the same name")
        for name in texts
        if str(name.with_suffix("")) not in stems and not name.stem.isupper()
    ]


def _one_line(text: str) -> str:
    return " ".join(text.split())
