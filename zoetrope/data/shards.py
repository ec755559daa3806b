"""Tar shards of captioned videos and images, as webdataset has them, on disk or on the web.

Where training stands in them is one integer, as everywhere: a sample is found by its number, from an index of each
shard, so that any number of processes reads them, from anywhere, without a sample lost or doubled. In each pass the
shards are shuffled, and their samples within a window of a few shards, so that only these are needed at a time; shards
on the web are downloaded whole, one after the other, when their window begins.

How clips are cut is told in `zoetrope.data._clips`.
"""

import glob
import itertools
import logging
import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import numpy as np
from pydantic import PositiveInt

from zoetrope.data import Dataset, Example, Features
from zoetrope.data._clips import FEATURES, ClipSource, Cutter, any_fits, features_of, fitting, reasons, unfit
from zoetrope.data._fetch import Refused, cached, fetch, is_url
from zoetrope.data._listing import Clip, Dropped, Report
from zoetrope.data._tar import SUFFIX, Index, Sample, index_of, read_index
from zoetrope.shapes import VideoShape
from zoetrope.text._cache import default_folder
from zoetrope.video import Member

K = TypeVar("K")
V = TypeVar("V")

_log = logging.getLogger(__name__)
_BRACES = re.compile(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}")
_ORDERS = 8
_MOST_DAMAGED = 100  # samples one after the other


class Shards(ClipSource):
    """Shards in a folder, or those that a pattern names: `train-*.tar`, `train-{000000..000012}.tar`, or such a URL.

    Attributes:
        window: how many shards are shuffled together.
        damaged: whether a missing or damaged shard, or a caption that is no text, is an error, or is passed over.
        cache: the folder that shards from the web are downloaded into. [`shards` in the cache of zoetrope]
    """

    window: PositiveInt = 4
    damaged: Literal["refuse", "skip"] = "refuse"
    cache: str | None = None

    def open(self) -> "ShardsDataset":
        """Read the index of every shard, and make those that are missing.

        Raises ValueError for damage, unless it is to be skipped, and for shards without one usable sample.
        """
        return ShardsDataset(self, *_opened(self))

    @property
    def features_folder(self) -> Path | None:
        """See `ClipSource`: beside the first shard; None for shards on the web."""
        return None if is_url(self.path) else Path(shard_paths(self.path)[0]).parent / FEATURES

    @property
    def downloads(self) -> Path:
        """The folder that shards from the web are downloaded into."""
        return default_folder().parent / "shards" if self.cache is None else Path(self.cache).expanduser()


class Shard(NamedTuple):
    """A shard of the web or of the disk, its short name, its size in bytes and its usable samples."""

    path: str
    name: str
    size: int
    samples: tuple[Sample, ...]


def scan(source: Shards, shape: VideoShape | None = None) -> Report:
    """What is usable in the shards, and why the rest is not; given a `shape`, for clips on that grid.

    Damage is listed too, and not an error here. Raises ValueError if no shards are there.
    """
    shards, dropped, faults = _read(source)
    kept = []
    dropped = [*dropped, *faults]
    for shard in shards:
        for sample in shard.samples:
            reason = unfit(sample.info, source, shape)
            if reason:
                dropped.append(Dropped(f"{shard.name}/{sample.name}", reason))
            else:
                kept.append(Clip(f"{shard.name}/{sample.name}", sample.text, sample.info))
    return Report(tuple(kept), tuple(sorted(dropped)))


def shard_paths(path: str) -> list[str]:
    """The shards that a folder, a pattern or an address means, in order. Raises ValueError if it means none.

    >>> shard_paths("https://host/train-{008..010}.tar")
    ['https://host/train-008.tar', 'https://host/train-009.tar', 'https://host/train-010.tar']
    """
    if is_url(path):
        found = list(_expanded(path))
        if bad := [url for url in found if not url.partition("?")[0].endswith(".tar")]:
            raise ValueError(
                f"{bad[0]}: expected the address of a .tar, or a pattern of them such as a-{{000..012}}.tar"
            )
        return found
    if Path(path).is_dir():
        found = [str(shard) for shard in sorted(Path(path).glob("*.tar"))]
    else:
        patterns = _expanded(str(Path(path).expanduser()))
        found = [one for each in patterns for one in (sorted(glob.glob(each)) if glob.has_magic(each) else [each])]
    if not found:
        raise ValueError(f"{path}: expected tar shards, there are none")
    return found


def is_shards(path: str) -> bool:
    """Whether a path means shards rather than a folder of files."""
    if is_url(path) or ".tar" in Path(path).name:
        return True
    return Path(path).is_dir() and any(Path(path).glob("*.tar"))


class ShardsDataset(Dataset):
    """The opened shards. Raises ValueError if none of them has a usable sample."""

    def __init__(self, source: Shards, shards: Sequence[Shard], dropped: Sequence[Dropped]) -> None:
        if not any(shard.samples for shard in shards):
            raise ValueError(f"{source.path}: no usable clip\n{reasons(dropped)}")
        self.source, self.shards, self.dropped = source, tuple(shards), tuple(dropped)
        self.cutter = Cutter(source)
        self._fitting: dict[tuple[int, float], list[np.ndarray]] = {}
        self._passes: dict[tuple[int, tuple[int, float]], tuple[np.ndarray, np.ndarray]] = {}
        self._windows: dict[tuple[int, int, tuple[int, float]], np.ndarray] = {}

    def captions(self) -> list[str]:
        """Every caption of a usable sample, sorted."""
        return sorted({sample.text for shard in self.shards for sample in shard.samples})

    def features(self) -> list[Features]:
        """See `Dataset`."""
        return features_of(self.source, self.captions())

    def gives(self, shape: VideoShape) -> bool:
        """See `Dataset`."""
        return any_fits((sample.info for shard in self.shards for sample in shard.samples), self.source, shape)

    def example(self, index: int, shape: VideoShape) -> Example:
        """A clip on the grid: each pass over the fitting samples has its own order, start times and windows.

        In place of a sample of which nothing can be decoded stands the next one that can.
        Raises ValueError if no sample fits the shape, if a shard is gone, or if all that follow are damaged.
        """
        if index < 0:
            raise ValueError(f"index: expected 0 or more, got {index}")
        skipped: list[str] = []
        while len(skipped) < _MOST_DAMAGED:
            shard, sample = self._at(index + len(skipped), shape)
            name = f"{shard.name}/{sample.name}"
            member = Member(self._local(shard), name, sample.offset, sample.size)
            try:
                video = self.cutter.clip(member, sample.info, shape, (self.source.seed, index))
            except ValueError as error:
                _log.debug("%s", error)
                skipped.append(name)
                continue
            return Example(video, sample.text, name, tuple(skipped))
        raise ValueError(f"{self.source.path}: {len(skipped)} samples in a row are damaged, from {skipped[0]} on")

    def _at(self, index: int, shape: VideoShape) -> tuple[Shard, Sample]:
        """The sample at a position of an endless row of passes."""
        key = (shape.frames, shape.fps)
        epoch, place = divmod(index, sum(map(len, self._fit(shape))))
        shards, stops = self._pass(epoch, key)
        number = int(np.searchsorted(stops, place, side="right"))
        order = self._window(epoch, number, key, shards)
        shard, sample = order[place - (stops[number - 1] if number else 0)]
        return self.shards[shard], self.shards[shard].samples[sample]

    def _pass(self, epoch: int, key: tuple[int, float]) -> tuple[np.ndarray, np.ndarray]:
        """The shards that have fitting samples, in the pass's order, and where each window of them ends."""
        if (epoch, key) not in self._passes:
            counts = np.array([len(samples) for samples in self._fitting[key]])
            filled = np.flatnonzero(counts)
            shards = np.random.default_rng((self.source.seed, epoch, len(filled))).permutation(filled)
            ends = np.cumsum(counts[shards])
            lasts = [min(k + self.source.window, len(ends)) - 1 for k in range(0, len(ends), self.source.window)]
            _remember(self._passes, (epoch, key), (shards, ends[lasts]))
        return self._passes[epoch, key]

    def _window(self, epoch: int, number: int, key: tuple[int, float], shards: np.ndarray) -> np.ndarray:
        """The (shard, sample) numbers of a window, (N, 2), in the pass's order; the next one's shards are sent for."""
        if (epoch, number, key) not in self._windows:
            first, length = number * self.source.window, self.source.window
            fitting = self._fitting[key]
            own = np.array([(s, sample) for s in shards[first : first + length] for sample in fitting[s]])
            order = np.random.default_rng((self.source.seed, epoch, number, len(own))).permutation(own)
            _remember(self._windows, (epoch, number, key), order)
            self._send_for([self.shards[s] for s in shards[first + length : first + 2 * length]])
        return self._windows[epoch, number, key]

    def _fit(self, shape: VideoShape) -> list[np.ndarray]:
        """Which samples of each shard fit the grid."""
        key = (shape.frames, shape.fps)
        if key not in self._fitting:
            infos = [sample.info for shard in self.shards for sample in shard.samples]
            places = np.array(fitting(infos, self.source, shape))
            starts = np.cumsum([0, *(len(shard.samples) for shard in self.shards)])
            cuts = np.searchsorted(places, starts)
            self._fitting[key] = [
                places[low:high] - start
                for (low, high), start in zip(itertools.pairwise(cuts), starts[:-1], strict=True)
            ]
        return self._fitting[key]

    def _local(self, shard: Shard) -> Path:
        """Where a shard lies, fetched from the web if it is not here."""
        return fetch(shard.path, self.source.downloads, shard.size) if is_url(shard.path) else Path(shard.path)

    def _send_for(self, shards: list[Shard]) -> None:
        """Fetch shards of the web that are not here yet, meanwhile."""
        missing = [s for s in shards if is_url(s.path) and not cached(s.path, self.source.downloads).exists()]
        if missing:
            threading.Thread(target=self._fetched, args=(missing,), daemon=True).start()

    def _fetched(self, shards: list[Shard]) -> None:
        for shard in shards:
            try:
                self._local(shard)
            except (ValueError, OSError) as error:
                _log.info("%s", error)  # who needs the shard meets the same error, and raises it
                return


def _opened(source: Shards) -> tuple[list[Shard], list[Dropped]]:
    """Usable shards and what is left out of them. Raises ValueError for damage, unless it is to be skipped."""
    shards, dropped, faults = _read(source)
    if faults and source.damaged == "refuse":
        more = f" ({len(faults)} in all)" if len(faults) > 1 else ""
        raise ValueError(
            f'{source.path}: {faults[0].name}: {faults[0].reason}{more}; damaged="skip" goes on without '
            "(on the command line: --set STAGE.training.data.damaged=skip)"
        )
    small = [(shard, [s for s in shard.samples if unfit(s.info, source, None) is None]) for shard in shards]
    left = [shard._replace(samples=tuple(kept)) for shard, kept in small]
    missed = [*faults, *dropped]
    if missed:
        _log.warning("%s: %d samples or shards are left out:\n%s", source.path, len(missed), reasons(missed))
    return left, missed


def _read(source: Shards) -> tuple[list[Shard], list[Dropped], list[Dropped]]:
    """Every shard with all that is in its index, what is dropped, and what is damaged or missing."""
    paths = shard_paths(source.path)
    names = [path.partition("?")[0].rpartition("/")[2] for path in paths]
    shards, dropped, faults = [], list[Dropped](), list[Dropped]()
    for path, name in zip(paths, names, strict=True):
        called = name if names.count(name) == 1 else path
        try:
            index = _index(path, source)
        except ValueError as error:
            faults.append(Dropped(called, str(error).removeprefix(f"{path}: ")))
            continue
        shards.append(Shard(path, called, index.size, index.samples))
        dropped += [Dropped(called + item.name.removeprefix(name), item.reason) for item in index.dropped]
        faults += [Dropped(called + item.name.removeprefix(name), item.reason) for item in index.faults]
    return shards, dropped, faults


def _index(path: str, source: Shards) -> Index:
    """The index of a shard. One of the web is downloaded only if it has none beside it there."""
    if not is_url(path):
        return index_of(Path(path), cached(f"{Path(path).absolute()}{SUFFIX}", source.downloads / "indices"))
    where, sign, query = path.partition("?")
    try:
        told = read_index(fetch(f"{where}{SUFFIX}{sign}{query}", source.downloads))
        if told is not None:
            return told
    except Refused:  # some servers say of what is not there that it is forbidden
        _log.info("%s: has no index beside it, and is downloaded to make one", path)
    local = fetch(path, source.downloads)
    return index_of(local, local.with_name(local.name + SUFFIX))


def _remember(orders: dict[K, V], key: K, order: V) -> None:
    """Keep an order, and forget the oldest of more than a few: the end of one pass and the start of the next meet."""
    orders[key] = order
    while len(orders) > _ORDERS:
        del orders[next(iter(orders))]


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
