"""The index of a tar shard: read from its headers once, and stored as JSON beside it.

Samples are those of webdataset: consecutive members whose names are equal up to the first dot of the file name. A
sample needs a video or an image and a caption, in `txt` or as "text" of a `json`; of several captions `txt` takes
precedence, then the shorter name.
"""

import json
import logging
import os
import re
import stat
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal, NamedTuple, Self

from filelock import FileLock
from pydantic import model_validator

from zoetrope.config import Config
from zoetrope.data._captions import LONGEST, caption_of, single_spaced
from zoetrope.data._files import FileState
from zoetrope.data._listing import MEDIA
from zoetrope.data._unused import Dropped
from zoetrope.files import write_text
from zoetrope.files.plain import read_plain
from zoetrope.video import Info, Member, probe

_log = logging.getLogger(__name__)
SUFFIX = ".index.json"
_NAME = re.compile(r"((?:.*/)?[^./][^./]*)\.([^/]+)")
_BLOCK = 512
_LARGEST_INDEX = 2**28


class Sample(NamedTuple):
    """A usable sample: its name in the shard, caption, and where its video or image lies, with what is in it."""

    name: str
    text: str
    offset: int
    size: int
    info: Info


class Index(Config):
    """What a shard of so many bytes, last changed at `mtime_ns`, holds.

    Attributes:
        format: increases with every change of the index, so that older ones are rebuilt.
        samples: usable ones, in the shard's order.
        dropped: everything else, which gives no clip, with the reason.
        faults: damage to the shard or to a caption; a data set with faults opens only if it may skip them.
    """

    format: Literal[3] = 3
    size: int
    mtime_ns: int
    samples: tuple[Sample, ...]
    dropped: tuple[Dropped, ...]
    faults: tuple[Dropped, ...]

    @model_validator(mode="after")
    def _true(self) -> Self:
        """An index may come from anywhere: what it says has to lie within the shard, and to be text."""
        for sample in self.samples:
            if not 0 <= sample.offset <= sample.offset + sample.size <= self.size:
                raise ValueError(f"{sample.name}: expected to lie within {self.size} bytes")
            if sample.text != single_spaced(sample.text):
                raise ValueError(f"{sample.name}: expected a caption on one line")
        return self


class _File(NamedTuple):
    name: str
    offset: int
    size: int


def index_of(shard: Path, *places: Path) -> Index:
    """The index of a local shard, from the first of `places` that has it, or made and written to the first that can be.

    Without places it lies beside the shard, and has to. With some, of several processes that need the index one makes
    it. Raises ValueError if there is no such shard.
    """
    try:
        state = shard.stat()
        if not stat.S_ISREG(state.st_mode):
            raise ValueError(f"{shard}: expected a tar shard, got a folder, a pipe or a device")
    except OSError as error:
        raise ValueError(f"{shard}: expected a tar shard, it cannot be read ({error.strerror})") from None
    if not places:
        beside = shard.with_name(shard.name + SUFFIX)
        return _found(state, beside) or _written(_made_index(shard, state), beside)
    if found := _found(state, *places):
        return found
    with _alone(places[-1]):
        if found := _found(state, *places):
            return found
        made = _made_index(shard, state)
        for place in places:
            try:
                return _written(made, place)
            except OSError as error:  # a folder that is not ours to write in
                _log.info("%s: cannot be written (%s)", place, error.strerror)
        return made


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time, where a lock can be written."""
    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(f"{path}.lock"))
        except OSError as error:
            _log.info("%s.lock: cannot be written (%s)", path, error.strerror)
        yield


def read_index(path: Path) -> Index | None:
    """The index in a file; None if there is none, or one of another version, or one that cannot be true."""
    try:
        return Index.from_json(read_plain(path, _LARGEST_INDEX).decode())
    except (OSError, ValueError, RecursionError):
        return None


def not_a_tar(path: Path) -> str | None:
    """What is wrong with a file that should be a tar, as far as its first header tells; None if it may be one."""
    try:
        with tarfile.open(path, "r:"):
            return None
    except tarfile.ReadError as error:
        return f"expected an uncompressed tar file, got none ({error})"


def not_an_index(path: Path) -> str | None:
    """What is wrong with a file that should be an index; None if nothing is."""
    return None if read_index(path) is not None else "expected an index of this version, got none"


def _found(state: os.stat_result, *places: Path) -> Index | None:
    """The index of the shard as it is now, from the first place that has it."""
    for path in places:
        found = read_index(path)
        if found is not None and (found.size, found.mtime_ns) == (state.st_size, state.st_mtime_ns):
            return found
    return None


def _written(index: Index, path: Path) -> Index:
    """The index, once it is in a file, which appears whole or not at all."""
    write_text(path, json.dumps(index.to_json()))
    return index


def _made_index(shard: Path, state: os.stat_result) -> Index:
    """The index. Raises ValueError if the shard is changed or deleted meanwhile."""
    try:
        files, faults = _members(shard, state.st_size)
    except OSError as error:
        raise ValueError(f"{shard}: expected a tar shard, it cannot be read ({error.strerror})") from None
    groups, dropped = _grouped(shard, files)
    times = Counter(name for name, _ in groups)
    apart: dict[str, list[str]] = {}
    found: list[tuple[str, str, _File]] = []
    for name, members in groups:
        called = f"{shard.name}/{name}"
        media = [kind for kind in members if f".{_last(kind)}" in MEDIA]
        texts = _texts(members)
        if times[name] > 1 and not (media and texts):
            apart.setdefault(name, []).extend(members)
        elif len(media) != 1:
            dropped.append(Dropped(called, _no_single(media, members)))
        elif not texts:
            others = [kind for kind in members if kind not in media]
            message = f"has no caption in txt or json, only {' and '.join(others)}" if others else "has no caption"
            dropped.append(Dropped(called, message))
        else:
            try:
                text = _caption(shard, members[texts[0]])
            except ValueError as error:
                faults.append(Dropped(called, str(error)))
                continue
            if text:
                found.append((name, text, members[media[0]]))
            else:
                dropped.append(Dropped(called, "its caption is empty"))
    dropped += [Dropped(f"{shard.name}/{name}", _apart(kinds)) for name, kinds in apart.items()]
    samples = []
    for (name, text, file), info in zip(found, _probed(shard, [file for _, _, file in found]), strict=True):
        if isinstance(info, Info):
            samples.append(Sample(name, text, file.offset, file.size, info))
        else:
            dropped.append(Dropped(f"{shard.name}/{name}", info))
    if _state(shard) != FileState(state.st_size, state.st_mtime_ns):
        raise ValueError(f"{shard}: has been changed while its index was made")
    return Index(
        size=state.st_size, mtime_ns=state.st_mtime_ns,
        samples=tuple(samples), dropped=tuple(dropped), faults=tuple(faults),
    )  # fmt: skip


def _state(path: Path) -> FileState | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return FileState(found.st_size, found.st_mtime_ns)


def _grouped(shard: Path, files: Sequence[_File]) -> tuple[list[tuple[str, dict[str, _File]]], list[Dropped]]:
    """The members of each sample by their kinds, and those that are there twice."""
    groups: list[tuple[str, dict[str, _File]]] = []
    dropped: list[Dropped] = []
    for file in files:
        match = _NAME.fullmatch(file.name)
        if match is None or file.name.startswith("__"):
            continue  # as webdataset does: no sample has such a name
        name, kind = match[1], match[2].lower()
        if not groups or groups[-1][0] != name:
            groups.append((name, {}))
        if kind in groups[-1][1]:
            dropped.append(Dropped(f"{shard.name}/{name}", f"has two members {kind!r}; the first is used"))
        groups[-1][1].setdefault(kind, file)
    return groups, dropped


def _no_single(media: Sequence[str], members: Sequence[str] | dict[str, _File]) -> str:
    if media:
        return f"holds {' and '.join(sorted(media))}; expected one video or image"
    return f"holds no video or image, only {' and '.join(members)}"


def _apart(kinds: Sequence[str]) -> str:
    return f"its members ({', '.join(kinds)}) lie apart; those of a sample have to follow one another, sorted by name"


def _members(shard: Path, size: int) -> tuple[list[_File], list[Dropped]]:
    """The whole files in a shard, and what is wrong with it: tarfile alone would take damage for the end."""
    found: list[_File] = []
    with shard.open("rb") as raw:
        try:
            with tarfile.open(fileobj=raw, mode="r:") as tar:
                end = _read_headers(tar, found)
        except tarfile.ReadError as error:
            reason = f"expected an uncompressed tar file, got none ({error})" if size else "is empty"
            return [], [Dropped(shard.name, reason)]
        raw.seek(end)
        last = raw.read(_BLOCK)
    if found and found[-1].offset + found[-1].size > size:
        cut = found.pop()
        return found, [Dropped(shard.name, f"is cut off at byte {size}, in the middle of {cut.name!r}")]
    if len(last) < _BLOCK:
        return found, [Dropped(shard.name, f"is cut off at byte {size}: the mark of its end is missing")]
    if any(last):
        return found, [Dropped(shard.name, f"is damaged at byte {end}: expected a header there")]
    return found, []


def _read_headers(tar: tarfile.TarFile, found: list[_File]) -> int:
    """Collect the files of a tar up to its end or to damage; the byte at which that is."""
    try:
        for member in tar:
            if member.isreg():
                found.append(_File(member.name, member.offset_data, member.size))
    except tarfile.ReadError:
        pass  # the caller finds out what is where the reading ended
    return tar.offset


def _texts(members: dict[str, _File]) -> list[str]:
    """The kinds of a sample's captions, the one that is used first."""
    return [kind for last in ("txt", "json") for kind in sorted(members, key=len) if _last(kind) == last]


def _caption(shard: Path, file: _File) -> str:
    """A sample's caption, "" if it is blank. Raises ValueError for one that is no text."""
    content = Member(shard, file.name, file.offset, min(file.size, LONGEST + 1)).read()
    try:
        return caption_of(content, as_json=file.name.lower().endswith(".json"))
    except ValueError as error:
        raise ValueError(f"{file.name!r} {error}") from None


def _last(kind: str) -> str:
    """The part of a member's name that says what it is: "mp4" of "part1.mp4"."""
    return kind.rpartition(".")[2]


def _probed(shard: Path, files: Sequence[_File]) -> list[Info | str]:
    """What is in each file, or why it cannot be read."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(lambda file: _looked_at(Member(shard, file.name, file.offset, file.size)), files))


def _looked_at(member: Member) -> Info | str:
    try:
        return probe(member)
    except ValueError as error:
        return str(error).removeprefix(f"{member.name}: ")
