"""The disk space for downloaded shards: the least recently used ones are deleted first."""

import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path

from zoetrope.data._fetch import kept

log = logging.getLogger(__name__)
RESERVE = 2**30  # bytes of the disk that downloads leave free, but at most a twentieth of it


def make_room(needed: int, folder: Path, most: int | None, keep: Path) -> None:
    """Delete shards from the cache in `folder` until `needed` more bytes fit into it, and into `most` bytes in all.

    The file `keep`, to which they will be appended, stays. Raises ValueError if they do not fit even so.
    """
    there = _downloads(folder, keep)
    begun = keep.stat().st_size if keep.exists() else 0
    disk = shutil.disk_usage(folder)
    free = disk.free - min(RESERVE, disk.total // 20)
    if needed > free + sum(there.values()):
        raise ValueError(f"{folder}: {needed} bytes are to come, the disk has room for {max(0, free)}")
    if most is not None and begun + needed > most:
        least = (begun + needed) / 1e9
        raise ValueError(f"cache_gb: expected at least {least:.3g}, the size of a shard, got {most / 1e9:.3g}")
    for path, size in there.items():
        if needed <= free and (most is None or begun + sum(there.values()) + needed <= most):
            return
        path.unlink(missing_ok=True)
        free += size
        there[path] = 0
        log.info("%s: deleted to make room", path)


def _downloads(folder: Path, keep: Path) -> dict[Path, int]:
    """The other downloads and their bytes, those that were used longest ago first."""
    found: list[tuple[float, Path, int]] = []
    for path in kept(folder):
        if path.suffix in (".tar", ".partial") and path.is_file() and path != keep:
            with suppress(FileNotFoundError):  # others come and go meanwhile
                found.append((_last_used(path), path, path.stat().st_size))
    return {path: size for _, path, size in sorted(found)}


def _last_used(path: Path) -> float:
    mark = path.with_name(path.name + ".mark")
    return os.stat(mark if mark.exists() else path).st_mtime
