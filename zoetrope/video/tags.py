"""Tags of a file, such as a title or how it was made: short texts by name, which writers store and this reads.

mp4 and webm keep them in the container, a PNG in text chunks, a GIF as JSON in a comment, a sequence of pictures in a
JSON file beside them.
"""

import json
import os
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from zoetrope.config import parse_json
from zoetrope.files.plain import read_json
from zoetrope.video.naming import sequence_pattern
from zoetrope.video.opening import PathLike, file_of, opened_container

COMMON = frozenset({"title", "artist", "comment", "description", "copyright", "date", "genre"})
"""Names that mp4 players know; under other names only tools such as ffprobe and exiftool show what is stored."""

_KEY = re.compile(r"[a-z][a-z0-9_]{0,78}")
_OF_CONTAINERS = {"major_brand", "minor_version", "compatible_brands", "encoder", "fps"}
_PNG, _GIF = b"\x89PNG\r\n\x1a\n", (b"GIF87a", b"GIF89a")
_LARGEST = 2**22


def check_tags(tags: Mapping[str, str]) -> None:
    """Raise ValueError for a name or a text that files cannot hold."""
    for key, value in tags.items():
        if not isinstance(key, str) or not _KEY.fullmatch(key) or key in _OF_CONTAINERS:
            raise ValueError(f"tags: expected names of small letters, digits and _, got {key!r}")
        if not isinstance(value, str) or "\0" in value or len(value) > _LARGEST:
            raise ValueError(f"tags.{key}: expected a text of at most {_LARGEST} characters, got {str(value)[:40]!r}")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"tags.{key}: expected Unicode text, got half a surrogate pair") from None


def read_tags(path: PathLike) -> dict[str, str]:
    """What the file says about itself, by names in small letters; nothing for a file that says nothing.

    `path` may be a picture sequence as `zoetrope.video.read` takes it. Raises ValueError for what is no media file.
    """
    pattern = sequence_pattern(path) if isinstance(path, str | Path) else None
    if pattern is not None:
        return _read_json(beside(pattern))
    with file_of(path) as file:
        start = file.read(8)
        if start == _PNG:
            return _named(_png_texts(file))
        if start[:6] in _GIF:
            file.seek(6)
            return _named(_gif_texts(file))
    with opened_container(path) as container:
        return _named(container.metadata.items())


def beside(pattern: Path) -> Path:
    """The JSON file with the tags of a picture sequence: a_%04d.png has a.tags.json."""
    stem = re.split(r"%(?:0\d+)?d", pattern.name)[0].rstrip("_-. ")
    return pattern.with_name(f"{stem}.tags.json" if stem else "tags.json")


def as_json(tags: Mapping[str, str]) -> bytes:
    """The same bytes for the same tags in the same order."""
    return json.dumps(dict(tags), ensure_ascii=False, indent=1).encode() + b"\n"


def png_chunks(texts: Mapping[str, str]) -> bytes:
    """Text chunks of a PNG: tEXt where Latin-1 is enough, otherwise iTXt."""
    return b"".join(_chunk(key, value) for key, value in texts.items())


def _chunk(key: str, value: str) -> bytes:
    try:
        body = b"tEXt" + key.encode("ascii") + b"\0" + value.encode("latin-1")
    except UnicodeEncodeError:
        body = b"iTXt" + key.encode("ascii") + b"\0\0\0\0\0" + value.encode()
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def gif_comment(tags: Mapping[str, str]) -> bytes:
    """A comment extension of a GIF that holds the tags as JSON."""
    text = as_json(tags)
    parts = [text[k : k + 255] for k in range(0, len(text), 255)]
    return b"\x21\xfe" + b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


def gif_head(file: BinaryIO) -> int:
    """The bytes of a GIF before its first comment or picture: its size, its palette, and how often it repeats."""
    file.seek(6)
    _skip_palette(file, file.read(7)[4:5])
    while True:
        end = file.tell()
        if file.read(2) != b"\x21\xff":
            return end
        while size := file.read(1).strip(b"\0"):
            file.seek(size[0], os.SEEK_CUR)


def _named(texts: Any) -> dict[str, str]:
    return {key.lower(): value for key, value in texts if key.lower() not in _OF_CONTAINERS}


def _read_json(path: Path) -> dict[str, str]:
    try:
        value = read_json(path)
    except (OSError, ValueError):
        return {}
    return {str(key): str(text) for key, text in value.items()} if isinstance(value, dict) else {}


def _png_texts(file: BinaryIO) -> Iterator[tuple[str, str]]:
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind not in (b"tEXt", b"iTXt") or length > _LARGEST:
            file.seek(length + 4, os.SEEK_CUR)
            continue
        key, _, rest = file.read(length).partition(b"\0")
        file.seek(4, os.SEEK_CUR)
        if kind == b"tEXt":
            yield key.decode("latin-1"), rest.decode("latin-1")
        elif rest[:1] == b"\0":  # not compressed
            yield key.decode("latin-1"), rest[2:].split(b"\0", 2)[-1].decode("utf-8", "replace")


def _gif_texts(file: BinaryIO) -> Iterator[tuple[str, str]]:
    """The tags of our own comments; any other comment as "comment"."""
    _skip_palette(file, file.read(7)[4:5])
    while (mark := file.read(1)) in (b"\x21", b"\x2c"):
        comment = mark == b"\x21" and file.read(1) == b"\xfe"
        if mark == b"\x2c":
            _skip_palette(file, file.read(9)[8:9])
            file.read(1)
        text = bytearray()
        while size := file.read(1)[:1].strip(b"\0"):
            part = file.read(size[0])
            if comment and len(text) < _LARGEST:
                text += part
        if comment:
            yield from _comment(text.decode("utf-8", "replace"))


def _skip_palette(file: BinaryIO, flags: bytes) -> None:
    if flags and flags[0] & 0x80:
        file.seek(3 << ((flags[0] & 7) + 1), os.SEEK_CUR)


def _comment(text: str) -> Iterator[tuple[str, str]]:
    try:
        value = parse_json(text)
    except ValueError:
        value = text
    if isinstance(value, dict):
        yield from ((str(key), str(part)) for key, part in value.items())
    else:
        yield "comment", text
