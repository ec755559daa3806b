"""The work of `evaluate` between reading options and printing: plan, generate, measure."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from zoetrope import __version__
from zoetrope.commands._forecasts import ForecastOptions
from zoetrope.commands._sampling import SamplingOptions, expect_guided, opened, ready
from zoetrope.commands._talk import Talk
from zoetrope.files import write_text
from zoetrope.files.plain import read_json

if TYPE_CHECKING:
    import torch

    from zoetrope.cascade.spec import StageSpec
    from zoetrope.metrics.clips import Material, Seen
    from zoetrope.metrics.evaluation import PreparedMeasure
    from zoetrope.metrics.generation import Wanted
    from zoetrope.metrics.measures import Measure, Result, Unavailable
    from zoetrope.metrics.reference import Reference
    from zoetrope.metrics.report import Report
    from zoetrope.metrics.shelf import Shelf
    from zoetrope.models.cascade import Cascade
    from zoetrope.processes.ranks import Ranks
    from zoetrope.shapes import VideoShape

SETTINGS = "settings.json"
SAMPLES = "samples"
_LATER = {"clips"}  # settings that reports of earlier versions do not tell
_NAMED = 5  # names of damaged clips to list


class EvaluationOptions(NamedTuple):
    """The options of `evaluate`, except those of sampling."""

    models: tuple[str, ...]
    out: Path
    data: str
    split: str | None
    short: str | None
    until: str | None
    after: str | None
    videos: int
    real: int
    stride: int
    seed: int
    memory: int | None
    forecast: ForecastOptions = ForecastOptions()

    @property
    def made(self) -> int:
        """How many videos each model makes."""
        return self.videos * self.forecast.members


class Model(NamedTuple):
    """A model to evaluate.

    Attributes:
        label: its name in the report; name: as it was asked for.
        key: a hash of all that determines its videos.
        shape: the grid of its videos; known: the frames of these that it is given.
    """

    label: str
    name: str
    stages: "tuple[StageSpec, ...]"
    cascade: "Cascade"
    key: str
    shape: "VideoShape"
    known: tuple[int, ...] = ()


class Plan(NamedTuple):
    """Everything that the evaluation takes."""

    options: EvaluationOptions
    models: tuple[Model, ...]
    reference: "Reference"

    def shelf(self, model: Model) -> "Shelf":
        """The shelf of a model's videos."""
        from zoetrope.metrics.shelf import Shelf

        return Shelf(self.options.out / SAMPLES / model.label, model.shape, self.reference.channels)

    def real_shelf(self, shape: "VideoShape") -> "Shelf":
        """The shelf of the real clips on a grid."""
        from zoetrope.metrics.shelf import Shelf

        return Shelf(self.options.out / SAMPLES / f"real-{shape}", shape, self.reference.channels)

    def shelves(self) -> "dict[str, Shelf]":
        """The shelves that the report shows: real clips on the first model's grid, and each model's videos."""
        return {"real": self.real_shelf(self.models[0].shape)} | {m.label: self.shelf(m) for m in self.models}

    def settings(self) -> dict[str, Any]:
        """All that determines the videos and the real clips, as JSON."""
        o = self.options
        own: dict[str, Any] = {"data": o.data, "split": o.split, "until": o.until, "after": o.after, "seed": o.seed}
        own |= o.forecast.settings()  # as those below, without what earlier versions did not know
        own |= {} if self.reference.source is None else {"source": self.reference.source}
        own |= {"short": o.short} if o.short not in (None, "hold") else {}
        own |= {} if self.reference.contents is None else {"clips": self.reference.contents}
        models = {model.label: model.key for model in self.models}
        return {"format": 1, **own, "count": o.videos, "reference": o.real, "models": models}

    def material(self, model: Model, prompts: Sequence[str], seen: "Seen") -> "Material":
        """The input of measures for a model. Clips are read on access."""
        from zoetrope.metrics.clips import Material

        told, script = self.options, self.reference.script
        of_case = [text for text in prompts for _ in range(told.forecast.members)]
        cases = [number // told.forecast.members for number in range(told.made)]
        return Material(
            made=self.shelf(model).clips(told.made, model.name),
            real=self.real_shelf(model.shape).clips(told.real, self.reference.name),
            prompts=tuple(of_case),
            scripts=tuple(script(case) for case in cases) if script is not None else (),
            paired=told.after is not None or bool(model.known),
            members=told.forecast.members,
            known=model.known,
            stride=told.stride,
            seed=told.seed,
            seen=seen,
        )


class Judged(NamedTuple):
    """A model, the prompts of its cases, their results, and what measures found at each place, by their names."""

    model: Model
    prompts: tuple[str, ...]
    results: "tuple[Result | Unavailable, ...]"
    places: "Mapping[str, Mapping[str, torch.Tensor]]"


def planned(options: EvaluationOptions, reference: "Reference", asked: SamplingOptions) -> Plan:
    """Find all models. Raises ValueError for one that cannot run, before anything is generated."""
    from zoetrope.cascade.start import stages_after
    from zoetrope.channels import difference
    from zoetrope.models.beside import key_of

    models: list[Model] = []
    for name in options.models:
        model = opened([name] if Path(os.path.expanduser(name)).exists() else name.split("+"), asked)
        stages = stages_after(model.spec, options.after, options.until)
        if (wrong := difference(model.spec.channels, reference.channels)) is not None:
            raise ValueError(f"--data: {wrong}; {name} makes these")
        expect_guided(stages, None, asked.guidance if options.after else None)
        cascade = ready(model, stages, asked)
        options.forecast.expect(stages, model.spec.teachers)
        shape, known = options.forecast.shape(stages), options.forecast.places(stages)
        key = key_of(model, stages, cascade.device, cascade.dtype)
        label = _label(name, ["real", *(model.label for model in models)])
        models.append(Model(label, name, tuple(stages), cascade, key, shape, known))
    return Plan(options, tuple(models), reference)


def expect(
    plan: Plan, measures: "Sequence[Measure]", *, strict: bool, device: "torch.device"
) -> "list[PreparedMeasure]":
    """Open all networks and check which measures apply; raises ValueError if none does."""
    from zoetrope.metrics.clips import Seen
    from zoetrope.metrics.evaluation import prepare

    stand_ins = [str(number) for number in range(plan.options.videos)]  # prompts are not known yet
    materials = [plan.material(model, stand_ins, Seen()) for model in plan.models]
    found = prepare(measures, materials, strict=strict, device=device)
    if all(one.unavailable for one in found):
        reasons = "; ".join(f"{one.unavailable.title}: {one.unavailable.reason}" for one in found if one.unavailable)
        raise ValueError(f"nothing can be measured: {reasons}")
    return found


def prepare_folder(plan: Plan) -> None:
    """Make the report's folder, or check that an existing one has the same settings, to continue it.

    Raises ValueError for a folder of anything else.
    """
    out, settings = plan.options.out, plan.settings()
    file = out / SETTINGS
    if file.is_file():
        try:
            there = read_json(file)
        except ValueError as error:
            raise ValueError(f"{error}; delete the folder or choose another --out") from None
        if not isinstance(there, dict):
            raise ValueError(f"{file}: expected settings, got other JSON; delete the folder or choose another --out")
        there = {**{name: settings[name] for name in _LATER & settings.keys()}, **there}
        if there != settings:
            names = sorted(name for name in {*there, *settings} if there.get(name) != settings.get(name))
            told = ", ".join(f"{name} ({there.get(name)!r} there, {settings.get(name)!r} asked)" for name in names)
            raise ValueError(f"{out}: holds a report of other settings: {told}; choose another --out")
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(
            f"{out}: expected a new folder or a report, got {'another folder' if out.is_dir() else 'a file'}"
        )
    out.mkdir(parents=True, exist_ok=True)
    write_text(file, json.dumps(settings, indent=1) + "\n")


def make(talk: Talk, plan: Plan, ranks: "Ranks", *, gaps: bool) -> None:
    """Read the real clips, then generate this process's share of the missing videos; what is to be known is warned of.

    Raises ValueError for clips with missing values, unless these are `gaps` that a measure takes.
    """
    from zoetrope.metrics.generation import WorkShare, generate, keep_reference

    told, share = plan.options, WorkShare(ranks.rank, ranks.world)
    with talk.bars() as bars:
        for shape in dict.fromkeys(model.shape for model in plan.models):
            count = max(told.videos, told.real)
            steps = keep_reference(plan.reference, plan.real_shelf(shape), count, share)
            _shown(bars, f"clips of {plan.reference.name}, {shape}", count, steps)
        ranks.meet()
        if not gaps:
            _expect_values(plan)
        for note in _notes(plan) if ranks.leads else ():
            talk.warn(note)
        prompts = _prompts(plan)
        for model in plan.models:
            wanted = _wanted(plan, model, prompts)
            steps = generate(model.cascade, plan.shelf(model), wanted, share)
            _shown(bars, f"videos of {model.label}, {model.shape}", told.made, steps)
        ranks.meet()


def _expect_values(plan: Plan) -> None:
    for shape in dict.fromkeys(model.shape for model in plan.models):
        real = plan.real_shelf(shape)
        for number in range(max(plan.options.videos, plan.options.real)):
            if real.present(number) is not None:
                raise ValueError(f"--data: clip {number}: expected clips without missing values, for these measures")


def _wanted(plan: Plan, model: Model, prompts: Sequence[str]) -> "Wanted":
    """The videos of a model. Raises ValueError for reduced clips with missing values."""
    from zoetrope.inputs.low_res import paired
    from zoetrope.metrics.generation import Wanted

    told, real = plan.options, plan.real_shelf(model.shape)
    reduced = told.after is not None and paired(model.stages[0].inputs) is None
    if reduced and any(real.present(number) is not None for number in range(told.videos)):
        raise ValueError("--after: expected clips without missing values, to be reduced")
    return Wanted(
        prompts=[text for text in prompts for _ in range(told.forecast.members)],
        seed=told.seed,
        until=told.until,
        after=told.after,
        real=real.read,
        told=real.told,
        memory=told.memory,
        members=told.forecast.members,
        known=model.known,
        method=told.forecast.way,
        rollout=told.forecast.rollout(),
    )


def judged(talk: Talk, plan: Plan, measures: "Sequence[PreparedMeasure]") -> list[Judged]:
    """Measure every model."""
    from zoetrope.metrics.clips import Seen
    from zoetrope.metrics.evaluation import take

    prompts, found = _prompts(plan), []
    with talk.bars() as bars:
        for model in plan.models:
            results: list[Result | Unavailable] = []
            seen = Seen()
            bars.begin(f"measures of {model.label}", len(measures))
            for number, result in enumerate(take(measures, plan.material(model, prompts, seen)), start=1):
                results.append(result)
                bars.advance(number)
            bars.end(f"measures of {model.label}: {len(results)}")
            found.append(Judged(model, prompts, tuple(results), seen.places))
    return found


def report(plan: Plan, found: Sequence[Judged]) -> "Report":
    """The report of all results."""
    from zoetrope.metrics.report import ModelEntry, Report, StageEntry

    entries = [
        ModelEntry(
            label=one.model.label,
            name=one.model.name,
            shape=one.model.shape,
            stages=tuple(
                StageEntry(name=stage.name, shape=str(stage.made), sampling=stage.sampling.to_json())
                for stage in one.model.stages
            ),
            device=str(one.model.cascade.device),
            dtype=str(one.model.cascade.dtype).removeprefix("torch."),
            key=one.model.key,
            results=one.results,
        )
        for one in found
    ]
    return Report(
        version=__version__,
        settings=plan.settings(),
        reference=plan.reference.name,
        notes=tuple(_notes(plan)),
        prompts=found[0].prompts,
        entries=tuple(entries),
    )


def summary(found: Sequence[Judged]) -> str:
    """The results as a table for a terminal."""
    ways = list(dict.fromkeys(way for one in found[0].results for way in getattr(one, "plain", {})))
    lines = []
    for number, one in enumerate(found[0].results):
        cells = [_cell(judged.results[number]) for judged in found]
        lines.append((one.name, *cells, *(_plain(one, way) for way in ways)))
    rows = [("", *(judged.model.label for judged in found), *ways), *lines]
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _cell(result: "Result | Unavailable") -> str:
    from zoetrope.metrics.measures import Unavailable
    from zoetrope.metrics.report.plain import number

    if isinstance(result, Unavailable):
        return f"unavailable: {result.reason}" + (f" ({result.remedy})" if result.remedy else "")
    return number(result)


def _plain(result: "Result | Unavailable", way: str) -> str:
    value = getattr(result, "plain", {}).get(way)
    return "" if value is None else f"{value:.3g}"


def _shown(bars: Any, name: str, total: int, steps: Iterator[int]) -> None:
    bars.begin(name, total)
    for done in steps:
        bars.advance(done)
    bars.end(f"{name}: {total}")


def _notes(plan: Plan) -> list[str]:
    """What is to be known of the real clips."""
    found = {plan.reference.note(max(plan.options.videos, plan.options.real), one.shape) for one in plan.models}
    return [note for note in (*sorted(filter(None, found)), _lost(plan)) if note is not None]


def _lost(plan: Plan) -> str | None:
    """A message about real clips that could not be read, if there are any."""
    count = max(plan.options.videos, plan.options.real)
    shelves = [plan.real_shelf(shape) for shape in dict.fromkeys(model.shape for model in plan.models)]
    lost = {name for shelf in shelves for number in range(count) for name in shelf.skipped(number)}
    if not lost:
        return None
    first = ", ".join(sorted(lost)[:_NAMED]) + (", ..." if len(lost) > _NAMED else "")
    return f"{len(lost)} of the clips could not be read, and others stand in their place: {first}"


def _prompts(plan: Plan) -> tuple[str, ...]:
    """The captions of the first clips. Raises ValueError if models of several grids have different ones."""
    found = {
        model.label: tuple(plan.real_shelf(model.shape).text(number) for number in range(plan.options.videos))
        for model in plan.models
    }
    first, *others = found.values()
    if any(other != first for other in others):
        raise ValueError(
            f"{plan.options.data}: not the same files are long enough for {', '.join(found)}, so that their prompts "
            "would differ; evaluate them one by one, or with --until"
        )
    return first


def _label(name: str, taken: Sequence[str]) -> str:
    """A short name for a model, which is also that of its folder."""
    stem = "+".join(Path(part).name or part for part in name.split("+")) if not Path(name).exists() else Path(name).name
    clean = "".join(c if c.isalnum() or c in "-_.+" else "-" for c in stem).strip(".-") or "model"
    label, number = clean, 2
    while label in taken:
        label, number = f"{clean}-{number}", number + 1
    return label
