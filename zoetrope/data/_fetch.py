"""Downloads of whole files into the cache; an interrupted download is resumed.

Partial data are in `NAME.partial`, with the server's mark of the version in `NAME.partial.mark`; when the file is
complete and valid, both are renamed without ".partial". A lock lets one process at a time download a file, which the
others then find.
"""

import hashlib
import http.client
import json
import logging
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPMessage
from pathlib import Path
from typing import IO, NamedTuple, Self

from filelock import FileLock

from zoetrope.files.plain import make_way, read_json

log = logging.getLogger(__name__)
ATTEMPTS = 5
PAUSE = 0.5  # seconds before the second attempt; twice as long before each one after it
TIMEOUT = 60  # seconds without a byte
SLOWEST = 2**10  # bytes a second, over a minute
_MINUTE = 60.0
_CHUNK = 2**20
_DIGITS = 16  # in the names of the folders of the cache
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+)://|(pipe):", re.IGNORECASE)

Check = Callable[[Path], str | None]
Room = Callable[[int], None]


class Refused(ValueError):
    """The server has no such file, denies it, or sends another; retrying does not help."""


class Unkept(OSError):
    """A download cannot be written to disk; retrying does not help, and the shard is not at fault."""


class _Short(OSError):
    """A download ended before the announced size."""


class Mark(NamedTuple):
    """A server's marks of a file's version: its ETag and its Last-Modified, each None if it gave none."""

    etag: str | None
    modified: str | None

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The mark in a file, None without a readable one."""
        try:
            value = read_json(path, longest=2**16)
            return cls(value["etag"], value["modified"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @classmethod
    def of_answer(cls, answer: http.client.HTTPResponse) -> Self:
        """The mark of an answer."""
        return cls(answer.headers.get("ETag"), answer.headers.get("Last-Modified"))

    def write(self, path: Path) -> None:
        """Keep it beside the file."""
        make_way(path)
        path.write_text(json.dumps(self._asdict()), "utf-8")

    @property
    def exact(self) -> str | None:
        """A mark that only identical bytes share, None without one."""
        if self.etag is not None:
            return None if self.etag.startswith("W/") else self.etag
        return self.modified


def is_url(path: str) -> bool:
    """Whether a path is an address of the web."""
    return path.lower().startswith(("http://", "https://"))


def expect_local(path: str) -> None:
    """Raise ValueError for an address of any kind: only shards are read from the web, and only by http."""
    found = _ADDRESS.match(path)
    if not found or os.path.exists(path):
        return
    if is_url(path):
        raise ValueError(f"{path}: of addresses only those of a .tar are read, or patterns such as a-{{000..012}}.tar")
    kind = (found[1] or found[2]).lower()
    way_out = "give the path itself" if kind == "file" else "copy the data to a disk, or give their https:// address"
    raise ValueError(f"{path}: only http:// and https:// addresses are read, got {kind}:; {way_out}")


def cached(url: str, folder: Path) -> Path:
    """The path in the cache of an address's file, in a folder for the address's parent."""
    where, _, name = url.partition("?")[0].rpartition("/")
    return folder / hashlib.sha256(where.encode()).hexdigest()[:_DIGITS] / name


def kept(folder: Path) -> Iterator[Path]:
    """The shards in the cache, whole or partial, and no other file: the folder may hold a user's own."""
    return folder.glob(f"{'[0-9a-f]' * _DIGITS}/*.tar*")


def fetch(url: str, folder: Path, check: Check, room: Room, size: int | None = None) -> Path:
    """The file of an address, from the cache or downloaded into it, with retries after network errors.

    `check` returns the fault of a downloaded file, which is then deleted; `room` is called with the number of bytes
    about to arrive. Raises `Refused` if the server denies the file, ValueError, with the last error, if the download
    fails or has not `size` bytes, and `Unkept` if the folder cannot be written.
    """
    path = cached(url, folder)
    for _ in range(ATTEMPTS):
        if path.exists() and not path.is_file():
            make_way(path)
        if not path.exists():
            with _kept_in(folder):  # errors of the net end as ValueErrors
                path.parent.mkdir(parents=True, exist_ok=True)
                with FileLock(f"{path}.lock"):
                    if not path.exists():
                        _download(url, path, check, room)
        _used(path)
        with suppress(FileNotFoundError):
            got = path.stat().st_size
            break
    else:
        raise ValueError(f"{url}: has to make room for others at once, again and again; {folder} may hold too little")
    if size is not None and got != size:
        raise ValueError(f"{url}: expected {size} bytes, as its index says, got {got} in {path}; delete the wrong one")
    return path


@contextmanager
def _kept_in(folder: Path) -> Iterator[None]:
    """Turn disk errors into `Unkept`, to distinguish them from network errors."""
    try:
        yield
    except Unkept:
        raise
    except OSError as error:
        why = error.strerror or error
        raise Unkept(
            f"{folder}: downloads cannot be kept there ({why}); ZOETROPE_CACHE, or `cache` of the data, names another "
            "folder"
        ) from None


def is_changed(url: str, path: Path) -> bool:
    """Whether the server's file has changed since it was downloaded to `path`.

    Raises OSError if the server does not say.
    """
    known = Mark.read(_mark_of(path))
    headers = {"If-None-Match": known.etag, "If-Modified-Since": known.modified} if known else {}
    request = _request(url, {name: value for name, value in headers.items() if value})
    try:
        with _answer(request) as answer:
            of_answer, length = Mark.of_answer(answer), answer.headers.get("Content-Length")
    except urllib.error.HTTPError as error:
        if error.code == 304:
            return False
        raise
    except (http.client.HTTPException, ValueError) as error:
        raise OSError(str(error)) from None
    if known is not None and (known.etag or known.modified) and (of_answer.etag or of_answer.modified):
        return known != of_answer
    other = length is not None and length.isdigit() and int(length) != path.stat().st_size
    if not other:
        with suppress(OSError):
            of_answer.write(_mark_of(path))  # an older version did not write it down
    return other


def forget(path: Path) -> None:
    """Delete a downloaded file."""
    with FileLock(f"{path}.lock"):
        path.unlink(missing_ok=True)
        _mark_of(path).unlink(missing_ok=True)


def _mark_of(path: Path) -> Path:
    return path.with_name(path.name + ".mark")


def _used(path: Path) -> None:
    """Note when a file was used last, where that can be."""
    try:
        os.utime(_mark_of(path))
    except OSError:
        log.debug("%s: when it was used last is not kept", path)


def _download(url: str, path: Path, check: Check, room: Room) -> None:
    partial = path.with_name(path.name + ".partial")
    last: Exception | None = None
    for attempt in range(ATTEMPTS):
        if attempt:
            log.info("%s: %s; attempt %d of %d", url, last, attempt + 1, ATTEMPTS)
            time.sleep(PAUSE * 2 ** (attempt - 1))
        try:
            kind = _continue(url, partial, room)
        except urllib.error.HTTPError as error:
            if error.code in (404, 410):
                raise Refused(f"{url}: there is no such file (HTTP {error.code})") from None
            if error.code == 416:  # what is here is not a beginning of what is there
                partial.unlink(missing_ok=True)
            elif error.code < 500 and error.code not in (408, 429):
                raise Refused(f"{url}: HTTP {error.code} {error.reason}") from None
            last = error
        except Unkept:
            raise
        except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
            last = error
        except ValueError:  # there is no room for it
            partial.unlink(missing_ok=True)
            raise
        else:
            _keep(url, path, partial, check(partial), kind)
            return
    raise ValueError(f"{url}: could not be downloaded in {ATTEMPTS} attempts; the last one: {last}")


def _keep(url: str, path: Path, partial: Path, fault: str | None, kind: str) -> None:
    """Give a download its name. Raises `Refused`, and keeps nothing, if it is not what it should be."""
    mark = _mark_of(partial)
    if fault is not None:
        with partial.open("rb") as file:
            begins = file.read(40).decode("utf-8", "replace").split("\n")[0]
        partial.unlink()
        mark.unlink(missing_ok=True)
        shown = "".join(c if c.isprintable() else "." for c in begins)
        raise Refused(f"{url}: {fault}; the server sent {kind} that begins {shown!r}, which is not kept")
    os.replace(partial, path)
    os.replace(mark, _mark_of(path))


def _continue(url: str, partial: Path, room: Room) -> str:
    """Resume a download to its end, restarting if the file has changed; return the content type."""
    make_way(partial)
    begun = partial.stat().st_size if partial.exists() else 0
    known = Mark.read(_mark_of(partial)) or Mark(None, None)
    asks = {"Range": f"bytes={begun}-", "If-Range": known.exact} if begun and known.exact else {}
    with _answer(_request(url, asks)) as answer:
        part = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
        now = Mark.of_answer(answer)
        same = now.exact in (None, known.exact)
        goes_on = answer.status == 206 and part is not None and int(part[1]) == begun and same
        if answer.status == 206 and not goes_on:
            partial.unlink(missing_ok=True)
            raise OSError("the server sent another part, or one of another file, than asked for")
        length = answer.headers.get("Content-Length", "")
        total = int(part[2]) if goes_on and part is not None else int(length) if length.isdigit() else None
        with _kept_in(partial.parent):
            (known if goes_on else now).write(_mark_of(partial))
            room((total or 0) - (begun if goes_on else 0))
            file = partial.open("ab" if goes_on else "wb", buffering=0)
        with file:
            for chunk in _chunks(answer):
                with _kept_in(partial.parent):
                    if total is None:
                        room(len(chunk))
                    file.write(chunk)
        got = partial.stat().st_size
    if total is not None and got != total:
        raise _Short(f"expected {total} bytes, got {got}")
    return str(answer.headers.get("Content-Type", "something"))


def _chunks(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    """What arrives. Raises OSError if hardly anything does."""
    since, got = time.monotonic(), 0
    while chunk := answer.read1(_CHUNK):
        yield chunk
        got += len(chunk)
        passed = time.monotonic() - since
        if passed >= _MINUTE:
            if got < SLOWEST * passed:
                raise OSError(f"the server sends less than {SLOWEST} bytes a second")
            since, got = time.monotonic(), 0


class _WebOnly(urllib.request.HTTPRedirectHandler):
    """Goes where a server sends us only if that is on the web."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        """The request of the new address. Raises HTTPError for one that is not of the web."""
        if not is_url(newurl):
            raise urllib.error.HTTPError(req.full_url, code, f"leads to {newurl[:200]}, not to the web", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _request(url: str, headers: dict[str, str]) -> urllib.request.Request:
    return urllib.request.Request(urllib.parse.quote(url, safe="%/:=&?~#+!$,;'@()*[]"), headers=headers)


@contextmanager
def _answer(request: urllib.request.Request) -> Iterator[http.client.HTTPResponse]:
    """The answer to a request."""
    with urllib.request.build_opener(_WebOnly).open(request, timeout=TIMEOUT) as answer:
        yield answer
