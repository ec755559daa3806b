"""A folder of captioned videos and images: what a user has.

Captions are in `.txt` files beside the media (same stem), or in one `metadata.jsonl` or `metadata.csv` at the top with
a `file_name`, relative to the folder, and a `text`. Files that metadata does not name take the `.txt` beside them,
unless a `split`, a third field of metadata, is asked for. Several lines about one file are several examples. Images are
one-frame videos.

How clips are cut from the files is told in `zoetrope.data._clips`.
"""

from pathlib import Path

import numpy as np

from zoetrope.data import Dataset, Example, Features
from zoetrope.data._clips import ClipSource, Cutter, any_fits, features_of, fitting, reasons, unfit
from zoetrope.data._listing import Clip, Dropped, Report, listing
from zoetrope.shapes import VideoShape
from zoetrope.video import Info, probe

__all__ = ["Clip", "Dropped", "Folder", "FolderDataset", "Report", "scan"]


class Folder(ClipSource):
    """The folder `path`, shuffled anew in each pass; `split` keeps only what metadata marks with it."""

    path: str
    split: str | None = None

    def open(self) -> "FolderDataset":
        """Look at every file. Raises ValueError, with the first reasons, for a folder without one usable clip."""
        return FolderDataset(self, scan(self))


def scan(source: Folder, shape: VideoShape | None = None) -> Report:
    """What is usable in the folder, and why the rest is not; given a `shape`, for clips on that grid.

    Looks at every file and decodes its first picture. Raises ValueError if there is no such folder.
    """
    entries, dropped = listing(Path(source.path), source.split)
    kept: list[Clip] = []
    known: dict[str, Info | str] = {}
    for entry in entries:
        if entry.name not in known:
            known[entry.name] = _looked_at(Path(source.path) / entry.name)
        info = known[entry.name]
        reason = info if isinstance(info, str) else unfit(info, source, shape)
        if reason:
            dropped.append(Dropped(entry.name, reason))
        elif isinstance(info, Info):
            kept.append(Clip(entry.name, entry.text, info))
    return Report(tuple(kept), tuple(sorted(dropped)))


class FolderDataset(Dataset):
    """The opened folder. Raises ValueError if the report has no clip."""

    def __init__(self, source: Folder, report: Report) -> None:
        if not report.kept:
            raise ValueError(f"{source.path}: no usable clip\n{reasons(report.dropped)}")
        self.source = source
        self.report = report
        self.cutter = Cutter(source)
        self._fitting: dict[tuple[int, float], tuple[Clip, ...]] = {}
        self._order: tuple[tuple[int, int], np.ndarray] | None = None

    def captions(self) -> list[str]:
        """Every caption of a kept clip, sorted."""
        return sorted({clip.text for clip in self.report.kept})

    def features(self) -> list[Features]:
        """See `Dataset`."""
        return features_of(self.source, self.captions())

    def gives(self, shape: VideoShape) -> bool:
        """See `Dataset`."""
        return any_fits((clip.info for clip in self.report.kept), self.source, shape)

    def example(self, index: int, shape: VideoShape) -> Example:
        """A clip on the grid: each pass over the fitting clips has its own order, start times and windows.

        Raises ValueError, with the most frames that would fit, if no clip fits the shape.
        """
        if index < 0:
            raise ValueError(f"index: expected 0 or more, got {index}")
        clips = self._fit(shape)
        clip = clips[self._shuffled(index // len(clips), len(clips))[index % len(clips)]]
        video = self.cutter.clip(Path(self.source.path) / clip.name, clip.info, shape, (self.source.seed, index))
        return Example(video, clip.text, clip.name)

    def _fit(self, shape: VideoShape) -> tuple[Clip, ...]:
        key = (shape.frames, shape.fps)
        if key not in self._fitting:
            kept = self.report.kept
            self._fitting[key] = tuple(kept[k] for k in fitting([clip.info for clip in kept], self.source, shape))
        return self._fitting[key]

    def _shuffled(self, epoch: int, count: int) -> np.ndarray:
        if self._order is None or self._order[0] != (epoch, count):
            order = np.random.default_rng((self.source.seed, epoch, count)).permutation(count)
            self._order = ((epoch, count), order)
        return self._order[1]


def _looked_at(path: Path) -> Info | str:
    """What is in the file, or why it cannot be read."""
    try:
        return probe(path)
    except ValueError as error:
        return str(error).removeprefix(f"{path}: ")
