"""A folder of captioned videos and images: what a user has.

Captions are in `.txt` files beside the media (same stem), as "text" in a `.json` there, or in a `metadata.jsonl`,
`metadata.csv` or `metadata.tsv` with a `file_name`, relative to the metadata file, and a `text`. Files without metadata
use the caption beside them, unless a `split`, a third field of metadata, is requested. Several lines about one file
give several examples. Images are one-frame videos.

`zoetrope.data._clips` describes how clips are cut.
"""

from typing import Self

import numpy as np

from zoetrope.data import Contents, Dataset, Dropped, Example, Features, Unused
from zoetrope.data._clips import (
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
from zoetrope.data._fetch import expect_local
from zoetrope.data._listing import Clip, FolderReport, listing
from zoetrope.data._looks import remembered
from zoetrope.data._notes import notes_on
from zoetrope.data._splits import FileMark, marks_of
from zoetrope.shapes import VideoShape
from zoetrope.video import Info, probe
from zoetrope.video.decoding import PathLike

__all__ = ["Clip", "Dropped", "FileMark", "Folder", "FolderDataset", "FolderReport", "marks_of", "scan"]


class Folder(ClipSource):
    """A folder of videos and images with captions, shuffled anew in each pass.

    Attributes:
        split: use only files that the metadata mark with it, in the field "split"; None uses all.
        captions: whether files need a caption; otherwise all are used, and no caption is read.
    """

    path: str
    split: str | None = None
    captions: bool = True

    def open(self) -> "FolderDataset":
        """Look at every file. Raises ValueError, with the first reasons, for a folder without one usable clip."""
        return FolderDataset(self, scan(self))

    def located(self) -> Self:
        """See `Source`."""
        expect_local(self.path)
        return self.with_(path=str(self.place.absolute()))


def scan(source: Folder, shape: VideoShape | None = None) -> FolderReport:
    """What is usable in the folder, and why the rest is not; given a `shape`, for clips on that grid.

    Looks at every file that it does not know from before, and decodes its first picture. Raises ValueError if there is
    no such folder.
    """
    expect_local(source.path)
    listed = listing(source.place, source.split, source.captions)
    names = list(dict.fromkeys(entry.name for entry in listed.entries))
    known = remembered(source.place, names, listed.files, _looked_at)
    kept: list[Clip] = []
    dropped = list(listed.dropped)
    for entry in listed.entries:
        info = known[entry.name]
        reason = info if isinstance(info, str) else unfit(info, source, shape)
        if reason:
            dropped.append(Dropped(entry.name, reason))
        elif isinstance(info, Info):
            kept.append(Clip(entry.name, entry.text, info))
    seen = {clip.name: clip.info for clip in kept}
    return FolderReport(tuple(kept), tuple(sorted(dropped)), (*notes_on(seen.values()), *listed.notes))


class FolderDataset(Dataset):
    """The opened folder. Raises ValueError if the report has no clip."""

    def __init__(self, source: Folder, report: FolderReport) -> None:
        if not report.kept:
            raise ValueError(f"{source.path}: no usable clip\n{reasons(report)}")
        self.source = source
        self.report = report
        self.cutter = Cutter(source)
        self._fitting: dict[VideoShape, tuple[Clip, ...]] = {}
        self._order: tuple[tuple[int, int], np.ndarray] | None = None

    def captions(self) -> list[str]:
        """Every caption of a kept clip, sorted."""
        return sorted({clip.text for clip in self.report.kept} - {""})

    def features(self) -> list[Features]:
        """See `Dataset`."""
        return features_of(self.source, self.captions()) if self.source.captions else []

    def gives(self, shape: VideoShape) -> bool:
        """See `Dataset`."""
        return any_fits((clip.info for clip in self.report.kept), self.source, shape)

    def unused(self) -> list[Unused]:
        """See `Dataset`."""
        return [Unused(self.source.path, self.report.dropped, self.report.notes)]

    def contents(self) -> Contents:
        """See `Dataset`."""
        return contents_of(self.report.kept)

    def count(self, shape: VideoShape) -> int:
        """See `Dataset`."""
        return len(self._fit(shape))

    def example(self, index: int, shape: VideoShape) -> Example:
        """A clip on the grid: each pass over the fitting clips has its own order, start times and windows.

        A clip that can no longer be read is replaced by the next one that can.
        Raises ValueError, with the most frames that would fit, if no clip fits the shape, or if none can be read.
        """
        if index < 0:
            raise ValueError(f"index: expected 0 or more, got {index}")
        clips = self._fit(shape)
        return stand_in(self.cutter, lambda number: self._clip_at(number, clips), index, shape, len(clips))

    def _clip_at(self, index: int, clips: tuple[Clip, ...]) -> MediaFile:
        """The clip at a position of an endless row of passes."""
        clip = clips[self._shuffled(index // len(clips), len(clips))[index % len(clips)]]
        path: PathLike = self.source.place / clip.name
        return MediaFile(path, clip.info, clip.text, clip.name)

    def _fit(self, shape: VideoShape) -> tuple[Clip, ...]:
        if shape not in self._fitting:
            kept = self.report.kept
            self._fitting[shape] = tuple(kept[k] for k in fitting([clip.info for clip in kept], self.source, shape))
        return self._fitting[shape]

    def _shuffled(self, epoch: int, count: int) -> np.ndarray:
        if self._order is None or self._order[0] != (epoch, count):
            order = np.random.default_rng((self.source.seed, epoch, count)).permutation(count)
            self._order = ((epoch, count), order)
        return self._order[1]


def _looked_at(path: PathLike) -> Info | str:
    """What is in the file, or why it cannot be read."""
    try:
        return probe(path)
    except ValueError as error:
        return str(error).removeprefix(f"{path}: ")
