"""Regular files, JSON in them, and checks against others: a named pipe blocks, a device might never end."""

import contextlib
import os
import stat
from pathlib import Path
from typing import Any

from zoetrope.config.strict_json import LONGEST, parse_json

_CAREFUL = sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))


def read_plain(path: Path, longest: int) -> bytes:
    """The contents of a plain file of at most `longest` bytes.

    Raises OSError if it cannot be read, and ValueError, one line with its path, if it is no plain file or is longer.
    """
    number = os.open(path, os.O_RDONLY | _CAREFUL)
    if not stat.S_ISREG(os.fstat(number).st_mode):  # of a folder `open` would raise an error that names the number
        os.close(number)
        raise ValueError(f"{path}: expected a plain file")
    with open(number, "rb") as file:
        content = file.read(longest + 1)
    if len(content) > longest:
        raise ValueError(f"{path}: expected at most {longest:,} bytes, got more")
    return content


def read_json(path: Path, *, longest: int = LONGEST) -> Any:
    """The value of a JSON file of at most `longest` bytes.

    Raises OSError if it cannot be read, and ValueError, one line with its path, if it is no plain file or not such JSON
    as `parse_json` takes.
    """
    text = read_plain(path, longest)
    try:
        return parse_json(text, longest=longest)
    except ValueError as error:
        raise ValueError(f"{path}: not readable as JSON ({error})") from None


def expect_plain(path: Path) -> None:
    """Raise ValueError if the path exists and is not a regular file."""
    if path.exists() and not path.is_file():
        raise ValueError(f"{path}: expected a plain file")


def make_way(path: Path) -> None:
    """Remove a link, pipe or device from the path of a file to be written. Raises OSError for a folder."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            path.unlink()
