"""The critical success index of forecasts of events, by how far ahead they look."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from pydantic import PositiveInt
from torch import Tensor

from zoetrope.channels import Channel, place_of
from zoetrope.metrics.clips import Material
from zoetrope.metrics.csi import events_of
from zoetrope.metrics.features import Missing
from zoetrope.metrics.forecasts import Case, Cases, CaseSums, finite
from zoetrope.metrics.measures import Better, Measure, OpenedExtractor, Result

ROUNDING = 4 * torch.finfo(torch.float32).eps


class CriticalSuccess(Measure):
    """The index of values of at least each of some thresholds, the mean over these, in the frames not given.

    Events are counted over all members, each a forecast of its own; see `zoetrope.metrics.csi.csi`. Details tell each
    threshold and frame, and what persistence reaches.

    Attributes:
        thresholds: in units of the channel.
        pool: a forecast may be right anywhere in a block of so many pixels to either side.
        channel: its name; None: the first one.
    """

    title: ClassVar[str] = "Critical success index"
    better: ClassVar[Better] = "higher"
    takes = "any"
    masks = True
    only_new = True
    needs = frozenset({"pairs"})
    thresholds: tuple[float, ...] = ()
    pool: PositiveInt = 1
    channel: str | None = None

    @property
    def name(self) -> str:
        """With the channel, if it is named: several are measured side by side."""
        return self.kind() if self.channel is None else f"{self.kind()}[{self.channel}]"

    def expect(self, material: Material) -> None:
        """See `Measure`; its channel has to be there, and frames to hold a block."""
        if not self.thresholds:
            raise Missing("no threshold was named", "name some: --thresholds 1,5")
        super().expect(material)
        if self.channel is not None:
            place_of(material.made.channels, self.channel)
        least = min(material.made.shape.sizes[1:])
        if self.pool > least:
            raise ValueError(f"{self.name}: expected blocks of at most {least} pixels, got {self.pool}")

    def measure(self, material: Material, network: OpenedExtractor | None) -> Result:
        """See `Measure`."""
        cases = Cases(material)
        channels = cases.real.channels
        place = 0 if self.channel is None else place_of(channels, self.channel)
        lowest = [_lowest(channels[place], threshold) for threshold in self.thresholds]
        tallies = {"": CaseSums()} | {way: CaseSums() for way in cases.ways if way != "climatology"}
        for case in cases:
            for way, tally in tallies.items():
                tally.rows.append(self._events(case[way], place, lowest))
        value, half = tallies[""].mean(self._mean, torch.ones(1, dtype=torch.float64))
        if finite(value) is None:
            raise ValueError(f"{self.name}: expected events of at least {min(self.thresholds):g}, got none")
        plain = {way: one.mean(self._mean, torch.ones(1))[0] for way, one in tallies.items() if way}
        details = {
            "members": material.members,
            "frames": material.foretold,
            "channel": str(channels[place]),
            "pool": self.pool,
            "thresholds": {way or "made": self._rows(one) for way, one in tallies.items()},
        }
        return self.result(
            material, None, value,
            error=half, samples=material.cases,
            interval=None if half is None else (value - half, value + half),
            plain={way: one for way, one in plain.items() if finite(one) is not None},
            details=details,
        )  # fmt: skip

    def _events(self, case: Case, place: int, thresholds: Sequence[float]) -> Tensor:
        """Hits and events of each of these thresholds, (2 T, 1, F)."""
        own = slice(place, place + 1)
        present = None if case.present is None else case.present[:, own]
        counts = [
            torch.stack(events_of(member[:, own], case.truth[:, own], thresholds, self.pool, present))
            for member in case.members
        ]
        return torch.stack(counts).sum(0).double().transpose(0, 1).flatten(0, 1)

    def _mean(self, sums: Tensor) -> Tensor:
        """The mean over the thresholds that have events, (1, F)."""
        return (sums[::2] / sums[1::2]).nanmean(0)

    def _rows(self, tally: CaseSums) -> dict[str, Any]:
        total = tally.total
        by_frame, whole = total[::2] / total[1::2], total[::2].sum(-1) / total[1::2].sum(-1)
        return {
            f"{threshold:g}": {
                "value": finite(float(whole[k, 0])),
                "by_frame": [finite(one) for one in by_frame[k, 0].tolist()],
            }
            for k, threshold in enumerate(self.thresholds)
        }


def _lowest(channel: Channel, threshold: float) -> float:
    """The smallest number that a value of the threshold may have become: videos are kept on the scale, in float32."""
    value = torch.tensor(threshold, dtype=torch.float64)
    try:
        x = channel.scale.to_model(value)
    except ValueError:  # a logarithm has none below 0
        return threshold
    return min(threshold, float(channel.scale.to_units(x - ROUNDING * x.abs().clamp(min=1))))
