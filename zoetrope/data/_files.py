"""The files of a folder, including linked folders, and the lookup of slightly misspelt names."""

import os
import posixpath
import stat
import unicodedata
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from zoetrope.data._unused import Dropped
from zoetrope.wording import counted


class FileState(NamedTuple):
    """Size and time of a file, to detect changes."""

    size: int
    mtime_ns: int


def files_of(folder: Path) -> tuple[dict[str, FileState], list[Dropped]]:
    """Every regular file, by its name relative to the folder with "/", sorted; and all other entries.

    Hidden files and folders are skipped. Links are followed; a folder with several links is read once, so circular
    links end.
    """
    found: dict[str, FileState] = {}
    dropped: list[Dropped] = []
    seen: set[tuple[int, int]] = set()
    waiting, links = deque([""]), deque[str]()  # links last: a folder has its own name rather than a link's
    while waiting or links:
        at = waiting.popleft() if waiting else links.popleft()
        try:
            here = os.stat(folder / at)
            if (here.st_dev, here.st_ino) in seen:
                dropped.append(Dropped(f"{at}/", "leads to a folder that is read already"))
                continue
            seen.add((here.st_dev, here.st_ino))
            entries = sorted(os.scandir(folder / at), key=lambda entry: entry.name)
        except OSError as error:
            dropped.append(Dropped(f"{at}/", f"cannot be read ({error.strerror})"))
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            name = f"{at}/{entry.name}" if at else entry.name
            try:
                state = os.stat(entry.path)
            except OSError as error:
                link = "is a link that leads nowhere" if entry.is_symlink() else "cannot be read"
                dropped.append(Dropped(name, f"{link} ({error.strerror})"))
                continue
            if stat.S_ISDIR(state.st_mode):
                (links if entry.is_symlink() else waiting).append(name)
            elif stat.S_ISREG(state.st_mode):
                found[name] = FileState(state.st_size, state.st_mtime_ns)
            else:
                dropped.append(Dropped(name, "is not a file, but a pipe, a socket or a device"))
    return dict(sorted(found.items())), dropped


class Names:
    """The names of files, to be looked up as people write them."""

    def __init__(self, folder: Path, files: Iterable[str]) -> None:
        self.folder, self.files = folder, list(files)

    def meant(self, name: str, at: str = "") -> str:
        """The file of a name in the folder `at`: the exact one, or the only one with another spelling.

        Spelling means backslashes, Unicode normal forms, and capitals. Raises ValueError, a reason, with the nearest
        file, if there is none.
        """
        message = f"names {name[:200]!r}, which"
        wanted = posixpath.join(at, name)
        if PurePosixPath(name).is_absolute():
            try:
                wanted = Path(name).relative_to(self.folder.absolute()).as_posix()
            except ValueError:
                raise ValueError(f"{message} is outside the folder") from None
        wanted = posixpath.normpath(wanted)
        if wanted == ".." or wanted.startswith("../"):
            raise ValueError(f"{message} is outside the folder")
        if os.path.isfile(self.folder / wanted):
            return wanted
        alike = self._spelt.get(_spelling(wanted), [])
        if len(alike) == 1:
            return alike[0]
        if alike:
            raise ValueError(f"{message} does not exist; it may be any of {', '.join(map(repr, alike[:3]))}")
        if count := self._folders[wanted]:
            raise ValueError(f"{message} is a folder of {counted(count, 'file')}; expected one video or image")
        if os.path.exists(self.folder / wanted):
            raise ValueError(f"{message} is not a file")
        near = self._near.get(_stem(wanted))
        raise ValueError(f"{message} does not exist" + (f"; is {near!r} meant?" if near else ""))

    @cached_property
    def _spelt(self) -> Mapping[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in self.files:
            found.setdefault(_spelling(name), []).append(name)
        return found

    @cached_property
    def _folders(self) -> Counter[str]:
        return Counter(posixpath.dirname(name) for name in self.files)

    @cached_property
    def _near(self) -> Mapping[str, str]:
        return {_stem(name): name for name in reversed(self.files)}


def _spelling(name: str) -> str:
    return unicodedata.normalize("NFC", posixpath.normpath(name.replace("\\", "/"))).casefold()


def _stem(name: str) -> str:
    """The last part of a name, without its ending."""
    return posixpath.splitext(posixpath.basename(_spelling(name)))[0]
