"""What measures of the errors of forecasts share."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from zoetrope.metrics.forecasts import Case, Cases, OfSums, Tally, described
from zoetrope.metrics.measures import Measure


def errors_told(measure: Measure, cases: Cases, error: Callable[[Case], Tensor], number: OfSums) -> dict[str, Any]:
    """The fields of a result: the number of the errors (1, C, F, H, W) of all cases, also as maps, and of plain ways."""
    tallies = {"": Tally()} | {way: Tally() for way in cases.ways}
    for case in cases:
        for way, one in case.items():
            tallies[way].add(error(one), one.present)
    told = described(cases, tallies, number)
    maps = tallies[""].maps(number)
    channels = cases.real.channels
    cases.material.seen.maps[measure.name] = {one.name: maps[k] for k, one in enumerate(channels)}
    return told
