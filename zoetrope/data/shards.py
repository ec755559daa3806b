"""Tar shards of captioned videos and images, in webdataset's format, on disk or on the web.

The position in training is one integer: an index of each shard finds samples by number, so that any number of processes
can start anywhere without losing or repeating a sample. Each pass shuffles the shards, and the samples within a window
of a few shards, so that only these are needed at a time. Shards on the web are downloaded whole, one after the other,
when their window begins.

`zoetrope.data._clips` describes how clips are cut.
"""

import itertools
import logging
import os
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Self, TypeVar

import numpy as np
from pydantic import PositiveFloat, PositiveInt

from zoetrope.data import Contents, Dataset, Example, Features
from zoetrope.data._clips import (
    FEATURES,
    ClipSource,
    Cutter,
    MediaFile,
    any_fits,
    contents_of,
    features_of,
    fitting,
    reasons,
    stand_in,
    unfit,
)
from zoetrope.data._fetch import cached, expect_local, is_url
from zoetrope.data._listing import MEDIA, Clip, FolderReport
from zoetrope.data._notes import notes_on
from zoetrope.data._paths import is_shards, shard_paths
from zoetrope.data._tar import SUFFIX, Index, Sample, index_of
from zoetrope.data._unused import Dropped, Unused
from zoetrope.data._web import Web
from zoetrope.files import cache_folder
from zoetrope.shapes import VideoShape
from zoetrope.video import Member
from zoetrope.wording import counted

K = TypeVar("K")
V = TypeVar("V")

__all__ = ["Shards", "ShardsDataset", "is_shards", "scan", "shard_paths"]
_log = logging.getLogger(__name__)
_ORDERS = 8


class Shards(ClipSource):
    """Shards in a folder, or those that a pattern names: `train-*.tar`, `train-{000000..000012}.tar`, or such a URL.

    Attributes:
        window: how many shards are shuffled together.
        damaged: whether a missing or damaged shard, or a caption that is not text, is an error or is skipped.
        cache: the folder for downloaded shards. [`shards` in the cache of zoetrope]
        cache_gb: most gigabytes in that folder; the least recently used shards are deleted. [what the disk has]
    """

    window: PositiveInt = 4
    damaged: Literal["refuse", "skip"] = "refuse"
    cache: str | None = None
    cache_gb: PositiveFloat | None = None

    def open(self) -> "ShardsDataset":
        """Read the index of every shard, and make those that are missing.

        Raises ValueError for damage, unless it is to be skipped, and for shards without one usable sample.
        """
        return ShardsDataset(self, *_opened(self))

    @property
    def local(self) -> bool:
        """See `Source`."""
        return not is_url(self.path)

    @property
    def features_folder(self) -> Path | None:
        """See `ClipSource`: beside the first shard; None for shards on the web."""
        return None if is_url(self.path) else Path(shard_paths(self.path)[0]).parent / FEATURES

    @property
    def web(self) -> Web:
        """What keeps shards from the web."""
        folder = cache_folder("shards") if self.cache is None else Path(os.path.expanduser(self.cache))
        return Web(folder, None if self.cache_gb is None else int(self.cache_gb * 1e9))

    def located(self) -> Self:
        """See `Source`."""
        if is_url(self.path):
            where = self.path
        else:
            expect_local(self.path)
            where = str(self.place.absolute())
        cache = None if self.cache is None else str(self.web.folder.absolute())
        return self.with_(path=where, cache=cache)


class Shard(NamedTuple):
    """A shard of the web or of the disk, its short name, its size in bytes and its usable samples."""

    path: str
    name: str
    size: int
    samples: tuple[Sample, ...]


def scan(source: Shards, shape: VideoShape | None = None) -> FolderReport:
    """What is usable in the shards, and why the rest is not; given a `shape`, for clips on that grid.

    Damage is listed too, and not an error here. Raises ValueError if no shards are there.
    """
    shards, dropped, faults = _read_shards(source)
    kept = list[Clip]()
    dropped = [*dropped, *faults]
    for shard in shards:
        for sample in shard.samples:
            reason = unfit(sample.info, source, shape)
            if reason:
                dropped.append(Dropped(f"{shard.name}/{sample.name}", reason))
            else:
                kept.append(Clip(f"{shard.name}/{sample.name}", sample.text, sample.info))
    return FolderReport(tuple(kept), tuple(sorted(dropped)), _notes(source, shards))


class ShardsDataset(Dataset):
    """The opened shards. Raises ValueError if none of them has a usable sample."""

    def __init__(self, source: Shards, shards: Sequence[Shard], dropped: Sequence[Dropped]) -> None:
        self.notes = _notes(source, shards)
        if not any(shard.samples for shard in shards):
            raise ValueError(f"{source.path}: no usable clip\n{reasons(FolderReport((), tuple(dropped), self.notes))}")
        self.source, self.shards, self.dropped = source, tuple(shards), tuple(dropped)
        self.cutter = Cutter(source)
        self._fitting: dict[VideoShape, list[np.ndarray]] = {}
        self._passes: dict[tuple[int, VideoShape], tuple[np.ndarray, np.ndarray]] = {}
        self._windows: dict[tuple[int, int, VideoShape], np.ndarray] = {}

    def captions(self) -> list[str]:
        """Every caption of a usable sample, sorted."""
        return sorted({sample.text for shard in self.shards for sample in shard.samples} - {""})

    def features(self) -> list[Features]:
        """See `Dataset`."""
        return features_of(self.source, self.captions())

    def gives(self, shape: VideoShape) -> bool:
        """See `Dataset`."""
        return any_fits((sample.info for shard in self.shards for sample in shard.samples), self.source, shape)

    def unused(self) -> list[Unused]:
        """See `Dataset`."""
        return [Unused(self.source.path, self.dropped, self.notes)]

    def contents(self) -> Contents:
        """See `Dataset`."""
        return contents_of(
            Clip(f"{shard.name}/{one.name}", one.text, one.info) for shard in self.shards for one in shard.samples
        )

    def count(self, shape: VideoShape) -> int:
        """See `Dataset`."""
        return sum(map(len, self._fit(shape)))

    def example(self, index: int, shape: VideoShape) -> Example:
        """A clip on the grid: each pass over the fitting samples has its own order, start times and windows.

        A sample that cannot be decoded is replaced by the next one that can.
        Raises ValueError if no sample fits the shape, if a shard is gone, or if all that follow are damaged.
        """
        if index < 0:
            raise ValueError(f"index: expected 0 or more, got {index}")
        return stand_in(self.cutter, lambda number: self._piece(number, shape), index, shape, self.count(shape))

    def _piece(self, index: int, shape: VideoShape) -> MediaFile:
        shard, sample = self._sample_at(index, shape)
        name = f"{shard.name}/{sample.name}"
        return MediaFile(Member(self._local(shard), name, sample.offset, sample.size), sample.info, sample.text, name)

    def _sample_at(self, index: int, shape: VideoShape) -> tuple[Shard, Sample]:
        """The sample at a position of an endless row of passes."""
        epoch, place = divmod(index, sum(map(len, self._fit(shape))))
        shards, stops = self._pass(epoch, shape)
        number = int(np.searchsorted(stops, place, side="right"))
        order = self._window(epoch, number, shape, shards)
        shard, sample = order[place - (stops[number - 1] if number else 0)]
        return self.shards[shard], self.shards[shard].samples[sample]

    def _pass(self, epoch: int, shape: VideoShape) -> tuple[np.ndarray, np.ndarray]:
        """The shards that have fitting samples, in the pass's order, and where each window of them ends."""
        if (epoch, shape) not in self._passes:
            counts = np.array([len(samples) for samples in self._fitting[shape]])
            filled = np.flatnonzero(counts)
            shards = np.random.default_rng((self.source.seed, epoch, len(filled))).permutation(filled)
            ends = np.cumsum(counts[shards])
            lasts = [min(k + self.source.window, len(ends)) - 1 for k in range(0, len(ends), self.source.window)]
            _remember(self._passes, (epoch, shape), (shards, ends[lasts]))
        return self._passes[epoch, shape]

    def _window(self, epoch: int, number: int, shape: VideoShape, shards: np.ndarray) -> np.ndarray:
        """The (shard, sample) numbers of a window, (N, 2), in the pass's order; the next one's shards are sent for."""
        if (epoch, number, shape) not in self._windows:
            first, length = number * self.source.window, self.source.window
            fitting = self._fitting[shape]
            own = np.array([(s, sample) for s in shards[first : first + length] for sample in fitting[s]])
            order = np.random.default_rng((self.source.seed, epoch, number, len(own))).permutation(own)
            _remember(self._windows, (epoch, number, shape), order)
            self._send_for([self.shards[s] for s in shards[first + length : first + 2 * length]])
        return self._windows[epoch, number, shape]

    def _fit(self, shape: VideoShape) -> list[np.ndarray]:
        """Which samples of each shard fit the grid."""
        if shape not in self._fitting:
            infos = [sample.info for shard in self.shards for sample in shard.samples]
            places = np.array(fitting(infos, self.source, shape))
            starts = np.cumsum([0, *(len(shard.samples) for shard in self.shards)])
            cuts = np.searchsorted(places, starts)
            self._fitting[shape] = [
                places[low:high] - start
                for (low, high), start in zip(itertools.pairwise(cuts), starts[:-1], strict=True)
            ]
        return self._fitting[shape]

    def _local(self, shard: Shard) -> Path:
        """Where a shard lies, fetched from the web if it is not here."""
        return self.source.web.shard(shard.path, shard.size) if is_url(shard.path) else Path(shard.path)

    def _send_for(self, shards: list[Shard]) -> None:
        """Fetch shards of the web that are not here yet, meanwhile."""
        missing = [s for s in shards if is_url(s.path) and not cached(s.path, self.source.web.folder).exists()]
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
    shards, dropped, faults = _read_shards(source)
    if faults and source.damaged == "refuse":
        more = f" ({len(faults)} in all)" if len(faults) > 1 else ""
        raise ValueError(
            f'{source.path}: {faults[0].name}: {faults[0].reason}{more}; damaged="skip" goes on without '
            "(on the command line: --set STAGE.training.data.damaged=skip)"
        )
    left, missed = list[Shard](), [*faults, *dropped]
    for shard in shards:
        faulty = [(sample, unfit(sample.info, source, None)) for sample in shard.samples]
        left.append(shard._replace(samples=tuple(sample for sample, reason in faulty if reason is None)))
        missed += [Dropped(f"{shard.name}/{sample.name}", reason) for sample, reason in faulty if reason is not None]
    return left, sorted(missed)


def _read_shards(source: Shards) -> tuple[list[Shard], list[Dropped], list[Dropped]]:
    """Every shard with all that is in its index, what is dropped, and what is damaged or missing."""
    paths = shard_paths(source.path)
    names = [path.partition("?")[0].rpartition("/")[2] for path in paths]
    times = Counter(names)
    shards, dropped, faults = [], list[Dropped](), list[Dropped]()
    for path, name, index in zip(paths, names, _indices(paths, source), strict=True):
        called = name if times[name] == 1 else path
        if isinstance(index, ValueError):
            faults.append(Dropped(called, str(index).removeprefix(f"{path}: ")))
            continue
        shards.append(Shard(path, called, index.size, index.samples))
        dropped += [Dropped(called + item.name.removeprefix(name), item.reason) for item in index.dropped]
        faults += [Dropped(called + item.name.removeprefix(name), item.reason) for item in index.faults]
    return shards, dropped, faults


def _indices(paths: Sequence[str], source: Shards) -> list[Index | ValueError]:
    """The index of every shard, or why there is none. Those of the web are downloaded only if they have none there."""
    if is_url(paths[0]):
        source.web.refresh(paths)
        return source.web.indices(paths)
    found = list[Index | ValueError]()
    for path in map(Path, paths):
        elsewhere = cached(f"{path.absolute()}{SUFFIX}", source.web.folder / "indices")
        try:
            found.append(index_of(path, path.with_name(path.name + SUFFIX), elsewhere))
        except ValueError as error:
            found.append(error)
    return found


def _notes(source: Shards, shards: Sequence[Shard]) -> tuple[str, ...]:
    """What of the samples is not used, and of a folder what lies beside its shards."""
    notes = notes_on(sample.info for shard in shards for sample in shard.samples)
    if is_url(source.path) or not source.place.is_dir():
        return notes
    beside = sum(path.suffix.lower() in MEDIA for path in source.place.iterdir())
    return (*notes, f"{counted(beside, 'video and image file')} beside the shards: not read") if beside else notes


def _remember(orders: dict[K, V], key: K, order: V) -> None:
    """Cache an order, and drop the oldest of more than a few: the end of one pass overlaps the start of the next."""
    orders[key] = order
    while len(orders) > _ORDERS:
        del orders[next(iter(orders))]
