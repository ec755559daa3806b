"""Cutting clips of any grid from media files, wherever they lie.

A clip of one frame comes from any file, at a random time. A clip of F > 1 frames comes from videos only, never from an
image: a repeated picture would teach that nothing moves. It starts at a random time at which it fits. If a video is too
short for F frames at the requested rate, `short="hold"` repeats the last picture if at least half of the frames exist,
`short="slow"` plays all of it slower, if it has F pictures, and `short="drop"` skips it. A video whose rate is equal to
the requested one up to 1 % gives each picture once, see `zoetrope.video.rate_to_read`. Frames are resized to cover
the grid, and all of a clip are cropped to the same window, at a random place along the side that exceeds the grid; so
what is still in the file is still in the clip.
"""

import hashlib
import json
import logging
import math
import os
from abc import ABC
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from zoetrope.config.errors import reason
from zoetrope.data import Contents, Example, Features, Source
from zoetrope.data._listing import Clip, FolderReport
from zoetrope.data._unused import Dropped, grouped
from zoetrope.shapes import VideoShape
from zoetrope.video import Info, Member, Track, Video, rate_to_read, read_probed, read_track
from zoetrope.video.decoding import PathLike, Size, cover, cut
from zoetrope.video.timing import count_moments
from zoetrope.wording import counted

_log = logging.getLogger(__name__)
FEATURES = "embeddings"
_TRIES = 5
_MOST_SKIPPED = 100  # clips one after the other
_MOST_FRAMES = 10**6  # that are told apart where clips are too short or long enough
_MOST_PIXELS = 10**8  # of a picture, once it covers a grid
_LARGEST_SHARE = 16  # of the memory for decoded clips that one clip may take


class ClipSource(Source, ABC):
    """A set of media files, in `path`, to cut clips from.

    Attributes:
        path: of the files; relative to the current folder, "~" is the home folder.
        seed: of the order in each pass, and of the start times of clips.
        short: how to treat a video too short for a clip: "hold" repeats its last picture if at least half of the frames
            exist, "slow" plays it slower, "drop" skips it.
        min_height, min_width: smaller files are skipped; others are enlarged if necessary.
        cache_mb: megabytes of memory for decoded clips; 0 keeps none.
    """

    path: str
    seed: NonNegativeInt = 0
    short: Literal["hold", "slow", "drop"] = "hold"
    min_height: PositiveInt = 1
    min_width: PositiveInt = 1
    cache_mb: NonNegativeInt = 512

    @property
    def place(self) -> Path:
        """The path on this machine: "~" is the home folder."""
        return Path(os.path.expanduser(self.path))

    @property
    def features_folder(self) -> Path | None:
        """Where features of the captions lie if they were encoded beforehand; None if nothing lies beside the data."""
        return self.place / FEATURES


class MediaFile(NamedTuple):
    """A media file or member to cut from, what is in it, its caption, and what messages call it."""

    path: PathLike
    info: Info
    text: str
    name: str


class Cutter:
    """Cuts clips for a source, and caches small decoded files in memory, separately in each process."""

    def __init__(self, source: ClipSource) -> None:
        self.source = source
        self._tracks: OrderedDict[tuple[PathLike, int, int], Track] = OrderedDict()
        self.cached_bytes = 0

    def __getstate__(self) -> dict[str, Any]:
        return {"source": self.source, "_tracks": OrderedDict(), "cached_bytes": 0}

    def clip(self, path: PathLike, info: Info, shape: VideoShape, seed: tuple[int, ...]) -> Tensor:
        """A clip (3, F, H, W) in [-1, 1] of a file that holds `info`, at a time and a place that `seed` decides.

        Raises ValueError if nothing of the file can be decoded, for whatever reason.
        """
        import av

        when, across, down = np.random.default_rng(seed).random(3)
        try:
            frames = self._frames(path, info, shape, when, (down, across))
        except (OSError, av.FFmpegError) as error:
            raise ValueError(f"{os.fsdecode(path)}: cannot be cut ({reason(error)})") from None
        missing = shape.frames - len(frames)
        if missing:
            frames = np.concatenate([frames, np.repeat(frames[-1:], missing, axis=0)])
        return Video(frames, shape.fps).to_tensor()

    def _frames(
        self, path: PathLike, info: Info, shape: VideoShape, when: float, crop: tuple[float, float]
    ) -> np.ndarray:
        """The decoded window of the clip, at most shape.frames pictures; `when` and `crop` are places in [0, 1)."""
        size = (shape.height, shape.width)
        track = None if info.still else self._track(path, info, size)
        seconds = info.seconds if track is None else track.seconds
        asked = rate_to_read(info, shape.fps, shape.frames)
        fps = asked if self.source.short != "slow" else max(asked, shape.frames / seconds)
        start = 0.0 if fps > asked else _start(info, seconds, fps, shape.frames, when)
        if track is not None:
            return cut(track.at(fps, start, shape.frames), size, crop)
        try:
            video = read_probed(path, info, fps=fps, start=start, frames=shape.frames, size=size, crop=crop)
        except ValueError:
            if not start:
                raise
            video = read_probed(path, info, fps=fps, start=0.0, frames=shape.frames, size=size, crop=crop)
            _log.warning("%s: decodes less than it claims; its beginning is used", os.fsdecode(path))
        return video.frames

    def _track(self, path: PathLike, info: Info, size: Size) -> Track | None:
        """The whole file decoded, from memory if it was there; None if it is too large to keep."""
        budget = self.source.cache_mb * 2**20
        height, width = cover((info.height, info.width), size)
        if not info.exact or info.frames * height * width * 3 > budget / _LARGEST_SHARE:
            return None
        key = (path, *size)  # members of a shard may have equal names
        if key in self._tracks:
            self._tracks.move_to_end(key)
            return self._tracks[key]
        track = read_track(path, info, size)
        self._tracks[key] = track
        self.cached_bytes += track.frames.nbytes
        while self.cached_bytes > budget and len(self._tracks) > 1:
            self.cached_bytes -= self._tracks.popitem(last=False)[1].frames.nbytes
        return track


def stand_in(cutter: Cutter, at: Callable[[int], MediaFile], index: int, shape: VideoShape, count: int) -> Example:
    """The example at position `index` of endless passes over `count` files, which `at` looks up.

    A file that cannot be decoded is replaced by the next one that can. Raises ValueError if there is none.
    """
    source, skipped, again = cutter.source, list[Dropped](), 0
    while len(skipped) < min(count, _MOST_SKIPPED):
        piece = at(index + len(skipped))
        try:
            video = cutter.clip(piece.path, piece.info, shape, (source.seed, index))
        except ValueError as error:
            if isinstance(piece.path, Member) and not piece.path.archive.exists() and again < _TRIES:
                again += 1  # a web shard was evicted from the cache while it was read: download it again
                continue
            reason = str(error).removeprefix(f"{os.fsdecode(piece.path)}: ")
            skipped.append(Dropped(piece.name, reason))
            continue
        return Example(video, piece.text, piece.name, tuple(skipped))
    first = skipped[0]
    raise ValueError(
        f"{source.path}: {counted(len(skipped), 'clip')} in a row cannot be read, from {first.name} on: {first.reason}"
    )


def contents_of(clips: Iterable[Clip]) -> Contents:
    """What `Dataset.contents` says of such clips, in their order."""
    digest, count = hashlib.sha256(), 0
    for clip in clips:
        size = (clip.info.frames, clip.info.height, clip.info.width)
        digest.update(json.dumps([clip.name, clip.text, *size]).encode())
        count += 1
    return Contents(count, digest.hexdigest()[:16])


def unfit(info: Info, source: ClipSource, shape: VideoShape | None) -> str | None:
    """Why a file has no clips, or none on the grid `shape`; None if it has some."""
    if info.height < source.min_height or info.width < source.min_width:
        return f"too small: {info.height}x{info.width}, expected at least {source.min_height}x{source.min_width}"
    return None if shape is None else _too_short(info, source, shape) or _too_narrow(info, shape)


def features_of(source: ClipSource, captions: list[str]) -> list[Features]:
    """What `Dataset.features` says of such a source."""
    folder = source.features_folder
    return [Features(folder, captions)] if folder is not None and folder.is_dir() else []


def fitting(infos: Sequence[Info], source: ClipSource, shape: VideoShape) -> list[int]:
    """Which files, by position, give clips on a grid; a message says how many, unless all do.

    Raises ValueError, with what would fit, if none does.
    """
    found = [place for place, info in enumerate(infos) if unfit(info, source, shape) is None]
    if not found:
        raise ValueError(_none_fits(infos, source, shape))
    if len(found) < len(infos):
        helped = sum(_slow_helps(info, source, shape) for info in infos if unfit(info, source, shape) is not None)
        way_out = f'; with short="slow" {helped} more would, played slower' if helped else ""
        _log.info("%s: %d of %d clips fit %s%s", source.path, len(found), len(infos), shape, way_out)
    return found


def any_fits(infos: Iterable[Info], source: ClipSource, shape: VideoShape) -> bool:
    """Whether some file gives clips on a grid."""
    return any(unfit(info, source, shape) is None for info in infos)


def reasons(report: FolderReport) -> str:
    """Why files give nothing, a line for each reason."""
    lines = [*grouped(report.dropped), *(f"  {note}" for note in report.notes)]
    return "\n".join(lines) or "  it holds no videos or images"


def _start(info: Info, seconds: float, fps: float, frames: int, when: float) -> float:
    """When a clip of a file that lasts so long starts, at the place `when` in [0, 1): its last frame may be any.

    Read at its own rate, a file gives each picture of the clip once.
    """
    latest = seconds - info.slack - 1e-5 - (frames - 1) / fps
    start = when * max(0.0, latest)
    return start if info.variable_rate or fps != info.fps else math.floor(start * fps) / fps


def _too_short(info: Info, source: ClipSource, shape: VideoShape) -> str | None:
    longest = _longest(info, source, shape.fps)
    if shape.frames <= longest:
        return None
    kind = "an image" if info.still else f"too short: {info.seconds:.2f} s"
    way_out = '; short="slow" plays it slower' if _slow_helps(info, source, shape) else ""
    return f"{kind}, gives at most {longest} of {shape.frames} frames at {shape.fps:g} fps{way_out}"


def _too_narrow(info: Info, shape: VideoShape) -> str | None:
    height, width = cover((info.height, info.width), (shape.height, shape.width))
    if height * width <= _MOST_PIXELS:
        return None
    grown = f"would have to grow to {height}x{width} to cover {shape.height}x{shape.width}"
    return f"too narrow: {info.height}x{info.width} {grown}"


def _slow_helps(info: Info, source: ClipSource, shape: VideoShape) -> bool:
    """Whether a file too short for the shape would give a clip if it could be played slower."""
    return source.short != "slow" and not info.still and shape.frames <= info.frames


def _none_fits(infos: Sequence[Info], source: ClipSource, shape: VideoShape) -> str:
    most = max((_longest(info, source, shape.fps) for info in infos), default=0)
    message = f"{source.path}: no clip has {shape.frames} frames at {shape.fps:g} fps; the most that fit is {most}"
    helped = sum(_slow_helps(info, source, shape) for info in infos)
    if not helped:
        return message
    return (
        f'{message}. With short="slow" {helped} of {len(infos)} clips fit, played slower '
        "(train: --set STAGE.training.data.short=slow; data check and data preview: --short slow)"
    )


def _longest(info: Info, source: ClipSource, fps: float) -> int:
    """The most frames at this rate that a clip of the file may have."""
    if info.still:
        return 1
    present = max(1, count_moments(0.0, rate_to_read(info, fps), info.seconds, info.slack, _MOST_FRAMES))
    if source.short == "slow":
        return max(present, info.frames)
    return 2 * present if source.short == "hold" and present > 1 else present
