"""A cache between runs, in one SQLite file: text features, and checksums of large files.

It is optional: if it cannot be used, a warning is logged once and work continues without it. A damaged file is
recreated, a damaged entry is ignored, and entries that were not used for long are evicted.
"""

import functools
import hashlib
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from zoetrope.files.plain import expect_plain

T = TypeVar("T")

log = logging.getLogger(__name__)

FILE = "features.sqlite3"
MOST = 8 * 2**30
"""Bytes of features to keep, besides those used within `GRACE` days."""
GRACE = 7
REMEMBERED = 2**24
"""Files of at least this many bytes have their checksum cached."""
NEWEST = 1000
"""Checksums of files, and notes about captions, to keep."""
_WAIT = 20  # seconds to wait for another process that writes
_AT_ONCE = 500  # parameters of a query
_DAY = 86400
_VERSION = 2
_SCHEMA = """
CREATE TABLE IF NOT EXISTS features (
    encoder TEXT NOT NULL, key BLOB NOT NULL, used INTEGER NOT NULL, sum BLOB NOT NULL, tokens BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS features_by_key ON features (encoder, key);
CREATE INDEX IF NOT EXISTS features_by_use ON features (used);
CREATE TABLE IF NOT EXISTS files (state TEXT PRIMARY KEY, sha256 TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS listings (encoder TEXT NOT NULL, name TEXT NOT NULL, said TEXT NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS listings_by_name ON listings (encoder, name);
"""


class Store:
    """Features (L, D) in float16 by encoder and key; every call opens the file anew, so any process may use it."""

    def __init__(self, folder: Path, most: int = MOST, grace: int = GRACE) -> None:
        self.path, self.most, self.grace = folder / FILE, most, grace
        self.trouble = ""  # why it is no longer used; "" while it is

    def known(self, encoder: str, keys: Iterable[bytes]) -> set[bytes]:
        """Which keys have features."""

        def look(base: sqlite3.Connection) -> set[bytes]:
            found = set[bytes]()
            for some, marks in _parts(list(keys)):
                query = f"SELECT key FROM features WHERE encoder = ? AND key IN ({marks})"
                found.update(key for (key,) in base.execute(query, (encoder, *some)))
            return found

        return self._used(look, set())

    def get(self, encoder: str, keys: Iterable[bytes], width: int) -> dict[bytes, Tensor]:
        """The features of the keys that have them; damaged ones are left out."""

        def look(base: sqlite3.Connection) -> dict[bytes, Tensor]:
            found, old, bad, today = dict[bytes, Tensor](), list[bytes](), list[bytes](), _today()
            for some, marks in _parts(list(keys)):
                query = f"SELECT key, used, sum, tokens FROM features WHERE encoder = ? AND key IN ({marks})"
                for key, used, told, tokens in base.execute(query, (encoder, *some)):
                    if not tokens or len(tokens) % (2 * width) or told != _sum(encoder, key, tokens):
                        bad.append(key)
                        continue
                    found[key] = torch.frombuffer(bytearray(tokens), dtype=torch.float16).view(-1, width)
                    old += [key] if used < today else []
            if (old or bad) and os.access(self.path, os.W_OK):
                rows = ((today, encoder, key) for key in old)
                base.executemany("UPDATE features SET used = ? WHERE encoder = ? AND key = ?", rows)
                base.executemany("DELETE FROM features WHERE encoder = ? AND key = ?", ((encoder, key) for key in bad))
            return found

        return self._used(look, {})

    def put(self, encoder: str, rows: Mapping[bytes, Tensor]) -> bool:
        """Store features; return whether that succeeded."""

        def write(base: sqlite3.Connection) -> bool:
            today = _today()
            packed = ((key, row.contiguous().numpy().tobytes()) for key, row in rows.items())
            base.executemany(
                "INSERT OR IGNORE INTO features VALUES (?, ?, ?, ?, ?)",
                ((encoder, key, today, _sum(encoder, key, tokens), tokens) for key, tokens in packed),
            )
            self._make_room(base)
            return True

        return self._used(write, False, writes=True)

    def count(self, encoder: str) -> int:
        """How many texts of an encoder have features."""
        query = "SELECT count(*) FROM features WHERE encoder = ?"
        return self._used(lambda base: int(base.execute(query, (encoder,)).fetchone()[0]), 0)

    def recall(self, encoder: str, name: str) -> str | None:
        """The note about a named set of captions that all had features; None without one."""

        def look(base: sqlite3.Connection) -> str | None:
            if _version(base) < _VERSION:  # written by an older version
                return None
            query = "SELECT said FROM listings WHERE encoder = ? AND name = ?"
            found = base.execute(query, (encoder, name)).fetchone()
            return None if found is None else str(found[0])

        return self._used(look, None)

    def note(self, encoder: str, name: str, said: str) -> None:
        """Store a note about a named set of captions that all have features."""

        def write(base: sqlite3.Connection) -> None:
            base.execute("INSERT OR REPLACE INTO listings VALUES (?, ?, ?)", (encoder, name, said))
            _keep_newest(base, "listings")

        self._used(write, None, writes=True)

    def sha256(self, path: Path) -> str:
        """The checksum of a file; that of a large one is cached while the file's state is unchanged."""
        if path.stat().st_size < REMEMBERED:
            return checksum(path)
        name = " ".join(map(str, (path.resolve(), *_state(path))))
        query = "SELECT sha256 FROM files WHERE state = ?"
        known = self._used(lambda base: base.execute(query, (name,)).fetchone(), None)
        if known is not None:
            return str(known[0])
        log.info("%s: read once, to be known again", path)
        told = checksum(path)

        def write(base: sqlite3.Connection) -> None:
            base.execute("INSERT OR REPLACE INTO files VALUES (?, ?)", (name, told))
            _keep_newest(base, "files")

        self._used(write, None, writes=True)
        return told

    def _make_room(self, base: sqlite3.Connection) -> None:
        """Remove the least recently used features, until a tenth is free."""
        (size,), (pages,), (free,) = (
            base.execute(f"PRAGMA {name}").fetchone() for name in ("page_size", "page_count", "freelist_count")
        )
        surplus = size * (pages - free) - self.most
        if surplus <= 0:
            return
        surplus += self.most // 10
        gone = []
        oldest = "SELECT rowid, length(tokens) FROM features WHERE used <= ? ORDER BY used, rowid"
        for row, length in base.execute(oldest, (_today() - self.grace,)):
            gone.append((row,))
            surplus -= length
            if surplus <= 0:
                break
        base.executemany("DELETE FROM features WHERE rowid = ?", gone)
        base.execute("DELETE FROM listings")  # whose captions had features, all of them
        base.executescript("PRAGMA incremental_vacuum")  # `execute` would give back a single page

    def _used(self, work: Callable[[sqlite3.Connection], T], otherwise: T, *, writes: bool = False) -> T:
        """`work` on the open file; `otherwise` if that fails, or if there is no file and it does not write."""
        if self.trouble or not (writes or self.path.exists()):
            return otherwise
        for last in (False, True):
            try:
                with closing(self._open()) as base, base:
                    return work(base)
            except (sqlite3.Error, OSError, ValueError) as error:
                damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
                if last or not damaged or not self._begin_anew():
                    self._log_error(error)
                    return otherwise
        return otherwise

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for end in ("", "-journal", "-wal"):
            expect_plain(self.path.with_name(FILE + end))  # SQLite would wait for a pipe
        base = sqlite3.connect(self.path, timeout=_WAIT, check_same_thread=False)
        try:
            base.execute("PRAGMA synchronous = OFF")  # a file damaged by a crash is recreated
            version = _version(base)
            if version == 0 or (version < _VERSION and os.access(self.path, os.W_OK)):
                base.execute("PRAGMA auto_vacuum = INCREMENTAL")
                base.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")
        except BaseException:
            base.close()
            raise
        return base

    def _begin_anew(self) -> bool:
        """Remove a damaged file; return whether that succeeded."""
        log.warning("%s: is damaged; it is only a cache, and begun anew", self.path)
        try:
            for path in (self.path.with_name(f"{FILE}-journal"), self.path):
                path.unlink(missing_ok=True)
        except OSError:
            return False
        return True

    def _log_error(self, error: Exception) -> None:
        self.trouble = str(error)
        log.warning(
            "the cache of text features cannot be used, and is done without: %s: %s; "
            "another folder for it may be named in ZOETROPE_CACHE",
            self.path.parent,
            error.strerror if isinstance(error, OSError) else error,
        )


def _version(base: sqlite3.Connection) -> int:
    return int(base.execute("PRAGMA user_version").fetchone()[0])


def _keep_newest(base: sqlite3.Connection, table: str) -> None:
    """Remove the oldest rows of a table, beyond `NEWEST`."""
    newest = f"SELECT rowid FROM {table} ORDER BY rowid DESC LIMIT {NEWEST}"
    base.execute(f"DELETE FROM {table} WHERE rowid NOT IN ({newest})")


def _today() -> int:
    return int(time.time() // _DAY)


def _sum(encoder: str, key: bytes, tokens: bytes) -> bytes:
    """A checksum of the features of a key."""
    return hashlib.blake2b(tokens, digest_size=16, key=hashlib.sha256(encoder.encode() + key).digest()).digest()


def checksum(path: Path) -> str:
    """The sha256 of a file, computed once per process while the file's state is unchanged."""
    return _sha256(path, _state(path))


def _state(path: Path) -> tuple[int, ...]:
    """The state of a file, including its change time, which cannot be set back."""
    state = path.stat()
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns


@functools.lru_cache(maxsize=64)
def _sha256(path: Path, state: tuple[int, ...]) -> str:
    log.debug("reading %s %s", path, state)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _parts(keys: list[bytes]) -> Iterator[tuple[list[bytes], str]]:
    """The keys in groups, each with as many question marks."""
    for start in range(0, len(keys), _AT_ONCE):
        some = keys[start : start + _AT_ONCE]
        yield some, ", ".join("?" * len(some))
