"""Files that clients send: kept under their sha256, and only if they begin as pictures, videos or arrays do.

Nothing here decodes them: the process that works on a job does, as `zoetrope.video.opening` tells. Of arrays the head
is read, for it says how large they are.
"""

import hashlib
import math
import re
import secrets
import shutil
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import NamedTuple

from zoetrope.files import whole
from zoetrope.serving.limits import Limits
from zoetrope.serving.requests import FILE_ID

HEAD = 16
"""Bytes from which the type of a file is told."""
ARRAY = ".npy"
ARRAY_HEAD, MOST_AXES, MOST_VALUES = 1024, 4, 2**24
"""Bytes of the head of an array, its axes, and its numbers, at most."""
_SIDE = r"(?:0|[1-9]\d{0,17})"
_ARRAY = re.compile(
    r"\{'descr': '[<>|=](?P<kind>b1|[iu][1248]|f[248])', 'fortran_order': (?:True|False), "
    rf"'shape': \((?P<shape>|{_SIDE},|{_SIDE}(?:, {_SIDE})+)\),? ?\}}\s*"
)


class Refusal(Exception):
    """A request that is refused, with the status of HTTP and what would be right."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class SentFile(NamedTuple):
    """A file that a client sent: its sha256, its type, and its bytes."""

    id: str
    suffix: str
    type: str
    bytes: int


TYPES = {
    ".png": "image/png", ".jpg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp", ".bmp": "image/bmp",
    ".mp4": "video/mp4", ".webm": "video/webm", ".avi": "video/x-msvideo", ARRAY: "application/octet-stream",
}  # fmt: skip


def suffix_of(head: bytes) -> str | None:
    """The ending of files that begin with these bytes; None: no picture, video or array of a type that is taken."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return ".png"
    if head.startswith(b"\xff\xd8\xff"):
        return ".jpg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return ".gif"
    if head.startswith(b"BM"):
        return ".bmp"
    if head[:4] == b"RIFF" and head[8:12] in (b"WEBP", b"AVI "):
        return ".webp" if head[8:12] == b"WEBP" else ".avi"
    if head[4:8] == b"ftyp":
        return ".mp4"
    if head.startswith(b"\x93NUMPY"):
        return ARRAY
    return ".webm" if head.startswith(b"\x1aE\xdf\xa3") else None


def array_shape(head: bytes, size: int) -> tuple[int, ...]:
    """The shape of an array of numbers in a file .npy of `size` bytes, of which `head` is the beginning.

    Raises ValueError for one that holds anything else than numbers, or more or fewer than it says, and for a large one.
    The format is that of numpy.lib.format, versions 1 to 3.
    """
    first = 10 if head[6:7] == b"\x01" else 12
    length = first + int.from_bytes(head[8:first], "little")
    if head[6:7] not in (b"\x01", b"\x02", b"\x03") or len(head) < first or length > min(ARRAY_HEAD, size):
        raise ValueError("expected an array .npy as numpy.save writes it")
    text = head[first:length].decode("latin-1")
    match = _ARRAY.fullmatch(text)
    if match is None:
        raise ValueError("expected an array .npy of whole or real numbers or of truth values")
    shape = tuple(int(number) for number in match["shape"].split(",") if number.strip())
    if len(shape) > MOST_AXES or math.prod(shape) > MOST_VALUES:
        raise ValueError(f"expected an array of at most {MOST_AXES} axes and {MOST_VALUES:,} numbers, got {shape}")
    wanted = math.prod(shape) * int(match["kind"][1])
    if wanted != size - length:
        raise ValueError(f"expected {wanted:,} bytes of {shape}, got {size - length:,}")
    return shape


class Uploads:
    """The files in a folder."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        """Removes remains of files that did not arrive. Raises OSError where the folder cannot be made."""
        self.folder, self.limits = folder, limits
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob(".*.partial"):
            path.unlink(missing_ok=True)
        self.arriving = 0

    def path(self, file: str) -> Path | None:
        """Where a file lies; None: it was not sent, or it is no id of a file."""
        if FILE_ID.fullmatch(file) is None:
            return None
        return next((path for suffix in TYPES if (path := self.folder / (file + suffix)).is_file()), None)

    async def take(self, body: AsyncIterator[bytes], used: Collection[str], told: int | None = None) -> SentFile:
        """Keep a file of `told` bytes, if that is known. To make room, files that no job has `used` are removed.

        Raises Refusal for one that is too large, empty, or of another type, and where there is no room.
        """
        most = self.limits.upload if told is None else told
        if most > self.limits.upload:
            raise Refusal(413, f"file: expected at most {self.limits.upload:,} bytes, got {most:,}")
        self._expect_room(most, used)
        part = self.folder / f".{secrets.token_hex(8)}.partial"
        self.arriving += most
        try:
            return await self._arrived(part, body, most)
        finally:
            self.arriving -= most
            part.unlink(missing_ok=True)

    async def _arrived(self, part: Path, body: AsyncIterator[bytes], most: int) -> SentFile:
        found, size, head = hashlib.sha256(), 0, b""
        with open(part, "xb") as file:
            async for chunk in body:
                size += len(chunk)
                if size > most:
                    raise Refusal(413, f"file: expected at most {most:,} bytes, got more")
                head = (head + chunk)[:HEAD] if len(head) < HEAD else head
                if len(head) == HEAD and suffix_of(head) is None:
                    break
                found.update(chunk)
                file.write(chunk)
        suffix = suffix_of(head)
        if suffix is None:
            kinds = ", ".join(suffix.removeprefix(".") for suffix in TYPES)
            raise Refusal(415, f"file: expected a picture, a video or an array ({kinds}), got something else")
        if suffix == ARRAY:
            _expect_array(part, size)
        name = found.hexdigest()
        with whole(self.folder / (name + suffix)) as target:
            shutil.copyfile(part, target)
        return SentFile(name, suffix, TYPES[suffix], size)

    def _expect_room(self, more: int, used: Collection[str]) -> None:
        """Remove unused files, the oldest first, until there is room. Raises Refusal where that is not enough."""
        found = [path for path in self.folder.iterdir() if path.is_file() and not path.name.startswith(".")]
        files = sorted(found, key=lambda path: path.stat().st_mtime)
        total = more + self.arriving + sum(path.stat().st_size for path in files)
        for path in files:
            if total > self.limits.files and path.stem not in used:
                total -= path.stat().st_size
                path.unlink(missing_ok=True)
        if total > self.limits.files:
            raise Refusal(507, "file: expected room for it; remove jobs of the history, whose files are kept")


def _expect_array(path: Path, size: int) -> None:
    """Raise Refusal for an array that is not taken."""
    with open(path, "rb") as file:
        head = file.read(ARRAY_HEAD)
    try:
        array_shape(head, size)
    except ValueError as error:
        raise Refusal(415, f"file: {error}") from None
