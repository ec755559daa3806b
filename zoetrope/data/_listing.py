"""The captions of a folder's files, from names and text files alone; media are not opened here."""

import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from zoetrope.config import unknown
from zoetrope.data._captions import read_caption, single_spaced, string_in
from zoetrope.data._files import FileState, Names, files_of
from zoetrope.data._metadata import NAMES, MetadataRow, rows
from zoetrope.data._unused import Dropped
from zoetrope.video import Info
from zoetrope.wording import counted

IMAGES = {".avif", ".bmp", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
VIDEOS = {
    ".3g2", ".3gp", ".apng", ".asf", ".avi", ".divx", ".f4v", ".flv", ".gif", ".m2t", ".m2ts", ".m2v", ".m4v", ".mkv",
    ".mov", ".mp4", ".mpe", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".qt", ".ts", ".vob", ".webm", ".wmv", ".y4m",
}  # fmt: skip
MEDIA = IMAGES | VIDEOS
"""The endings by which videos and images are known. FFmpeg gives a photo of a phone, ".heic", in tiles."""
TEXTS = (".txt", ".json")
_NO_DATA = {"", ".csv", ".html", ".json", ".jsonl", ".md", ".pdf", ".py", ".safetensors", ".tsv", ".txt", ".yaml"}
_SHOWN = 5


class Entry(NamedTuple):
    """A file, by its name relative to the folder with "/", and a caption of it."""

    name: str
    text: str


class Clip(NamedTuple):
    """A usable captioned file, by its name relative to the folder, and what is in it."""

    name: str
    text: str
    info: Info


@dataclass(frozen=True)
class FolderReport:
    """The contents of a folder: clips in order, dropped files by name, and notes on unused parts of clips."""

    kept: tuple[Clip, ...]
    dropped: tuple[Dropped, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listing:
    """The contents of a folder before any video is opened: captions, dropped files, and every file's state."""

    entries: tuple[Entry, ...]
    dropped: tuple[Dropped, ...]
    notes: tuple[str, ...]
    files: dict[str, FileState]


def listing(folder: Path, split: str | None, captions: bool = True) -> Listing:
    """Every captioned file, and what lacks a caption or a file; without `captions`, every file.

    Raises ValueError for no folder, metadata that cannot be read as a whole, or an unknown split.
    """
    if not folder.is_dir():
        at = "" if folder.is_absolute() else f" in {Path.cwd()}"
        raise ValueError(
            f"{folder}: expected a folder of videos or images, there is {'a file' if folder.exists() else 'none'}{at}"
        )
    files, dropped = files_of(folder)
    media = [name for name in files if _is_media(name)]
    if not captions and split is None:
        entries = [Entry(name, "") for name in media]
        return Listing(tuple(entries), tuple(dropped), tuple(_other_kinds(files)), files)
    metadata = _metadata(folder, files)
    meta = _Metadata(Names(folder, files), split)
    for name in metadata:
        meta.read(folder / name, name)
    if split is not None and split not in meta.splits:
        raise ValueError(f"{folder}: {unknown('split', split, meta.splits - {'None'})}")
    found, missing = (
        _captions_beside(folder, [name for name in media if name not in meta.named], files)
        if split is None
        else ([], [])
    )
    entries = [*meta.entries, *found]
    if not captions:
        entries = [Entry(name, "") for name in dict.fromkeys(entry.name for entry in entries)]
    notes = [*_other_kinds(files), *([] if entries or metadata else _way_out(media))]
    return Listing(tuple(entries), tuple([*dropped, *meta.dropped, *missing, *_lonely(files)]), tuple(notes), files)


class _Metadata:
    """The entries of metadata files, from the top of the folder down; the topmost file that names a clip wins."""

    def __init__(self, names: Names, split: str | None) -> None:
        self.names, self.split = names, split
        self.entries: list[Entry] = []
        self.dropped: list[Dropped] = []
        self.named: set[str] = set()
        self.splits: set[str] = set()

    def read(self, path: Path, called: str) -> None:
        """Read one metadata file."""
        above = frozenset(self.named)
        for row in rows(path, called):
            try:
                name, text = self._meant(row, posixpath.dirname(called))
            except ValueError as error:
                self.dropped.append(Dropped(row.where, str(error)))
                continue
            if name in above:
                continue
            self.splits.add(str(row.fields.get("split")))
            if self.split is None or row.fields.get("split") == self.split:
                self.entries.append(Entry(name, text))

    def _meant(self, row: MetadataRow, at: str) -> tuple[str, str]:
        """The file and the caption of a line. Raises ValueError, a reason, if it has none."""
        if row.fault is not None:
            raise ValueError(row.fault)
        given = string_in(row.fields, "file_name")
        name, missing = "", None
        try:
            name = self.names.meant(given, at)
            self.named.add(name)  # what is wrong with its line is told, not that it has no caption
        except ValueError as error:
            missing = error
        text = string_in(row.fields, "text")
        if missing is not None:
            raise missing
        try:
            text = single_spaced(text)
        except ValueError as error:
            raise ValueError(f"its text for {given!r} {error}") from None
        if not text:
            raise ValueError(f"has an empty text for {given!r}")
        return name, text


def _metadata(folder: Path, files: Iterable[str]) -> list[str]:
    """The metadata files, those further up first. Raises ValueError if a folder has two."""
    found = sorted(
        (name for name in files if posixpath.basename(name).lower() in NAMES), key=lambda name: (name.count("/"), name)
    )
    for at, count in Counter(map(posixpath.dirname, found)).items():
        if count > 1:
            both = [name for name in found if posixpath.dirname(name) == at]
            raise ValueError(f"{folder}: has {' and '.join(both)}; keep one")
    return found


def _split(name: str) -> tuple[str, str]:
    """A name without its ending, and the ending in small letters."""
    stem, kind = posixpath.splitext(name)
    return stem, kind.lower()


def _is_media(name: str) -> bool:
    return _split(name)[1] in MEDIA


def _captions_beside(folder: Path, media: list[str], files: Iterable[str]) -> tuple[list[Entry], list[Dropped]]:
    """Captions from the text files of the same stem, or of the same name with another ending."""
    texts: dict[tuple[str, str], str] = {}
    others: dict[str, list[str]] = {}
    for name in files:
        stem, kind = _split(name)
        if kind in TEXTS and (name.endswith(kind) or (stem, kind) not in texts):
            texts[stem, kind] = name
        elif not _is_media(name):
            others.setdefault(stem, []).append(posixpath.basename(name))
    entries: list[Entry] = []
    dropped: list[Dropped] = []
    for name in media:
        stem, _ = _split(name)
        beside = next((texts[at, kind] for at in (name, stem) for kind in TEXTS if (at, kind) in texts), None)
        if beside is None:
            other = others.get(stem)
            message = f"has no caption in .txt or .json, only {other[0]}" if other else "has no caption"
            dropped.append(Dropped(name, message))
            continue
        called = "its caption" if beside == f"{stem}.txt" else f"its caption {posixpath.basename(beside)}"
        try:
            text = read_caption(folder / beside)
        except ValueError as error:
            dropped.append(Dropped(name, f"{called} {error}"))
            continue
        if text:
            entries.append(Entry(name, text))
        else:
            dropped.append(Dropped(name, f"{called} is empty"))
    return entries, dropped


def _lonely(files: Iterable[str]) -> Iterator[Dropped]:
    """Captions without a media file. Capitalised text files, such as README.txt and LICENSE.txt, are not captions."""
    stems: dict[str, str] = {}
    for name in files:
        stem, kind = _split(name)
        if kind in MEDIA:
            stems[name] = stems[stem] = ""
        elif kind not in _NO_DATA:
            stems.setdefault(stem, kind)
    for name in files:
        stem, kind = _split(name)
        if kind != ".txt" or posixpath.basename(stem).isupper():
            continue
        other = stems.get(stem)
        if other is None:
            yield Dropped(name, "is a caption without a video or image of the same name")
        elif other:
            yield Dropped(name, f"is a caption of a {other} file, a kind that is not read; expected a video or image")


def _other_kinds(files: Iterable[str]) -> list[str]:
    """A note on files of unsupported kinds that might be data."""
    kinds = Counter(_split(name)[1] for name in files if not _is_media(name))
    found = [(kind, count) for kind, count in kinds.most_common() if kind not in _NO_DATA]
    if not found:
        return []
    shown = ", ".join(f"{kind} ({count})" for kind, count in found[:_SHOWN]) + (", ..." if found[_SHOWN:] else "")
    return [f"{counted(sum(count for _, count in found), 'file')} of kinds that are not read: {shown}"]


def _way_out(media: list[str]) -> list[str]:
    """A hint for a folder in which nothing has a caption."""
    if not media:
        return []
    folders = sorted({posixpath.dirname(name) for name in media} - {""})
    classes = f"; the names of folders, such as {folders[0]!r}, are not read" if folders else ""
    first = media[0]
    return [f"nothing has a caption: expected {_split(first)[0]}.txt for {first}, or metadata.jsonl{classes}"]
