"""What the values of arrays are like: mean, deviation, ends, quantiles, gaps; in one pass, with bounded memory.

Means and deviations are merged from those of parts [Chan, Golub & LeVeque 1983]. Quantiles and histograms are of a
random sample once there are more than a million values.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from zoetrope.channels import Channel
from zoetrope.data.arrays.contents import read_box
from zoetrope.data.arrays.dataset import ArraysDataset
from zoetrope.data.arrays.listing import Recording
from zoetrope.data.arrays.reading import OpenReaders, called
from zoetrope.scales import LARGEST, Scale
from zoetrope.scales.deviation import Deviation
from zoetrope.scales.log import Log
from zoetrope.scales.range import Range

QUANTILES = (0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999)
MOST_KEPT = 2**20  # values of a variable in the sample
_AT_ONCE = 2**20  # values of a variable that are read at a time
_SEED = 0
_DIGITS = 6


class Statistics(NamedTuple):
    """What the values of a variable are like, in the unit of the file.

    Attributes:
        variable: its name in the source; channel: the one that it is.
        unit: as the files say, or else as the channel does.
        present: how many values there are; missing: how many are missing.
        mean, deviation: of them, the deviation that of a population.
        lowest, highest: of them.
        sample: values to take quantiles of, sorted, float64; all if there are at most `MOST_KEPT`.
    """

    variable: str
    channel: Channel
    unit: str
    present: int
    missing: int
    mean: float
    deviation: float
    lowest: float
    highest: float
    sample: np.ndarray

    @property
    def gaps(self) -> float:
        """The share of values that are missing."""
        return self.missing / max(1, self.present + self.missing)

    @property
    def constant(self) -> bool:
        """Whether all values are one."""
        return self.present > 0 and self.lowest == self.highest

    def quantile(self, share: float) -> float:
        """The value below which this share of the values lies."""
        with np.errstate(over="ignore", invalid="ignore"):  # between fill values at both ends of float64
            return float(np.quantile(self.sample, share)) if len(self.sample) else math.nan

    def histogram(self, bins: int = 24) -> np.ndarray:
        """The shares (bins,) of values between equal steps from the lowest to the highest."""
        if not len(self.sample):
            return np.zeros(bins)
        low, length = self.lowest / 2, self.highest / 2 - self.lowest / 2  # halves, whose difference is finite
        places = (self.sample / 2 - low) / length if length > 0 else np.zeros(len(self.sample))
        counts = np.bincount(np.minimum((places * bins).astype(int), bins - 1), minlength=bins)
        return counts / counts.sum()

    def beyond(self) -> float:
        """The share of values that the channel's bounded scale puts outside of [-1, 1]; 0 if it has no ends."""
        import torch

        scale = self.channel.scale
        if not scale.bounded or not len(self.sample):
            return 0.0
        try:
            scaled = scale.to_model(torch.from_numpy(self.sample))
        except ValueError:  # a logarithm of values below 0
            return float((self.sample < 0).mean())
        return float((scaled.abs() > 1 + 1e-6).double().mean())

    def scales(self) -> list[Scale]:
        """Scales that fit these values: mean and deviation, range, and, if none is below 0, a logarithm.

        Those of which a number would be too large, or too small, are left out: there may be none.

        Raises ValueError for a variable that is constant, or has no values.
        """
        if self.constant or not self.present:
            what = f"is {self.lowest:g} everywhere" if self.present else "has no values"
            raise ValueError(f"{self.variable}: {what}, and has nothing to learn: leave it out")
        found, mean, deviation = list[Scale](), _rounded(self.mean), _rounded(self.deviation)
        if abs(mean) <= LARGEST and 0 < deviation <= LARGEST:
            found.append(Deviation(mean=mean, deviation=deviation))
        if self.too_large:
            return found
        found.append(Range(lo=self.lowest, hi=self.highest))
        positive = self.sample[self.sample > 0]
        if self.lowest >= 0 and len(positive):
            floor = _rounded(float(np.quantile(positive, 0.1)), 1)
            if 0 < floor < self.highest and math.isfinite(self.highest / floor):
                found.append(Log(floor=floor, hi=self.highest))
        return found

    @property
    def too_large(self) -> list[float]:
        """The ends of the values, lowest and highest, that no scale can have."""
        return [end for end in dict.fromkeys((self.lowest, self.highest)) if self.present and abs(end) > LARGEST]


def statistics(
    dataset: ArraysDataset, most: int | None = None, progress: Callable[[int, int], None] | None = None
) -> tuple[list[Statistics], int]:
    """The statistics of every variable, and of how many frames they are.

    Args:
        dataset: whose recordings are read, each once.
        most: frames to read, evenly spread over all; None: every frame.
        progress: is called with how many frames are read, and of how many.

    Raises ValueError that names file and variable for what cannot be read.
    """
    source, survey = dataset.source, dataset.survey
    total = sum(one.frames for one in survey.recordings)
    step = 1 if most is None else max(1, -(-total // most))
    tallies = [_Tally(np.random.default_rng((_SEED, number))) for number in range(len(source.variables))]
    shelf, before, done, wanted = OpenReaders(), 0, 0, -(-total // step)
    for one in survey.recordings:
        path, held = survey.files[one.file]
        first = -before % step
        before += one.frames
        for run, rows in _parts(one, first, step, (held.height, held.width)):
            columns = slice(0, held.width, 1)
            box = read_box(shelf.reader(path), held.wanted, one.entry, run, rows, columns, source.fill)
            for tally, values in zip(tallies, box, strict=True):
                tally.add(values)
            if rows.stop == held.height:
                done += len(range(run.start, run.stop, run.step))
                if progress is not None:
                    progress(done, wanted)
    shelf.close()
    told = list[Statistics]()
    for place, ((name, channel), tally) in enumerate(zip(source.variables.items(), tallies, strict=True)):
        units = [held.units[place] for _, held in survey.files]
        told.append(tally.told(name, channel, next((unit for unit in units if unit), channel.unit)))
    return told, done


def expect_varied(dataset: ArraysDataset, found: list[Statistics]) -> None:
    """Raise ValueError that names the first variable that is constant."""
    path = dataset.survey.files[0][0]
    for one in found:
        if one.constant:
            raise ValueError(f"{called(path, one.variable)}: is {one.lowest:g} everywhere, and has nothing to learn")


def _parts(one: Recording, first: int, step: int, size: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    """Frames of a recording, every `step`-th from the `first` on, in boxes of limited size: frames and rows."""
    height, width = size
    rows = max(1, min(height, _AT_ONCE // width))
    frames = max(1, _AT_ONCE // (height * width))
    numbers = range(one.start + first, one.start + one.frames, step)
    for at in range(0, len(numbers), frames):
        some = numbers[at : at + frames]
        for top in range(0, height, rows):
            yield slice(some[0], some[-1] + 1, step), slice(top, min(height, top + rows), 1)


class _Tally:
    """The running statistics of a variable."""

    def __init__(self, draw: np.random.Generator) -> None:
        self.draw = draw
        self.count = self.missing = 0
        self.mean = self.squares = 0.0
        self.lowest, self.highest = math.inf, -math.inf
        self.kept: list[np.ndarray] = []
        self.share = 1.0

    def add(self, values: np.ndarray) -> None:
        """Take more values into account."""
        there = values[~np.isnan(values)]
        self.missing += values.size - there.size
        if not there.size:
            return
        with np.errstate(over="ignore", invalid="ignore"):  # of fill values up to the largest number
            mean, count = np.float64(there.mean()), self.count + there.size
            apart = mean - self.mean
            self.squares += float(np.square(there - mean).sum() + apart**2 * self.count * there.size / count)
            self.mean += float(apart * there.size / count)
        self.count = count
        self.lowest, self.highest = min(self.lowest, float(there.min())), max(self.highest, float(there.max()))
        self.kept.append(self._some(there, self.share))
        while sum(map(len, self.kept)) > MOST_KEPT:
            self.share /= 2
            self.kept = [self._some(np.concatenate(self.kept), 0.5)]

    def _some(self, values: np.ndarray, share: float) -> np.ndarray:
        return values if share == 1 else values[self.draw.random(values.size) < share]

    def told(self, variable: str, channel: Channel, unit: str) -> Statistics:
        """The statistics of all values so far."""
        sample = np.sort(np.concatenate(self.kept)) if self.kept else np.empty(0)
        deviation = math.sqrt(self.squares / self.count) if self.count else math.nan
        mean = self.mean if self.count else math.nan
        return Statistics(
            variable, channel, unit, self.count, self.missing, mean, deviation, self.lowest, self.highest, sample
        )


def _rounded(value: float, digits: int = _DIGITS) -> float:
    return float(f"{value:.{digits - 1}e}")
