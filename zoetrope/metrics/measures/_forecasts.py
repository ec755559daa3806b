"""What measures of the errors of forecasts share."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from zoetrope.metrics.forecasts import Case, Cases, CaseSums, OfSums, described
from zoetrope.metrics.measures import Measure


def errors_told(measure: Measure, cases: Cases, error: Callable[[Case], Tensor], number: OfSums) -> dict[str, Any]:
    """The fields of a result: the number of the errors (1, C, F, H, W) of all cases and of plain ways."""
    tallies = {"": CaseSums()} | {way: CaseSums() for way in cases.ways}
    for case in cases:
        for way, one in case.items():
            tallies[way].add(error(one), one.present)
    told = described(cases, tallies, number)
    found = tallies[""].at_places(number)
    channels = cases.real.channels
    cases.material.seen.places[measure.name] = {one.name: found[k] for k, one in enumerate(channels)}
    return told
