"""Spread over skill of ensembles, by how far ahead they look."""

from typing import ClassVar

import torch
from torch import Tensor

from zoetrope.metrics.clips import Material
from zoetrope.metrics.forecasts import Cases, CaseSums, described
from zoetrope.metrics.measures import Better, Measure, OpenedExtractor, Result


class SpreadOverSkill(Measure):
    """The ratio of `zoetrope.metrics.spread_skill.spread_skill`, the mean over the channels, in the frames not given.

    It is 1 where the truth could be any member, and below 1 where members are too much alike. Details tell each channel
    and frame, and spread and skill in units.
    """

    title: ClassVar[str] = "Spread over skill"
    better: ClassVar[Better] = "nearer 1"
    takes = "any"
    masks = True
    only_new = True
    needs = frozenset({"pairs", "members"})

    def measure(self, material: Material, network: OpenedExtractor | None) -> Result:
        """See `Measure`."""
        cases, tally = Cases(material), CaseSums()
        for case in cases:
            own = case[""]
            error = (own.members.mean(0) - own.truth).square()
            tally.add(torch.cat([own.members.var(0), error]), own.present)
        factor = ((material.members + 1) / material.members) ** 0.5

        def ratio(sums: Tensor) -> Tensor:
            return factor * (sums[0] / sums[1]).sqrt()

        told = described(cases, {"": tally}, ratio, units=False)
        spread, skill = ((tally.total[place] / tally.total[2]).sqrt() for place in (0, 1))
        for place, channel in enumerate(cases.real.channels):
            row = told["details"]["channels"][channel.name]
            row |= {"spread": spread[place].tolist(), "skill": skill[place].tolist(), "of_both": channel.unit}
        return self.result(material, None, **told)
