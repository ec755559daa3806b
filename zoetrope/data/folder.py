"""A folder of captioned videos and images: what a user has.

Captions are in `.txt` files beside the media (same stem), or in one `metadata.jsonl` or `metadata.csv` at the top with
a `file_name`, relative to the folder, and a `text`. Files that metadata does not name take the `.txt` beside them,
unless a `split`, a third field of metadata, is asked for. Several lines about one file are several examples. Images are
one-frame videos.

A clip of one frame comes from any file, at a random time. A clip of F > 1 frames comes from videos only, never from an
image: a repeated picture would teach that nothing moves. It starts at a random time that lets it fit. Of a video too
short for F frames at the asked rate, `short="hold"` shows the last picture on if at least half of the frames exist,
`short="slow"` plays all of it slower, if it has F pictures, and `short="drop"` leaves it out. One window is cut from
a whole clip, at a random place along the side that overhangs, after resizing it until it covers the grid; so what does
not move in the file does not move in the clip.
"""

import logging
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import NonNegativeInt, PositiveInt

from zoetrope.data import Dataset, Example, Source
from zoetrope.data._listing import Clip, Dropped, Report, listing
from zoetrope.shapes import VideoShape
from zoetrope.video import Info, Track, Video, probe, read_probed, read_track
from zoetrope.video.decoding import Size, cover, cut
from zoetrope.video.timing import moments

__all__ = ["Clip", "Dropped", "Folder", "FolderDataset", "Report", "scan"]

_log = logging.getLogger(__name__)
_SHOWN_REASONS = 20
_LARGEST_SHARE = 16  # of the memory for decoded clips that one clip may take


class Folder(Source):
    """The folder `path`, shuffled anew in each pass by `seed`.

    `split` keeps only what metadata marks with it; files smaller than `min_height` x `min_width` are left out, others
    are enlarged if they must be. Decoded small clips stay in memory up to `cache_mb` megabytes.
    """

    path: str
    seed: NonNegativeInt = 0
    split: str | None = None
    short: Literal["hold", "slow", "drop"] = "hold"
    min_height: PositiveInt = 1
    min_width: PositiveInt = 1
    cache_mb: NonNegativeInt = 512

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
        reason = info if isinstance(info, str) else _unfit(info, source, shape)
        if reason:
            dropped.append(Dropped(entry.name, reason))
        elif isinstance(info, Info):
            kept.append(Clip(entry.name, entry.text, info))
    return Report(tuple(kept), tuple(sorted(dropped)))


class FolderDataset(Dataset):
    """The opened folder. Raises ValueError if the report has no clip."""

    def __init__(self, source: Folder, report: Report) -> None:
        if not report.kept:
            raise ValueError(f"{source.path}: no usable clip\n{_reasons(report.dropped)}")
        self.source = source
        self.report = report
        self._fitting: dict[tuple[int, float], tuple[Clip, ...]] = {}
        self._order: tuple[tuple[int, int], np.ndarray] | None = None
        self._tracks: OrderedDict[tuple[str, int, int], Track] = OrderedDict()
        self.cached_bytes = 0

    def captions(self) -> list[str]:
        """Every caption of a kept clip, sorted."""
        return sorted({clip.text for clip in self.report.kept})

    def example(self, index: int, shape: VideoShape) -> Example:
        """A clip on the grid: each pass over the fitting clips has its own order, start times and windows.

        Raises ValueError, with the most frames that would fit, if no clip fits the shape.
        """
        if index < 0:
            raise ValueError(f"index: expected 0 or more, got {index}")
        clips = self._fit(shape)
        clip = clips[self._shuffled(index // len(clips), len(clips))[index % len(clips)]]
        random = np.random.default_rng((self.source.seed, index))
        when, across, down = random.random(3)
        frames = self._frames(clip, shape, when, (down, across))
        missing = shape.frames - len(frames)
        if missing:
            frames = np.concatenate([frames, np.repeat(frames[-1:], missing, axis=0)])
        return Example(Video(frames, shape.fps).to_tensor(), clip.text)

    def _fit(self, shape: VideoShape) -> tuple[Clip, ...]:
        key = (shape.frames, shape.fps)
        if key not in self._fitting:
            verdicts = [(clip, _too_short(clip.info, self.source, shape)) for clip in self.report.kept]
            fitting = tuple(clip for clip, reason in verdicts if reason is None)
            if not fitting:
                raise ValueError(_none_fits(self.report.kept, self.source, shape))
            if len(fitting) < len(verdicts):
                _log.info("%s: %d of %d clips fit %s", self.source.path, len(fitting), len(verdicts), shape)
            self._fitting[key] = fitting
        return self._fitting[key]

    def _shuffled(self, epoch: int, count: int) -> np.ndarray:
        if self._order is None or self._order[0] != (epoch, count):
            order = np.random.default_rng((self.source.seed, epoch, count)).permutation(count)
            self._order = ((epoch, count), order)
        return self._order[1]

    def _frames(self, clip: Clip, shape: VideoShape, when: float, crop: tuple[float, float]) -> np.ndarray:
        """The decoded window of the clip, at most shape.frames pictures; `when` and `crop` are places in [0, 1)."""
        info, size = clip.info, (shape.height, shape.width)
        path = Path(self.source.path) / clip.name
        track = None if info.still else self._track(clip, path, size)
        seconds = info.seconds if track is None else track.seconds
        fps = shape.fps if self.source.short != "slow" else max(shape.fps, shape.frames / seconds)
        start = when * max(0.0, seconds - shape.frames / fps)
        if track is not None:
            return cut(track.at(fps, start, shape.frames), size, crop)
        try:
            video = read_probed(path, info, fps=fps, start=start, frames=shape.frames, size=size, crop=crop)
        except ValueError:
            _log.warning("%s: decodes less than it claims; its beginning is used", path)
            video = read_probed(path, info, fps=fps, start=0.0, frames=shape.frames, size=size, crop=crop)
        return video.frames

    def _track(self, clip: Clip, path: Path, size: Size) -> Track | None:
        """The whole clip decoded, from memory if it was there; None if it is too large to keep."""
        budget = self.source.cache_mb * 2**20
        height, width = cover((clip.info.height, clip.info.width), size)
        if not clip.info.exact or clip.info.frames * height * width * 3 > budget / _LARGEST_SHARE:
            return None
        key = (clip.name, *size)
        if key in self._tracks:
            self._tracks.move_to_end(key)
            return self._tracks[key]
        track = read_track(path, clip.info, size)
        self._tracks[key] = track
        self.cached_bytes += track.frames.nbytes
        while self.cached_bytes > budget and len(self._tracks) > 1:
            self.cached_bytes -= self._tracks.popitem(last=False)[1].frames.nbytes
        return track


def _looked_at(path: Path) -> Info | str:
    """What is in the file, or why it cannot be read."""
    try:
        return probe(path)
    except ValueError as error:
        return str(error).removeprefix(f"{path}: ")


def _unfit(info: Info, source: Folder, shape: VideoShape | None) -> str | None:
    if info.height < source.min_height or info.width < source.min_width:
        return f"too small: {info.height}x{info.width}, expected at least {source.min_height}x{source.min_width}"
    return None if shape is None else _too_short(info, source, shape)


def _too_short(info: Info, source: Folder, shape: VideoShape) -> str | None:
    longest = _longest(info, source, shape.fps)
    if shape.frames <= longest:
        return None
    kind = "an image" if info.still else f"too short: {info.seconds:.2f} s"
    way_out = '; short="slow" plays it slower' if _slow_helps(info, source, shape) else ""
    return f"{kind}, gives at most {longest} of {shape.frames} frames at {shape.fps:g} fps{way_out}"


def _slow_helps(info: Info, source: Folder, shape: VideoShape) -> bool:
    """Whether a file too short for the shape would give a clip if it could be played slower."""
    return source.short != "slow" and not info.still and shape.frames <= info.frames


def _none_fits(clips: Sequence[Clip], source: Folder, shape: VideoShape) -> str:
    most = max(_longest(clip.info, source, shape.fps) for clip in clips)
    said = f"{source.path}: no clip has {shape.frames} frames at {shape.fps:g} fps; the most that fit is {most}"
    helped = sum(_slow_helps(clip.info, source, shape) for clip in clips)
    if not helped:
        return said
    return (
        f'{said}. With short="slow" {helped} of {len(clips)} clips fit, played slower '
        "(on the command line: --set STAGE.training.data.short=slow)"
    )


def _longest(info: Info, source: Folder, fps: float) -> int:
    """The most frames at this rate that a clip of the file may have."""
    if info.still:
        return 1
    if source.short == "slow":
        return info.frames
    present = max(1, len(moments(0.0, fps, info.seconds, info.slack, None)))
    return 2 * present if source.short == "hold" and present > 1 else present


def _reasons(dropped: Sequence[Dropped]) -> str:
    lines = [f"  {name}: {reason}" for name, reason in dropped[:_SHOWN_REASONS]]
    more = len(dropped) - len(lines)
    return "\n".join([*lines, *([f"  and {more} more"] if more else [])]) or "  it holds no videos or images"
