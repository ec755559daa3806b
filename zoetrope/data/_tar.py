"""What is in a tar shard: read from its headers once, and kept as JSON beside it.

A sample is what webdataset takes for one: members one after the other whose names are the same up to the first dot of
the file name. It needs a video or an image and a caption, in `txt` or as "text" of a `json`; of two captions `txt` and
the shorter name come first.
"""

import json
import os
import re
import tarfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple

from filelock import FileLock

from zoetrope.config import Config
from zoetrope.data._listing import IMAGES, VIDEOS, Dropped
from zoetrope.video import Info, Member, probe

SUFFIX = ".index.json"
_NAME = re.compile(r"((?:.*/)?[^./][^./]*)\.([^/]+)")
_BLOCK = 512


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
        format: goes up with every change of what is kept, so that it is found out anew.
        samples: usable ones, in the shard's order.
        dropped: what else there is and gives no clip, with the reason.
        faults: damage to the shard or to a caption, with which a data set is not opened unless it is told to skip it.
    """

    format: Literal[2] = 2
    size: int
    mtime_ns: int
    samples: tuple[Sample, ...]
    dropped: tuple[Dropped, ...]
    faults: tuple[Dropped, ...]


class _File(NamedTuple):
    name: str
    offset: int
    size: int


def index_of(shard: Path, elsewhere: Path | None = None) -> Index:
    """The index of a local shard, from beside it, or made and written there, or to `elsewhere` if that cannot be.

    With such another place, of several processes that need the index one makes it. Raises ValueError if there is no
    such shard.
    """
    try:
        state = shard.stat()
    except OSError as error:
        raise ValueError(f"{shard}: expected a tar shard, it cannot be read ({error.strerror})") from None
    beside = shard.with_name(shard.name + SUFFIX)
    if elsewhere is None:
        return _found(state, beside) or _written(_made(shard, state), beside)
    if found := _found(state, beside, elsewhere):
        return found
    elsewhere.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{elsewhere}.lock"):
        if found := _found(state, beside, elsewhere):
            return found
        made = _made(shard, state)
        try:
            return _written(made, beside)
        except OSError:  # a folder that is not ours to write in
            return _written(made, elsewhere)


def read_index(path: Path) -> Index | None:
    """The index in a file; None if there is none, or one of another version."""
    try:
        return Index.from_json(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None


def _found(state: os.stat_result, *places: Path) -> Index | None:
    """The index of the shard as it is now, from the first place that has it."""
    for path in places:
        found = read_index(path)
        if found is not None and (found.size, found.mtime_ns) == (state.st_size, state.st_mtime_ns):
            return found
    return None


def _written(index: Index, path: Path) -> Index:
    """The index, once it is in a file, which appears whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(json.dumps(index.to_json()), "utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return index


def _made(shard: Path, state: os.stat_result) -> Index:
    files, faults = _members(shard, state.st_size)
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
    found: list[tuple[str, str, _File]] = []
    for name, members in groups:
        called = f"{shard.name}/{name}"
        media = [kind for kind in members if f".{_last(kind)}" in IMAGES | VIDEOS]
        if len(media) != 1:
            said = f"holds {' and '.join(sorted(media))}; expected one video or image" if media else "holds no video"
            dropped.append(Dropped(called, said))
            continue
        try:
            text = _caption(shard, members)
        except ValueError as error:
            faults.append(Dropped(called, str(error)))
            continue
        if text:
            found.append((name, text, members[media[0]]))
        else:
            dropped.append(Dropped(called, "has no caption" if text is None else "its caption is empty"))
    samples = []
    for (name, text, file), info in zip(found, _probed(shard, [file for _, _, file in found]), strict=True):
        if isinstance(info, Info):
            samples.append(Sample(name, text, file.offset, file.size, info))
        else:
            dropped.append(Dropped(f"{shard.name}/{name}", info))
    return Index(
        size=state.st_size, mtime_ns=state.st_mtime_ns,
        samples=tuple(samples), dropped=tuple(dropped), faults=tuple(faults),
    )  # fmt: skip


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


def _caption(shard: Path, members: dict[str, _File]) -> str | None:
    """A sample's caption, "" if it is blank, None without one. Raises ValueError for one that is no text."""
    kinds = [kind for last in ("txt", "json") for kind in sorted(members, key=len) if _last(kind) == last]
    if not kinds:
        return None
    file = members[kinds[0]]
    content = Member(shard, file.name, file.offset, file.size).read()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"expected UTF-8 text in {file.name!r}") from None
    if _last(kinds[0]) == "json":
        try:
            value = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"expected JSON in {file.name!r}, got an error ({error.msg})") from None
        if not isinstance(value, dict) or "text" not in value:
            got = f"only {', '.join(map(repr, value)) or 'an empty one'}" if isinstance(value, dict) else _kind(value)
            raise ValueError(f"expected a JSON object with a 'text' in {file.name!r}, got {got}")
        text = value["text"]
        if not isinstance(text, str):
            raise ValueError(f"expected a string for 'text' in {file.name!r}, got {_kind(text)}")
    return " ".join(text.split())


def _last(kind: str) -> str:
    """The part of a member's name that says what it is: "mp4" of "part1.mp4"."""
    return kind.rpartition(".")[2]


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _probed(shard: Path, files: Sequence[_File]) -> list[Info | str]:
    """What is in each file, or why it cannot be read."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(lambda file: _looked_at(Member(shard, file.name, file.offset, file.size)), files))


def _looked_at(member: Member) -> Info | str:
    try:
        return probe(member)
    except ValueError as error:
        return str(error).removeprefix(f"{member.name}: ")
