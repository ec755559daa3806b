"""Writing to the files of a run: always in its own folder, whatever links it contains.

A run may come from anyone. A link or pipe instead of a file is replaced by the file, as in `zoetrope.files`; a folder
that is a link is refused.
"""

import contextlib
import logging
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger(__name__)
_CAREFUL = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))


def expect_own(folder: Path) -> None:
    """Raise ValueError if a folder in this one is a link to another place."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_symlink() and path.is_dir():
            raise ValueError(
                f"{path}: expected a folder, got a link to {os.readlink(path)}; a run is written in its own folder"
            )


def remove(path: Path) -> None:
    """Remove a file, a folder with its contents, or a link without its target; do nothing if it does not exist."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def open_own(path: Path, flags: int = 0) -> int:
    """A handle to read and write a file, created if missing. Raises OSError if that is impossible."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            remove(path)
    return os.open(path, os.O_RDWR | os.O_CREAT | _CAREFUL | flags, 0o666)


def append_text(path: Path, text: str) -> None:
    """Append to a file: all of the text, or nothing if that raises OSError."""
    with open(open_own(path, os.O_APPEND), "ab", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        content, done = text.encode(), 0
        try:
            while done < len(content):
                done += file.write(content[done:])
        except OSError:
            file.truncate(size)
            raise


@contextlib.contextmanager
def unneeded(what: str | Path) -> Iterator[None]:
    """Log, and continue, if something inessential cannot be written, as on a full disk."""
    try:
        yield
    except OSError as error:
        log.warning("%s: cannot be written (%s); the training goes on", what, error.strerror or error)
