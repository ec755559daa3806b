"""A super-resolution stage beside plain upsampling, clip by clip."""

from collections.abc import Callable, Mapping, Sequence
from math import sqrt
from statistics import fmean
from typing import Any, NamedTuple

from zoetrope.metrics.intervals import Mean

Score = Mapping[str, Any]  # what `measured` of _super_resolution.py gives for a clip


class Measure(NamedTuple):
    """One measure: its name and unit, how it is read from a method's values, digits shown, whether more is better."""

    name: str
    of: Callable[[Mapping[str, Any]], float | None]
    digits: int
    higher: bool = False


class Comparison(NamedTuple):
    """A stage and the plain way that is best in one measure: means over clips, and the paired difference.

    Attributes:
        half: of the interval of the difference; None of a single clip.
        better: whether the interval lies on the stage's side; None if it holds 0 or there is none.
    """

    measure: str
    clips: int
    made: float
    way: str
    plain: float
    difference: float
    half: float | None
    better: bool | None


def _seen(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The frames that a method had to make."""
    return values["new"] or values["every"]


MEASURES = (
    Measure("error, %", lambda values: 50 * sqrt(_seen(values)["squared"]), 2),
    Measure("SSIM", lambda values: _seen(values)["ssim"], 3, higher=True),
    Measure("features", lambda values: _seen(values)["features"], 3),
    Measure("flicker, %", lambda values: None if values["flicker"] is None else 100 * values["flicker"], 2),
)


def compared(stage: str, scores: Sequence[Score]) -> list[Comparison]:
    """The stage of that name in every measure that was taken of all clips."""
    found = []
    for measure in MEASURES:
        columns = {name: [measure.of(one["methods"][name]) for one in scores] for name in scores[0]["methods"]}
        if any(value is None for values in columns.values() for value in values):
            continue
        made = columns.pop(stage)
        best = (max if measure.higher else min)(columns, key=lambda name: fmean(columns[name]))
        apart = Mean.of([own - other for own, other in zip(made, columns[best], strict=True)])
        told = apart.half is not None and abs(apart.value) > apart.half
        found.append(
            Comparison(
                measure=measure.name,
                clips=len(made),
                made=fmean(made),
                way=best,
                plain=fmean(columns[best]),
                difference=apart.value,
                half=apart.half,
                better=(apart.value > 0) == measure.higher if told else None,
            )
        )
    return found


def comparison_table(pairs: Mapping[tuple[str, str], Sequence[Comparison]]) -> str:
    """A line for each stage and input: in every measure the stage, the best plain way, and how far apart they are."""
    heads = ("stage", "input", "clips", *(f"{measure.name}: stage, plain, difference" for measure in MEASURES))
    lines = [heads, tuple("---" for _ in heads)]
    for (stage, given), several in pairs.items():
        told = {one.measure: one for one in several}
        cells = [_cell(told[m.name], m.digits) if m.name in told else "-" for m in MEASURES]
        lines.append((stage, given, str(several[0].clips), *cells))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(one: Comparison, digits: int) -> str:
    half = "" if one.half is None else f" ± {one.half:.{digits}f}"
    verdict = {True: "better", False: "worse", None: "not shown"}[one.better]
    apart = f"{one.difference:+.{digits}f}{half}"
    return f"{one.made:.{digits}f}, {one.plain:.{digits}f} ({one.way}), {apart}: {verdict}"
