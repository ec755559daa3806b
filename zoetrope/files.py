"""Where things are kept, and files and folders that appear whole or not at all, whatever goes wrong meanwhile.

What is written lies beside the place where it belongs, and is renamed to it at the end. So a link, or a pipe, in that
place gives way and is not written through. Permissions are those of any new file of this user's.
"""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LONGEST = 100  # bytes of a file's own name within the temporary one; file systems allow some 255 in all


def cache_folder(name: str) -> Path:
    """A folder of what is kept between runs: `name` in $ZOETROPE_CACHE, or in ~/.cache/zoetrope; it need not exist.

    Where there is no home either it is a folder that nobody can make: nothing is kept.
    """
    try:
        return Path(os.environ.get("ZOETROPE_CACHE") or "~/.cache/zoetrope").expanduser() / name
    except RuntimeError:
        return Path(os.devnull, "no home folder", name)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """The name of a file for the block to write, which becomes `path` at its end, in place of an older one.

    After an error nothing is left of it, and the older one is as it was. No two blocks write to one file, be they of
    one process or of several: who ends last has the last word. Raises OSError, as on a full disk, that names `path`.
    """
    beginning = path.name.encode("utf-8", "ignore")[:LONGEST].decode("utf-8", "ignore")
    partial = path.with_name(f".{beginning}.{secrets.token_hex(6)}.partial")
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
    """A new folder for the block to fill, which becomes `path` at its end; after an error nothing is left of it.

    An empty folder at `path` gives way, and with `over` any that is there: it is moved aside first, and back again if
    the new one cannot take its place. What a process that was killed has left of such a folder is removed. Raises
    OSError, and leaves everything as it was, if something is at `path` that does not give way.
    """
    partial = path.with_name(f".{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
        _put_in_place(partial, path, over)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


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
    """The same error of the file that people know."""
    if error.strerror is None:
        return OSError(str(error).replace(str(partial), str(path)))
    if error.filename in (None, str(partial)):
        return OSError(error.errno, error.strerror, str(path))
    return error
