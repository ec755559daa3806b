"""How much of a disk shards from the web may take: those that were used longest ago go first."""

import logging
import os
import shutil
from pathlib import Path

log = logging.getLogger(__name__)
RESERVE = 2**30  # bytes of the disk that downloads leave free while there are older ones to delete


def make_room(needed: int, folder: Path, most: int | None, keep: Path) -> None:
    """Delete shards from the cache in `folder` until `needed` more bytes fit into it, and into `most` bytes in all.

    The file `keep`, in which they are to go on, stays. Raises ValueError if they do not fit even so.
    """
    there = sorted(_downloads(folder, keep), key=_last_used)
    held = sum(path.stat().st_size for path in there) + (keep.stat().st_size if keep.exists() else 0)
    free = shutil.disk_usage(folder).free
    while there and ((most is not None and held + needed > most) or free - needed < RESERVE):
        path = there.pop(0)
        size = path.stat().st_size
        path.unlink(missing_ok=True)
        held, free = held - size, free + size
        log.info("%s: deleted to make room", path)
    if needed > free:
        raise ValueError(f"{folder}: {needed} bytes are to come, the disk has {free} left")
    if most is not None and held + needed > most:
        least = (held + needed) / 1e9
        raise ValueError(f"cache_gb: expected at least {least:.3g}, the size of a shard, got {most / 1e9:.3g}")


def _downloads(folder: Path, keep: Path) -> list[Path]:
    found = [path for path in folder.rglob("*.tar*") if path.suffix in (".tar", ".partial") and path.is_file()]
    return [path for path in found if path != keep]


def _last_used(path: Path) -> float:
    mark = path.with_name(path.name + ".mark")
    return os.stat(mark if mark.exists() else path).st_mtime
