"""Which shards a folder, a pattern or an address means."""

import glob
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

from zoetrope.data._fetch import expect_local, is_url

MOST = 100_000  # shards that a pattern may name
_BRACES = re.compile(r"\{(?:(\d{1,18})\.\.(\d{1,18})|([^{}]*,[^{}]*))\}")


def shard_paths(path: str) -> list[str]:
    """The shards that a folder, a pattern or an address means, in order. Raises ValueError if it means none.

    >>> shard_paths("https://host/train-{008..010}.tar")
    ['https://host/train-008.tar', 'https://host/train-009.tar', 'https://host/train-010.tar']
    """
    count = math.prod(_choices(*match.groups()) for match in _BRACES.finditer(path))
    if count > MOST:
        raise ValueError(f"{path}: expected a pattern of at most {MOST} shards, got one of {count}")
    if is_url(path):
        found = list(_expanded(path))
        if bad := [url for url in found if not url.partition("?")[0].endswith(".tar")]:
            raise ValueError(
                f"{bad[0]}: expected the address of a .tar, or a pattern of them such as a-{{000..012}}.tar"
            )
    else:
        expect_local(path)
        local = os.path.expanduser(path)
        if os.path.isdir(local):
            found = [str(shard) for shard in sorted(_shards_in(Path(local)))]
        else:
            patterns = _expanded(local)
            found = [one for each in patterns for one in (sorted(glob.glob(each)) if glob.has_magic(each) else [each])]
    if not found:
        raise ValueError(f"{path}: expected tar shards, there are none")
    return found


def is_shards(path: str) -> bool:
    """Whether a path means shards rather than a folder of files."""
    local = Path(os.path.expanduser(path))
    if is_url(path) or (".tar" in local.name and not local.is_dir()):
        return True
    return local.is_dir() and bool(_shards_in(local))


def _shards_in(folder: Path) -> list[Path]:
    """The shards in a folder, hidden ones left out."""
    return [shard for shard in folder.glob("*.tar") if not shard.name.startswith(".")]


def _expanded(pattern: str) -> Iterator[str]:
    """All that a pattern with {000..012} or {a,b} means, in order."""
    match = _BRACES.search(pattern)
    if match is None:
        yield pattern
        return
    first, last, words = match.groups()
    middle = words.split(",") if words else [f"{n:0{len(first)}d}" for n in range(int(first), int(last) + 1)]
    for part in middle:
        yield from _expanded(pattern[: match.start()] + part + pattern[match.end() :])


def _choices(first: str | None, last: str | None, words: str | None) -> int:
    """How many things a pair of braces means."""
    return words.count(",") + 1 if words else max(0, int(last or 0) - int(first or 0) + 1)
