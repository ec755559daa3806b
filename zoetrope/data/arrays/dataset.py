"""ClipCounts of recordings on disk, of any number of frames, as a training asks for them by number."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoetrope.channels import Channel, to_model
from zoetrope.data import Contents, Dataset, Dropped, Example, Unused, expect_frames
from zoetrope.data.arrays.beside import beside_clip, read_beside
from zoetrope.data.arrays.contents import read_box
from zoetrope.data.arrays.listing import Recording, Survey
from zoetrope.data.arrays.order import Orders
from zoetrope.data.arrays.reading import OpenReaders, called
from zoetrope.shapes import VideoShape, Window
from zoetrope.wording import counted

if TYPE_CHECKING:
    from zoetrope.data.arrays import Arrays

_PRESENT = 0.5  # of a block of pixels that must have values, for its mean to be one


class ClipCounts(NamedTuple):
    """The clips of a number of frames.

    Attributes:
        step: frames of a recording from one of a clip to the next.
        ends: how many clips the recordings have up to and with each, (recordings,) int64.
    """

    step: int
    ends: np.ndarray

    @property
    def total(self) -> int:
        """How many clips there are."""
        return int(self.ends[-1])


class Cut(NamedTuple):
    """A box of a recording: which one, its first frame there, and the first row and column of its part of the grid."""

    recording: Recording
    first: int
    step: int
    top: int
    left: int


class ArraysDataset(Dataset):
    """The opened arrays. Files are opened when something of them is read, the last few of them stay so."""

    def __init__(self, source: "Arrays", survey: Survey) -> None:
        self.source, self.survey = source, survey
        self._shelf, self._orders = OpenReaders(), Orders(source.seed)
        self._clips: dict[VideoShape, ClipCounts | str] = {}

    def tells(self) -> dict[str, str]:
        """See `Dataset`: the columns of the index that the source lists, and arrays beside the videos."""
        return {**self.source.told, **{name: one.kind for name, one in self.source.beside.items()}}

    def channels(self) -> tuple[Channel, ...]:
        """See `Dataset`."""
        return self.source.channels

    def gives(self, shape: VideoShape) -> bool:
        """See `Dataset`."""
        return isinstance(self._fitting(shape), ClipCounts)

    def count(self, shape: VideoShape) -> int:
        """See `Dataset`. Raises ValueError, with the reason, if there is none."""
        return self._expected(shape).total

    def example(self, index: int, shape: VideoShape) -> Example:
        """See `Dataset`. Raises ValueError that names file and variable for values that are missing or infinite."""
        return self.part(index, shape, Window.whole(shape))

    def part(self, index: int, shape: VideoShape, window: Window) -> Example:
        """See `Dataset`: nothing else is read."""
        return self._read(self._at(index, shape), list(window.frames), shape, window)

    def frames(self, index: int, shape: VideoShape, numbers: Sequence[int]) -> Example:
        """See `Dataset`: nothing else is read."""
        expect_frames(numbers, shape)
        order = sorted(set(numbers))
        found = self._read(self._at(index, shape), order, shape, Window.whole(shape))
        places = [order.index(number) for number in numbers]
        return found if order == list(numbers) else found.cut(lambda video: video[:, places], places)

    def captions(self) -> list[str]:
        """See `Dataset`."""
        return sorted({one.text for one in self.survey.recordings} - {""})

    def unused(self) -> list[Unused]:
        """See `Dataset`."""
        return [Unused(self.source.path, self.survey.dropped, self.survey.notes)]

    def contents(self) -> Contents:
        """See `Dataset`."""
        digest = hashlib.sha256(json.dumps(self.source.to_json()["variables"], sort_keys=True).encode())
        folders = [path.parent.absolute() for path, _ in self.survey.files]
        one_disk = len({folder.drive for folder in folders}) == 1
        above = os.path.commonpath(folders) if one_disk else None
        for one in self.survey.recordings:
            held = self.survey.files[one.file][1]
            size = (one.start, one.frames, held.height, held.width)
            name = one.name if above is None else os.path.relpath(one.name, above)
            digest.update(json.dumps([name, one.text, dict(one.told), *size]).encode())
        return Contents(len(self.survey.recordings), digest.hexdigest()[:16])

    def _expected(self, shape: VideoShape) -> ClipCounts:
        found = self._fitting(shape)
        if isinstance(found, str):
            raise ValueError(f"{self.source.path}: {found}")
        return found

    def _fitting(self, shape: VideoShape) -> ClipCounts | str:
        """The clips on a grid, or why there are none."""
        if shape not in self._clips:
            self._clips[shape] = self._counted(shape)
        return self._clips[shape]

    def _counted(self, shape: VideoShape) -> ClipCounts | str:
        for path, held in self.survey.files:
            if fault := unfit((held.height, held.width), shape, self.source.fit):
                return f"{path.name}: {fault}"
        step = self._step(shape)
        if isinstance(step, str):
            return step
        length = (shape.frames - 1) * step + 1
        frames = np.array([one.frames for one in self.survey.recordings])
        counts = np.where(frames >= length, (frames - length) // self.source.stride + 1, 0)
        if self.source.short == "mask":
            counts = np.where((counts == 0) & (2 * frames >= length), 1, counts)
        if not counts.any():
            most = int((frames.max() - 1) // step + 1)
            way_out = '; short="mask" takes those of at least half' if self.source.short == "drop" else ""
            return f"no recording has {shape.frames} frames at {shape.fps:g} fps; the most that fit is {most}{way_out}"
        return ClipCounts(step, np.cumsum(counts, dtype=np.int64))

    def _step(self, shape: VideoShape) -> int | str:
        """Frames of a recording from one of a clip to the next, or why there is no such number."""
        if self.source.step is not None or shape.frames == 1 or self.survey.rate is None:
            return self.source.step or 1
        step = self.survey.rate / shape.fps
        if round(step) < 1 or abs(step - round(step)) > 1e-3 * step:
            legal = self.survey.rate / max(1, round(step))
            return (
                f"{shape} has not the rate of the files, {self.survey.rate:.6g} frames a second, divided by a whole "
                f"number; expected a stage of {legal:.6g} fps, or another rate or step of the data"
            )
        return round(step)

    def _at(self, index: int, shape: VideoShape) -> Cut:
        """The clip at a position of endless passes, each in an order of its own."""
        if index < 0:
            raise ValueError(f"index: expected 0 or more, got {index}")
        clips = self._expected(shape)
        turn, number = divmod(index, clips.total)
        number = self._orders.place(turn, number, clips.total)
        at = int(np.searchsorted(clips.ends, number, side="right"))
        recording = self.survey.recordings[at]
        before = int(clips.ends[at - 1]) if at else 0
        first = recording.start + (number - before) * self.source.stride
        held = self.survey.files[recording.file][1]
        top = left = 0
        if self.source.fit == "crop":
            down, across = np.random.default_rng((self.source.seed, index)).random(2)
            top = int(down * (held.height - shape.height + 1))
            left = int(across * (held.width - shape.width + 1))
        return Cut(recording, first, clips.step, top, left)

    def _read(self, cut: Cut, numbers: list[int], shape: VideoShape, window: Window) -> Example:
        """Frames of a clip, by number, and a part of each."""
        own = cut.recording
        path, held = self.survey.files[own.file]
        factors = (1, 1)
        if self.source.fit == "mean":
            factors = (held.height // shape.height, held.width // shape.width)
        rows, columns = (
            slice(begin + part.start * factor, begin + part.stop * factor, 1)
            for begin, part, factor in zip((cut.top, cut.left), (window.rows, window.columns), factors, strict=True)
        )
        wanted = [cut.first + number * cut.step for number in numbers]
        there = [frame for frame in wanted if frame < own.start + own.frames]
        values = np.full((len(held.wanted), len(wanted), len(window.rows), len(window.columns)), np.nan)
        done = 0
        for run in runs(there):
            count = len(range(run.start, run.stop, run.step))
            box = read_box(self._shelf.reader(path), held.wanted, own.entry, run, rows, columns, self.source.fill)
            if self.source.missing == "refuse" and np.isnan(box).any():
                self._refuse(box, own, run)
            values[:, done : done + count] = means(box, factors)
            done += count
        name = f"{own.name} from frame {cut.first}"
        beside = self._beside(cut, there, len(wanted), shape, window) if self.source.beside else {}
        return self._made(values, name, own)._replace(beside=beside)

    def _beside(self, cut: Cut, there: list[int], frames: int, shape: VideoShape, window: Window) -> dict[str, Tensor]:
        """The arrays beside frames of a clip, of which those `there` are not after its end."""
        path, held = self.survey.files[cut.recording.file]
        grid, top, left = (shape.height, shape.width), 0, 0
        if self.source.fit == "crop":
            grid, top, left = (held.height, held.width), cut.top, cut.left
        rows, columns = (
            range(begin + part.start, begin + part.stop) for begin, part in ((top, window.rows), (left, window.columns))
        )
        found = dict[str, Tensor]()
        for name, one in self.source.beside.items():
            place = path if one.column is None else cut.recording.beside.get(name)
            if place is not None:
                value = read_beside(self._shelf.reader(place), one, cut.recording.entry, there, self.source.fill)
                where = f"{place}: beside {name!r}"
                if one.kind == "video":
                    value = self._in_model(value, where)
                try:
                    found[name] = beside_clip(value, one, frames, grid, (rows, columns))
                except ValueError as error:
                    raise ValueError(f"{where}: {error}") from None
        return found

    def _in_model(self, values: Tensor, where: str) -> Tensor:
        """A video (C, F, H, W) in units as networks see it, NaN where it is missing. Raises ValueError."""
        there = values.isfinite()
        if self.source.missing == "refuse" and not bool(there.all()):
            gaps = counted(int((~there).sum()), "missing value")
            raise ValueError(f'{where}: expected values everywhere, got {gaps}; missing="mask" learns around them')
        try:
            made = to_model(values.nan_to_num(0.0).double(), self.source.channels).float()
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        return torch.where(there, made, torch.nan)

    def _made(self, values: np.ndarray, name: str, own: Recording) -> Example:
        present = torch.from_numpy(~np.isnan(values))
        try:
            video = to_model(torch.from_numpy(values), self.source.channels).float()
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        if not bool(torch.isfinite(video[present]).all()):
            raise ValueError(f"{name}: expected values of which the scales of the channels make float32 numbers")
        video = torch.where(present, video, 0)
        return Example(video, own.text, name, present=None if bool(present.all()) else present, told=own.told)

    def _refuse(self, box: np.ndarray, own: Recording, run: slice) -> None:
        """Raise ValueError that names file, variable and frame of missing values."""
        gaps = np.isnan(box).sum((2, 3))
        channel, at = (int(place[0]) for place in np.nonzero(gaps))
        path, held = self.survey.files[own.file]
        frame = range(run.start, run.stop, run.step)[at]
        raise ValueError(
            f"{called(path, held.wanted[channel].variable)}: expected values everywhere, got "
            f'{counted(int(gaps[channel, at]), "missing value")} in frame {frame}; missing="mask" learns around them'
        )


def unfit(size: tuple[int, int], shape: VideoShape, fit: str) -> str | None:
    """Why a grid of arrays (height, width) gives no frames of a shape; None if it does."""
    wanted = (shape.height, shape.width)
    for side, own, new in zip(("height", "width"), size, wanted, strict=True):
        if own < new:
            return f"has {own} pixels of {side}, expected at least {new}, those of the stage"
        if fit == "mean" and own % new:
            legal = max(part for part in range(1, new + 1) if own % part == 0)
            return f'has {own} pixels of {side}, expected a multiple of {new}; a stage of {legal} fits, or fit="crop"'
    if fit == "mean" and size[0] * wanted[1] != size[1] * wanted[0]:
        squeezed = f"is {size[0]}x{size[1]}, which {shape.height}x{shape.width} squeezes"
        return f'{squeezed}; expected its proportions, or fit="crop"'
    return None


def means(values: np.ndarray, factors: tuple[int, int]) -> np.ndarray:
    """The means of blocks of pixels of values (..., H, W), over those that are not missing.

    NaN for blocks of which less than half has values.
    """
    if factors == (1, 1):
        return values
    *outer, height, width = values.shape
    down, across = factors
    blocks = values.reshape(*outer, height // down, down, width // across, across)
    there = ~np.isnan(blocks)
    number = there.sum((-3, -1))
    sums = np.where(there, blocks, 0).sum((-3, -1))
    return np.where(number >= _PRESENT * down * across, sums / np.maximum(number, 1), np.nan)


def runs(frames: Sequence[int]) -> list[slice]:
    """Frames, by number, as slices with equal steps, in the same order."""
    found: list[slice] = []
    at = 0
    while at < len(frames):
        end, step = at + 1, 1
        if end < len(frames) and frames[end] > frames[at]:
            step = frames[end] - frames[at]
            while end < len(frames) and frames[end] - frames[end - 1] == step:
                end += 1
        found.append(slice(frames[at], frames[end - 1] + 1, step))
        at = end
    return found


def too_short(dataset: ArraysDataset, shape: VideoShape) -> list[Dropped]:
    """The recordings that give no clip on a grid, with the reason."""
    clips = dataset._expected(shape)
    counts = Counter(np.flatnonzero(np.diff(clips.ends, prepend=0) == 0).tolist())
    length = (shape.frames - 1) * clips.step + 1
    return [
        Dropped(one.name, f"has {counted(one.frames, 'frame')}, expected {length}")
        for number, one in enumerate(dataset.survey.recordings)
        if number in counts
    ]
