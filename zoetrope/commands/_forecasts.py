"""The options of `evaluate` for forecasts and ensembles, and what they mean for the models."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from zoetrope.commands._long import method_named, scheme_named
from zoetrope.commands._options import MOST_MADE, at_least

if TYPE_CHECKING:
    from zoetrope.cascade.spec import StageSpec
    from zoetrope.known import Method
    from zoetrope.metrics.generation import RolledOut
    from zoetrope.metrics.measures import Measure
    from zoetrope.shapes import VideoShape

MOST_MEMBERS = 1000

KnownPlaces = Annotated[
    list[str] | None,
    typer.Option(
        "--known",
        metavar="FRAMES",
        help="Frames of the real clips that the model is given, such as 0:4, 0 or -1; it makes the others, which are "
        "compared with the real ones. Repeatable.",
    ),
]
Members = Annotated[int, typer.Option(help="Videos of each case: an ensemble of forecasts, or of other videos.")]
RolloutSeconds = Annotated[
    float | None,
    typer.Option(
        "--seconds",
        metavar="S",
        help="Videos of S seconds, longer than the model's clips, in blocks; see --scheme. [the model's clips]",
    ),
]
Thresholds = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[CHANNEL=]V,V",
        help="Values in units from which on csi counts an event, such as rain=1,5; of the first channel without a "
        "name. Repeatable.",
    ),
]
Pool = Annotated[int, typer.Option(metavar="N", help="An event may be anywhere in blocks of N pixels, for csi.")]


class ForecastOptions(NamedTuple):
    """The options, as given."""

    known: tuple[str, ...] = ()
    method: str | None = None
    weight: float | None = None
    members: int = 1
    seconds: float | None = None
    scheme: str | None = None

    def check(self, after: str | None) -> None:
        """Raise ValueError for options that do not go together."""
        at_least("--members", self.members, 1, MOST_MEMBERS)
        if self.scheme is not None and self.seconds is None:
            raise ValueError("--scheme: expected with --seconds, got it alone")
        if self.method is not None and not self.known and self.seconds is None:
            raise ValueError("--known-method: expected with --known, got it alone")
        if after is not None and (self.known or self.seconds is not None):
            option = "--known" if self.known else "--seconds"
            raise ValueError(f"{option}: expected without --after, which gives reduced clips instead")
        _ = self.way, scheme_named(self.scheme)

    @property
    def way(self) -> "Method | None":
        """The method for known frames."""
        return method_named(self.method, self.weight)

    def rollout(self) -> "RolledOut | None":
        """How long videos are made; None: they are the model's clips."""
        from zoetrope.metrics.generation import RolledOut

        return None if self.seconds is None else RolledOut(self.seconds, scheme_named(self.scheme))

    def shape(self, stages: "Sequence[StageSpec]") -> "VideoShape":
        """The shape of the videos that these stages make. Raises ValueError for seconds of no whole frames."""
        from zoetrope.cascade.long.film import frames_in
        from zoetrope.metrics.generation import rollout_shape

        if self.seconds is None:
            return stages[-1].made
        videos = [stage for stage in stages if not stage.makes_vectors]
        first, times = videos[0].shape, videos[-1].made.frames // videos[0].shape.frames
        return rollout_shape(videos, frames_in(self.seconds, first.fps, "--seconds", times=times))

    def places(self, stages: "Sequence[StageSpec]") -> tuple[int, ...]:
        """The numbers of the known frames of the videos. Raises ValueError for places that are none or leave nothing.

        A long video begins with them.
        """
        from zoetrope.models.known_places import numbers_of

        shape = self.shape(stages)
        found = [number for place in self.known for number in _named(numbers_of, place, shape.frames)]
        if twice := [number for place, number in enumerate(found) if number in found[:place]]:
            raise ValueError(f"--known: frame {twice[0]} is given twice")
        if len(found) == shape.frames:
            raise ValueError(f"--known: expected a frame for the model to make, got all {shape.frames}")
        known = tuple(sorted(found))
        if self.seconds is not None and known:
            step = stages[-1].made.frames // stages[0].shape.frames
            if known != tuple(range(len(known))) or len(known) % step:
                several = "" if step == 1 else f", a multiple of {step} of them,"
                raise ValueError(f"--known: expected the first frames{several} of videos of --seconds, as 0:{4 * step}")
        return known

    def expect(self, stages: "Sequence[StageSpec]", teachers: "Sequence[StageSpec]") -> None:
        """Raise ValueError where the stages cannot be given the known frames."""
        from zoetrope.metrics.generation import Wanted, given_frames
        from zoetrope.models.known import known_of

        known = self.places(stages)
        if not known or self.seconds is not None:
            return
        import torch

        grid = stages[-1].made.with_(height=1, width=1)
        blank = torch.zeros(1, 1, *grid.sizes)
        known_of(given_frames(Wanted([], known=known, method=self.way), blank), stages, teachers)

    def settings(self) -> dict[str, Any]:
        """The options that determine the videos and are not the usual ones, as JSON."""
        usual = ForecastOptions()._asdict()
        told = {name: value for name, value in self._asdict().items() if value != usual[name]}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in told.items()}


def _named(numbers_of: Any, place: str, frames: int) -> list[int]:
    try:
        found: list[int] = numbers_of(place, frames)
    except ValueError as error:
        raise ValueError(f"--{error}") from None
    return found


def untold(label: str, stages: "Sequence[StageSpec]", tells: Mapping[str, str]) -> list[str]:
    """Warnings about what the model of that label can be told and the data do not tell."""
    told_of = [each for stage in stages for each in stage.inputs if each.source is None]
    wanted = {name: kind for each in told_of for name, kind in each.tells.items()}
    return [
        f"{label}: the data tell no {kind} {name!r}, which is therefore unknown to it"
        for name, kind in wanted.items()
        if name not in tells
    ]


def expect_beside(after: str | None, stages: "Sequence[StageSpec]", tells: Mapping[str, str]) -> None:
    """Raise ValueError for data without the videos that the stage after `after` is told in its place."""
    from zoetrope.inputs.low_res import paired

    low = None if after is None else paired(stages[0].inputs)
    if low is not None and tells.get(str(low.told)) != "video":
        known = ", ".join(sorted(tells)) or "nothing"
        raise ValueError(
            f"--data: expected a video {low.told!r} beside its clips, which {stages[0].name} is told in the place of "
            f"what {after} makes; the data tell {known}"
        )


def with_events(measures: "list[Measure]", thresholds: list[str] | None, pool: int) -> "list[Measure]":
    """The measures, with one of events for each channel whose `--thresholds` are given."""
    from zoetrope.metrics.measures.csi import CriticalSuccess

    at_least("--pool", pool, 1, MOST_MADE)
    if pool > 1 and not thresholds:
        raise ValueError("--pool: expected with --thresholds, of whose events it is about, got it alone")
    own = [_events(text, pool) for text in thresholds or []]
    made: list[Measure] = []
    for measure in measures:
        made += own if own and isinstance(measure, CriticalSuccess) else [measure]
    if own and not any(isinstance(measure, CriticalSuccess) for measure in measures):
        raise ValueError("--thresholds: expected with csi among --metrics, got it without")
    return made


def _events(text: str, pool: int) -> "Measure":
    """The measure of one `--thresholds`."""
    from zoetrope.metrics.measures.csi import CriticalSuccess

    channel, sign, values = text.rpartition("=")
    try:
        numbers = tuple(float(value) for value in values.split(","))
        return CriticalSuccess(thresholds=numbers, pool=pool, channel=channel if sign else None)
    except ValueError:
        raise ValueError(f"--thresholds {text}: expected values in units, such as 1,5 or rain=1,5") from None
