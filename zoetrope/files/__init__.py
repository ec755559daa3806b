"""The cache folder, and atomic writes: files and folders that appear whole or not at all, whatever goes wrong.

Data are written beside their final path and renamed to it at the end, so a link or pipe there is replaced, not written
through. Permissions are those of any new file of the user.
"""

import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

REMAINS = 7 * 24 * 3600  # seconds after which a temporary folder is taken for left behind where there are no locks
LONGEST = 100  # bytes of a file's own name within the temporary one; file systems allow some 255 in all


def cache_folder(name: str) -> Path:
    """A folder of what is kept between runs: `name` in $ZOETROPE_CACHE, or in ~/.cache/zoetrope; it need not exist.

    Without a home folder it is one that cannot be created, so nothing is cached.
    """
    try:
        return Path(os.environ.get("ZOETROPE_CACHE") or "~/.cache/zoetrope").expanduser() / name
    except RuntimeError:
        return Path(os.devnull, "no home folder", name)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary file for the block to write, renamed to `path` at its end, where it replaces an older file.

    After an error it is removed, and the older file is unchanged. Concurrent blocks, also of several processes, write
    to different files; the last to end wins. Raises OSError that names `path`, as on a full disk.
    """
    partial = path.with_name(f".{_beginning(path)}.{secrets.token_hex(6)}.partial")
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise _named(error, partial, path) from error
    finally:
        with suppress(OSError):
            partial.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a text file, UTF-8, as `whole` does."""
    with whole(path) as partial:
        partial.write_text(text, "utf-8")


@contextmanager
def whole_folder(path: Path, *, over: bool = False) -> Iterator[Path]:
    """A temporary folder for the block to fill, renamed to `path` at its end; after an error it is removed.

    It replaces an empty folder at `path`, or with `over` any folder: that is moved aside first, and back again if the
    new one cannot take its place. Concurrent blocks, also of several processes, fill different folders. Remains of
    killed processes are removed. Raises OSError, and changes nothing, if something at `path` cannot be replaced.
    """
    _remove_remains(path)
    partial = path.with_name(f".{_beginning(path)}.{secrets.token_hex(6)}.partial")
    try:
        partial.mkdir(parents=True)
        with locked(partial):
            yield partial
            _put_in_place(partial, path, over)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _beginning(path: Path) -> str:
    """The name of a file or folder, cut so that a temporary name with it is not too long."""
    return cut_name(path.name.encode("utf-8", "ignore").decode(), LONGEST)


def cut_name(name: str, most: int) -> str:
    """The beginning of a name that takes at most so many bytes in UTF-8, and whole letters; it need not be UTF-8."""
    if len(encoded := os.fsencode(name)) <= most:
        return name
    return encoded[:most].decode("utf-8", "ignore")


def _remove_remains(path: Path) -> None:
    """Remove the temporary folders of `path` that no process fills."""
    named = re.compile(re.escape(f".{_beginning(path)}.") + r"([0-9a-f]{12}\.)?partial")
    for found in path.parent.iterdir() if path.parent.is_dir() else ():
        if named.fullmatch(found.name) and found.is_dir() and not found.is_symlink():
            with suppress(OSError), locked(found) as sure:
                if sure or time.time() - found.stat().st_mtime > REMAINS:
                    shutil.rmtree(found, ignore_errors=True)


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """The folder is this block's alone. Raises BlockingIOError if it is another's, here or in another process.

    On systems and file systems without locks it never does, and the block is told False.
    """
    try:
        import fcntl
    except ImportError:
        yield False
        return
    sure = True
    number = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:  # a file system without locks
            sure = False
        yield sure
    finally:
        os.close(number)


@contextmanager
def alone(folder: Path, otherwise: str) -> Iterator[None]:
    """The folder, which is made, is this block's alone. Raises ValueError with the text `otherwise` if it is another's.

    See `locked`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder))
        except BlockingIOError:
            raise ValueError(otherwise) from None
        yield


def _put_in_place(new: Path, folder: Path, over: bool) -> None:
    aside = folder.with_name(f".{folder.name}.old")
    if over and folder.exists():
        shutil.rmtree(aside, ignore_errors=True)
        os.replace(folder, aside)
    elif folder.exists():
        folder.rmdir()
    try:
        os.replace(new, folder)
    except BaseException:
        if over and aside.exists() and not folder.exists():
            os.replace(aside, folder)
        raise
    if over:
        shutil.rmtree(aside, ignore_errors=True)


def _named(error: OSError, partial: Path, path: Path) -> OSError:
    """The same error, naming `path` instead of the temporary file."""
    if error.strerror is None:
        return OSError(str(error).replace(str(partial), str(path)))
    if error.filename in (None, str(partial)):
        return OSError(error.errno, error.strerror, str(path))
    return error
