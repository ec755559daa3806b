"""Measures by name: "fid", "frechet[mobilenet_v2]"."""

import re
from collections.abc import Mapping, Sequence

from zoetrope.config import unknown
from zoetrope.metrics.features import Extractor
from zoetrope.metrics.measures import Measure


def choose(names: Sequence[str], extractors: Mapping[str, Extractor]) -> list[Measure]:
    """The measures of these names, each with its network from `extractors`, by kind, if it is there.

    A name in brackets says which network; without, a measure that takes several kinds is taken with each that is there.
    A measure of another package has a dotted name, see `zoetrope.config.foreign.find_class`.
    Raises ValueError, with the nearest name, for what is unknown, and for a network that the measure does not take.
    """
    found: list[Measure] = []
    for name in names:
        match = re.fullmatch(r"([^\[\]]+)(?:\[([^\[\]]*)\])?", name.strip())
        if match is None:
            raise ValueError("--metrics: " + unknown("metric", name, Measure.names()))
        try:
            measure = Measure.named(match[1])
        except ValueError as error:
            raise ValueError(f"--metrics: {error}") from None
        found += _with_networks(measure, match[2], extractors)
    return list({str(measure.to_json()): measure for measure in found}.values())


def usual(extractors: Mapping[str, Extractor]) -> list[Measure]:
    """Every measure, with each available network; measures without one are included, to be reported as unavailable."""
    return choose(Measure.names(), extractors)


def _with_networks(measure: type[Measure], asked: str | None, extractors: Mapping[str, Extractor]) -> list[Measure]:
    if asked is not None:
        if asked not in measure.extractors:
            raise ValueError(
                f"--metrics {measure.kind()}: " + unknown("network", asked, measure.extractors or ("none",))
            )
        return [measure(extractor=extractors.get(asked))]
    named = [extractors[kind] for kind in measure.extractors if kind in extractors]
    return [measure(extractor=extractor) for extractor in named] or [measure()]
