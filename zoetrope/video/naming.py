"""Names of videos: one file, or a sequence of pictures."""

import os
import re
from pathlib import Path

from zoetrope.config.errors import expect_path

SEQUENCE = "frame_%04d.png"


def is_address(path: str | os.PathLike[str]) -> bool:
    """Whether a path is an address such as https://... or s3://..., which this package neither reads nor writes."""
    # One "/" is what `pathlib.Path` leaves of two.
    return re.match(r"[a-z][a-z0-9+.-]+:/", os.fsdecode(path), re.IGNORECASE) is not None


def sequence_pattern(path: str | os.PathLike[str]) -> Path | None:
    """The pattern of names if `path` means a sequence of pictures, else None. Raises ValueError for a bad pattern.

    A file that exists is that file, whatever is in its name.
    """
    expect_path("video", path)
    target = Path(path)
    if os.fspath(path).endswith(("/", os.sep)) or target.is_dir():
        return target / SEQUENCE
    if target.suffix.lower() != ".png" or "%" not in target.name or os.path.lexists(target):
        return None
    if not re.fullmatch(r"[^%]*%(0\d+)?d[^%]*", target.name):
        raise ValueError(f"{path}: expected one number pattern such as %04d in the name of a picture sequence")
    return target


def sequence_files(pattern: Path) -> list[Path]:
    """The existing pictures of a sequence, in the order of their numbers."""
    before, after = re.split(r"%(?:0\d+)?d", pattern.name)
    number = re.compile(re.escape(before) + r"(\d+)" + re.escape(after))
    folder = pattern.parent
    found = ((number.fullmatch(file.name), file) for file in (folder.iterdir() if folder.is_dir() else ()))
    return [file for _, file in sorted((int(match[1]), file) for match, file in found if match)]
