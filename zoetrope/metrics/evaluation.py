"""Running a set of measures: each gives a number, or the reason why there is none."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch

from zoetrope.metrics.clips import Material
from zoetrope.metrics.features import Missing
from zoetrope.metrics.measures import Measure, OpenedExtractor, Result, Unavailable


class PreparedMeasure(NamedTuple):
    """A measure with its opened network, or with the reason why it cannot be taken."""

    measure: Measure
    network: OpenedExtractor | None = None
    unavailable: Unavailable | None = None


def prepare(
    measures: Sequence[Measure], materials: Sequence[Material], *, strict: bool, device: torch.device | str = "cpu"
) -> list[PreparedMeasure]:
    """Open every network once, and check that each measure applies to all `materials`.

    A missing network makes its measures unavailable. So do unsuitable videos, such as too few of them, except with
    `strict`, which raises ValueError.
    """
    opened: dict[str, OpenedExtractor | None] = {}
    ready = []
    for measure in measures:
        network = None
        try:
            with _fitting():
                for material in materials:
                    measure.expect(material)
            network = _opened(measure, opened, device)
            with _fitting():
                for material in materials:
                    measure.expect_network(network, material)
        except Missing as missing:
            ready.append(PreparedMeasure(measure, unavailable=_unavailable(measure, missing.reason, missing.remedy)))
        except _Unfit as error:
            if strict:
                raise
            ready.append(PreparedMeasure(measure, unavailable=_unavailable(measure, str(error))))
        else:
            ready.append(PreparedMeasure(measure, network))
    return ready


class _Unfit(ValueError):
    """A measure does not apply to the videos."""


def _opened(
    measure: Measure, opened: dict[str, OpenedExtractor | None], device: torch.device | str
) -> OpenedExtractor | None:
    """The measure's network, opened once."""
    key = str(None if measure.extractor is None else measure.extractor.to_json())
    if measure.extractor is None or key not in opened:
        opened[key] = measure.open(device)
    return opened[key]


@contextmanager
def _fitting() -> Iterator[None]:
    try:
        yield
    except Missing:
        raise
    except ValueError as error:
        raise _Unfit(str(error)) from None


def take(ready: Sequence[PreparedMeasure], material: Material) -> Iterator[Result | Unavailable]:
    """Measure one after the other."""
    for one in ready:
        if one.unavailable is not None:
            yield one.unavailable
            continue
        try:
            one.measure.expect(material)
            one.measure.expect_values(material)
            with torch.no_grad():
                yield one.measure.measure(material, one.network)
        except ValueError as error:  # what is known only of the videos themselves, such as one prompt for all
            yield _unavailable(one.measure, str(error))


def measured(
    measures: Sequence[Measure], material: Material, *, device: torch.device | str = "cpu"
) -> list[Result | Unavailable]:
    """The numbers of videos in memory, or the reasons why there are none, in the order of the measures.

    material = Material(Clips.of(members), Clips.of(truth), paired=True, members=16, known=(0, 1, 2, 3))
    crps, spectrum = measured(choose(["crps", "spectrum"], {}), material)
    """
    return list(take(prepare(measures, [material], strict=False, device=device), material))


def _unavailable(measure: Measure, reason: str, remedy: str = "") -> Unavailable:
    name = measure.kind() if measure.extractor is None else measure.name
    reason = reason.removeprefix(f"{measure.name}: ")
    return Unavailable(name=name, title=measure.title, reason=reason, remedy=remedy)
