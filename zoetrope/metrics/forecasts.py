"""Forecasts and ensembles of them, case by case in units, and what plain ways would have foretold.

Sums over the pixels of each case are kept, so that a number of all cases has an interval from how far it changes
without each of them. Cases count as independent.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from zoetrope.channels import to_units
from zoetrope.metrics.clips import Clips, Material
from zoetrope.metrics.intervals import jackknife

PERSISTENCE, CLIMATOLOGY = "persistence", "climatology"
OTHERS = 32  # real clips that a climatology is an ensemble of, at most
KEPT = 2**28  # bytes of clips in units that are kept while others are read
OfSums = Callable[[Tensor], Tensor]
"""Sums (Q, C, F), of which the last is a count of values, to a number of each channel and frame, (C, F)."""


@dataclass(frozen=True, eq=False)
class Case:
    """An ensemble and its truth in units, float64, in the frames that were not given.

    Attributes:
        members: (M, 1, C, F, H, W); truth: (1, C, F, H, W).
        present: where the truth has values, like it, bool; None: everywhere.
    """

    members: Tensor
    truth: Tensor
    present: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Cases:
    """The cases of a material whose real clips are the truth, and the same cases as plain ways foretell them.

    Persistence holds the last given frame. Climatology is an ensemble of other real clips, at most 32, at the same
    places and frames; a clip that is there twice is no other one.
    """

    material: Material

    def __post_init__(self) -> None:
        material = self.material
        if material.real is None or material.made.shape != material.real.shape or len(material.real) < material.cases:
            raise ValueError("pairs of videos: expected the truth of every case, of the shape of what was made")
        if not material.foretold:
            raise ValueError("forecasts: expected a frame that was not given")

    @property
    def real(self) -> Clips:
        """The true clips."""
        assert self.material.real is not None
        return self.material.real

    @property
    def ways(self) -> list[str]:
        """The plain ways that there are here."""
        own = [PERSISTENCE] if self.material.known else []
        return own + ([CLIMATOLOGY] if len(self.real) > 2 else [])

    def __iter__(self) -> Iterator[dict[str, Case]]:
        """Each case, of what was made under "" and of each plain way under its name."""
        material, frames = self.material, self.material.foretold
        made, real = reader(material.made), reader(self.real)
        known = material.known
        held = [max((own for own in known if own < frame), default=known[0]) for frame in frames] if known else []
        for number in range(material.cases):
            first, whole = number * material.members, real(number)
            there = self.real.present(number)
            present = None if there is None else there[:, frames][None]
            truth = whole[:, frames][None]
            members = torch.stack([made(first + own)[:, frames] for own in range(material.members)])
            cases = {"": Case(members[:, None], truth, present)}
            if PERSISTENCE in self.ways:
                kept = None if there is None or present is None else present & there[:, held][None]
                cases[PERSISTENCE] = Case(whole[:, held][None, None], truth, kept)
            if CLIMATOLOGY in self.ways:
                every = ((number + step) % len(self.real) for step in range(1, len(self.real)))
                others = list(islice((own for own in every if not torch.equal(real(own), whole)), OTHERS))
                if not others:
                    yield cases
                    continue
                masks = [mask[:, frames][None] for own in others if (mask := self.real.present(own)) is not None]
                ensemble = torch.stack([real(own)[:, frames] for own in others])[:, None]
                cases[CLIMATOLOGY] = Case(ensemble, truth, _all_of([*masks, present]))
            yield cases


def _all_of(masks: Sequence[Tensor | None]) -> Tensor | None:
    there = [mask for mask in masks if mask is not None]
    return torch.stack(there).all(0) if there else None


def reader(clips: Clips) -> Callable[[int], Tensor]:
    """OfSums to clip (C, F, H, W) in units, float64; the last ones read are kept."""
    size = 8 * len(clips.channels) * math.prod(clips.shape.sizes)

    @lru_cache(maxsize=max(1, min(2 * OTHERS, KEPT // size)))
    def read(number: int) -> Tensor:
        return to_units(clips.read(number).double(), clips.channels)

    return read


@dataclass(eq=False)
class CaseSums:
    """Sums of some quantities over the pixels of each case, and their means over the cases at each place."""

    rows: list[Tensor] = field(default_factory=list)
    _whole: Tensor | None = None

    def add(self, quantities: Tensor, present: Tensor | None = None) -> None:
        """Add a case: quantities (Q, C, F, H, W); of their values only those `present`, (1, C, F, H, W)."""
        there = torch.ones_like(quantities[:1]) if present is None else present.double()
        both = torch.cat([torch.where(there > 0, quantities, 0), there])
        self.rows.append(both.sum((3, 4)))
        self._whole = both if self._whole is None else self._whole + both

    @property
    def total(self) -> Tensor:
        """The sums (Q + 1, C, F) over all cases; the last is how many values there were."""
        return torch.stack(self.rows).sum(0)

    def by_frame(self, number: OfSums) -> Tensor:
        """The number of each channel and frame, (C, F)."""
        return number(self.total)

    def of_channels(self, number: OfSums) -> Tensor:
        """The number of each channel over all its frames, (C,)."""
        return number(self.total.sum(-1, keepdim=True))[:, 0]

    def mean(self, number: OfSums, weights: Tensor) -> tuple[float, float | None]:
        """The mean over the channels of the number times `weights` (C,), and the half-width of its interval."""

        def of(sums: Tensor) -> float:
            return float((number(sums.sum(-1, keepdim=True))[:, 0] * weights).mean())

        total = self.total
        return of(total), jackknife([of(total - row) for row in self.rows])

    def at_places(self, number: OfSums) -> Tensor:
        """The number at each place, (C, F, H, W); NaN where no case has a value."""
        assert self._whole is not None
        height, width = self._whole.shape[3:]
        return number(self._whole.flatten(2)).unflatten(1, (-1, height, width))


def mean_of_sums(sums: Tensor) -> Tensor:
    """The mean of the first quantity."""
    return sums[0] / sums[-1]


def root_of_sums(sums: Tensor) -> Tensor:
    """The root of the mean of the first quantity."""
    return (sums[0] / sums[-1]).sqrt()


def deviations(cases: Cases) -> Tensor:
    """The deviation of the true values of each channel, (C,). Raises ValueError for a channel that does not vary."""
    tally, start = CaseSums(), torch.full((len(cases.real.channels),), torch.nan, dtype=torch.float64)
    for case in cases:
        truth, present = case[""].truth, case[""].present
        there = truth if present is None else torch.where(present, truth, torch.nan)
        # From a value of the channel on: of a constant, all are 0, and none of its digits are lost.
        start = torch.where(start.isnan(), _any_value(there[0]), start)
        away = truth - start[:, None, None, None]
        tally.add(torch.cat([away, away.square()]), present)
    first, second, count = tally.total.sum(-1)
    found = (second / count - (first / count).square()).clamp(min=0).sqrt()
    for channel, deviation in zip(cases.real.channels, found.tolist(), strict=True):
        if not deviation > 0:
            raise ValueError(f"channel {channel.name}: expected true values that differ, got a constant")
    return found


def _any_value(values: Tensor) -> Tensor:
    """A value of each channel, (C,), of values (C, ...) with NaN; NaN where there is none."""
    return values.flatten(1).nanmedian(1).values


def described(cases: Cases, tallies: Mapping[str, CaseSums], number: OfSums, units: bool = True) -> dict[str, Any]:
    """A number as fields of a `zoetrope.metrics.measures.Result`: value, interval, unit, details.

    `tallies` are those of what was made, under "", and of plain ways. In `units` it is that of a single channel; of
    several channels it is the mean in deviations of their true values. Otherwise it is the mean over the channels.
    """
    tallies = {name: one for name, one in tallies.items() if one.rows}
    channels = cases.real.channels
    weights, unit = torch.ones(len(channels), dtype=torch.float64), ""
    if units and len(channels) > 1:
        weights, unit = 1 / deviations(cases), "deviations"
    elif units:
        unit = channels[0].unit
    value, half = tallies[""].mean(number, weights)
    if not math.isfinite(value):
        raise ValueError("forecasts: expected values to compare with, got none that are present")
    plain = {name: one.mean(number, weights)[0] for name, one in tallies.items() if name}
    rows = {
        channel.name: {"unit": channel.unit if units else ""}
        | _row(tallies[""], number, place)
        | {"plain": {name: _row(one, number, place) for name, one in tallies.items() if name}}
        for place, channel in enumerate(channels)
    }
    details = {"members": cases.material.members, "frames": cases.material.foretold, "channels": rows}
    return {
        "value": value,
        "unit": unit,
        "error": half,
        "interval": None if half is None else (value - half, value + half),
        "samples": cases.material.cases,
        "plain": {name: one for name, one in plain.items() if math.isfinite(one)},
        "details": details,
    }


def _row(tally: CaseSums, number: OfSums, place: int) -> dict[str, Any]:
    return {
        "value": finite(float(tally.of_channels(number)[place])),
        "by_frame": [finite(one) for one in tally.by_frame(number)[place].tolist()],
    }


def finite(value: float) -> float | None:
    """The value; None for NaN and infinity, which JSON does not have."""
    return value if math.isfinite(value) else None
