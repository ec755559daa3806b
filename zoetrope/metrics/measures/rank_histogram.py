"""The ranks of the truth among the members of ensembles."""

from typing import ClassVar

import torch

from zoetrope.metrics.clips import Material
from zoetrope.metrics.forecasts import Cases
from zoetrope.metrics.measures import Better, Measure, OpenedExtractor, Result
from zoetrope.metrics.rank_histogram import rank_histogram


class RankHistogram(Measure):
    """How far the histogram of ranks is from a flat one: the share of values that would have to change their rank.

    It is the mean over the channels, in the frames not given; see `zoetrope.metrics.rank_histogram.rank_histogram`.
    Neighbouring pixels have like ranks, so that few cases never give a flat histogram. Details have the shares.
    """

    title: ClassVar[str] = "Ranks away from flat"
    better: ClassVar[Better] = "lower"
    takes = "any"
    masks = True
    only_new = True
    needs = frozenset({"pairs", "members"})

    def measure(self, material: Material, network: OpenedExtractor | None) -> Result:
        """See `Measure`."""
        cases = Cases(material)
        counts = torch.stack(
            [
                rank_histogram(one[""].members, one[""].truth, one[""].present, seed=number)
                for number, one in enumerate(cases)
            ]
        ).sum(0)
        if not bool((counts.sum(1) > 0).all()):
            raise ValueError("forecasts: expected values to compare with, got none that are present")
        shares = counts.double() / counts.sum(1, keepdim=True)
        away = 100 * (shares - 1 / (material.members + 1)).abs().sum(1) / 2
        names = [channel.name for channel in cases.real.channels]
        details = {
            "members": material.members,
            "ranks": dict(zip(names, shares.tolist(), strict=True)),
            "away": dict(zip(names, away.tolist(), strict=True)),
        }
        return self.result(material, None, float(away.mean()), unit="%", samples=material.cases, details=details)
