"""Files from the web, whole, in a folder of the cache: an interrupted download goes on where it was.

What has arrived lies in `NAME.partial`, with the server's mark of its version in `NAME.mark`; once all of it is there
it is renamed. A lock lets one process at a time fetch a file, and the others find it.
"""

import hashlib
import http.client
import logging
import os
import re
import time
import urllib.error
import urllib.request
from pathlib import Path

from filelock import FileLock

log = logging.getLogger(__name__)
ATTEMPTS = 5
PAUSE = 0.5  # seconds before the second attempt; twice as long before each one after it
TIMEOUT = 60  # seconds without a byte
_CHUNK = 2**20


class Refused(ValueError):
    """The server says that it has no such file, or none for us; asking again does not help."""


class _Short(OSError):
    """A download ended before the size that the server had told."""


def is_url(path: str) -> bool:
    """Whether a path is an address of the web."""
    return path.startswith(("http://", "https://"))


def cached(url: str, folder: Path) -> Path:
    """Where the file of an address is or will be, in a folder for the address it is under."""
    where, _, name = url.partition("?")[0].rpartition("/")
    return folder / hashlib.sha256(where.encode()).hexdigest()[:16] / name


def fetch(url: str, folder: Path, size: int | None = None) -> Path:
    """The file of an address, from the cache or downloaded into it, tried anew after errors of the net.

    Raises `Refused` if the server does not give it, and ValueError, with what came last, if it cannot be had, or is not
    of `size` bytes.
    """
    path = cached(url, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if not path.exists():
            _download(url, path)
    got = path.stat().st_size
    if size is not None and got != size:
        raise ValueError(f"{url}: expected {size} bytes, as its index says, got {got} in {path}; delete the wrong one")
    return path


def _download(url: str, path: Path) -> None:
    partial, mark = path.with_name(path.name + ".partial"), path.with_name(path.name + ".mark")
    last: Exception | None = None
    for attempt in range(ATTEMPTS):
        if attempt:
            log.info("%s: %s; attempt %d of %d", url, last, attempt + 1, ATTEMPTS)
            time.sleep(PAUSE * 2 ** (attempt - 1))
        try:
            _continue(url, partial, mark)
        except urllib.error.HTTPError as error:
            if error.code in (404, 410):
                raise Refused(f"{url}: there is no such file (HTTP {error.code})") from None
            if error.code == 416:  # what is here is not a beginning of what is there
                partial.unlink(missing_ok=True)
            elif error.code < 500 and error.code not in (408, 429):
                raise Refused(f"{url}: HTTP {error.code} {error.reason}") from None
            last = error
        except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
            last = error
        else:
            os.replace(partial, path)
            mark.unlink(missing_ok=True)
            return
    raise ValueError(f"{url}: could not be downloaded in {ATTEMPTS} attempts; the last one: {last}")


def _continue(url: str, partial: Path, mark: Path) -> None:
    """Add to what is there until it is whole; what the server has changed since is begun anew."""
    begun = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url)
    if begun and mark.exists():
        request.add_header("Range", f"bytes={begun}-")
        request.add_header("If-Range", mark.read_text())
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        told = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
        goes_on = answer.status == 206 and told is not None and int(told[1]) == begun
        if answer.status == 206 and not goes_on:
            partial.unlink(missing_ok=True)
            raise OSError("the server sent another part than asked for")
        length = answer.headers.get("Content-Length")
        total = int(told[2]) if goes_on and told is not None else None if length is None else int(length)
        version = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
        if version is None or version.startswith("W/"):
            mark.unlink(missing_ok=True)
        else:
            mark.write_text(version)
        with partial.open("ab" if goes_on else "wb") as file:
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
        got = partial.stat().st_size
    if total is not None and got != total:
        raise _Short(f"expected {total} bytes, got {got}")
