"""`zoetrope evaluate`: measure the quality of a model's videos, with the protocol of every number."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoetrope.commands._ending import interrupted_saying
from zoetrope.commands._evaluation import (
    EvaluationOptions,
    expect,
    judged,
    make,
    planned,
    prepare_folder,
    report,
    summary,
)
from zoetrope.commands._forecasts import (
    ForecastOptions,
    KnownPlaces,
    Members,
    Pool,
    RolloutSeconds,
    Thresholds,
    expect_beside,
    untold,
    with_events,
)
from zoetrope.commands._known import MethodName, MethodWeight
from zoetrope.commands._long import SchemeName
from zoetrope.commands._options import (
    MOST_MADE,
    Device,
    Json,
    Quiet,
    Sets,
    Short,
    Trust,
    at_least,
    bytes_named,
    device_named,
    new_folder,
    short_named,
)
from zoetrope.commands._sampling import (
    DType,
    Guidance,
    Memory,
    SamplerName,
    SamplingOptions,
    Seed,
    Steps,
    TeacherFlag,
    Until,
)
from zoetrope.commands._talk import Talk

if TYPE_CHECKING:
    from zoetrope.metrics.evaluation import PreparedMeasure
    from zoetrope.metrics.features import Extractor
    from zoetrope.metrics.measures import Measure

Names = Annotated[
    list[str],
    typer.Argument(
        metavar="MODEL...",
        help="Shipped names, folders, hub ids or folders of trainings; several are compared. A+B puts runs together.",
        show_default=False,
    ),
]
Data = Annotated[
    str,
    typer.Option(
        metavar="DIR|toybox|JSON",
        help="Captioned clips: where prompts come from, and what videos are compared with. JSON is that of a recipe's "
        '"data".',
    ),
]
Split = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Of a folder, the split that its metadata marks; of toybox, held_out (what training never saw) or "
        "training. [all; held_out]",
    ),
]
Metrics = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME,...", help="Such as fvd,fid,clip_score or frechet[mobilenet_v2]. [all that can be had]"),
]
Features = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KIND=WHERE",
        help="The file or hub id of a feature network (mobilenet_v2, i3d, inception, clip, transformers_video, "
        "torchscript), or its fields as JSON. TorchScript files are programs and are run. Repeatable.",
    ),
]
AfterStage = Annotated[
    str | None,
    typer.Option(
        "--after", metavar="STAGE", help="Judge the stages after this one: real clips, reduced, come in its place."
    ),
]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="REPORT", help="The folder of the report.")]
Count = Annotated[int, typer.Option(help="Videos of each model.")]
Real = Annotated[
    int | None, typer.Option("--reference", metavar="N", help="Clips that they are compared with. [as many as --count]")
]
Window = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Frames of each clip that a network of clips looks at. [fvd: 16; others: all that it can]"
    ),
]
Stride = Annotated[int, typer.Option(help="Look at every N-th frame of each clip.")]


def evaluate(
    models: Names,
    data: Data,
    out: Out = Path("report"),
    metrics: Metrics = None,
    features: Features = None,
    split: Split = None,
    short: Short = None,
    until: Until = None,
    after: AfterStage = None,
    known: KnownPlaces = None,
    known_method: MethodName = None,
    known_weight: MethodWeight = None,
    members: Members = 1,
    seconds: RolloutSeconds = None,
    scheme: SchemeName = None,
    count: Count = 64,
    reference: Real = None,
    stride: Stride = 1,
    window: Window = None,
    thresholds: Thresholds = None,
    pool: Pool = 1,
    seed: Seed = 0,
    steps: Steps = None,
    guidance: Guidance = None,
    sampler: SamplerName = None,
    sets: Sets = None,
    device: Device = None,
    dtype: DType = "auto",
    memory: Memory = None,
    teacher: TeacherFlag = False,
    trust: Trust = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure models on the captions and clips of DATA.

    Makes videos of the captions, or of some --known frames of the clips, compares them with the clips, and writes a
    report.
    """
    _expect_numbers(count, reference, stride, window)
    _expect_truth(count, reference, after, known)
    own = ForecastOptions(tuple(known or ()), known_method, known_weight, members, seconds, scheme)
    own.check(after)
    found = _measures(metrics, _extractors(features or []))
    measures = with_events([one if window is None else one.with_(window=window) for one in found], thresholds, pool)
    options = EvaluationOptions(
        tuple(models), new_folder(out), data, split, short_named(short), until, after, count, reference or count,
        stride, seed, bytes_named(memory) if memory else None, own,
    )  # fmt: skip
    asked = SamplingOptions(seed, steps, guidance, sampler, sets, device, dtype, teacher)
    _run(Talk(json, quiet), options, asked, measures, window, strict=metrics is not None)


def _expect_numbers(count: int, reference: int | None, stride: int, window: int | None) -> None:
    """Raise ValueError for numbers out of range."""
    for option, value in (("--count", count), ("--reference", reference), ("--stride", stride), ("--window", window)):
        at_least(option, value, 1, MOST_MADE)


def _expect_truth(count: int, reference: int | None, after: str | None, known: list[str] | None) -> None:
    """Raise ValueError if videos that are made from real clips would have no truth."""
    if after is not None and reference not in (None, count):
        raise ValueError(f"--reference: expected as many as --count with --after, {count}, got {reference}")
    if known and reference is not None and reference < count:
        raise ValueError(
            f"--reference: expected at least as many as --count with --known, {count}, whose clips are the truth, "
            f"got {reference}"
        )


def _run(
    talk: Talk,
    options: EvaluationOptions,
    asked: SamplingOptions,
    measures: "list[Measure]",
    window: int | None,
    *,
    strict: bool,
) -> None:
    """Generate, measure and report; under torchrun every process generates a share, and the first does the rest."""
    from zoetrope.metrics.reference import open_reference
    from zoetrope.metrics.report import write_report
    from zoetrope.processes.ranks import Ranks

    place, out = device_named(asked.device), options.out
    ranks = Ranks.join(place)
    talk = Talk(talk.json and ranks.leads, talk.quiet or not ranks.leads)
    found = open_reference(options.data, options.split, short_named(options.short))
    if found.unused and ranks.leads:
        talk.warn("\n".join(found.unused))
    plan = planned(options, found, asked)
    for model in plan.models if ranks.leads else ():
        expect_beside(options.after, model.stages, found.tells)
        for line in untold(model.label, model.stages, found.tells):
            talk.warn(line)
    ready = expect(plan, measures, strict=strict, device=place) if ranks.leads else []
    if ranks.leads:
        _expect_clips(window, ready)
        prepare_folder(plan)
    ranks.meet()
    with interrupted_saying(lambda: f"interrupted: {out} keeps what was made; the same command goes on with it"):
        make(talk, plan, ranks, gaps=any(one.masks for one in measures))
        ranks.leave()
        if not ranks.leads:
            return
        results = judged(talk, plan, ready)
    written = write_report(out, report(plan, results), plan.shelves(), {one.model.label: one.places for one in results})
    talk.result(written, "" if talk.quiet else summary(results) + f"\n{out / 'index.html'}")


def _expect_clips(window: int | None, ready: "list[PreparedMeasure]") -> None:
    """Raise ValueError for a `window` through which no network of clips looks; one that could not be opened may be."""
    from zoetrope.metrics.features import ClipNetwork

    looking = (isinstance(one.network, ClipNetwork) for one in ready)
    unopened = (one.unavailable is not None and one.measure.extractor is not None for one in ready)
    if window is not None and not any((*looking, *unopened)):
        raise ValueError("--window: expected with a network of clips, such as fvd's (--features i3d=FILE), got none")


def _extractors(features: list[str]) -> "dict[str, Extractor]":
    """The named feature networks, by kind. Nothing is opened."""
    from zoetrope.config.strict_json import parse_json
    from zoetrope.metrics.features import Extractor

    found: dict[str, Extractor] = {}
    for item in features:
        kind, sign, where = item.partition("=")
        if not sign or not where.strip():
            raise ValueError(f"--features {item}: expected KIND=WHERE, such as i3d=i3d_torchscript.pt")
        made = Extractor.named(kind.strip())
        if made.kind() in found:
            raise ValueError(f"--features {item}: expected one network {made.kind()}, got two")
        if where.lstrip().startswith("{"):
            try:
                fields = parse_json(where)
            except ValueError as error:
                raise ValueError(f"--features {kind}: {error}") from None
            found[made.kind()] = made.from_json(fields)
        else:
            found[made.kind()] = made.at(where.strip())
    return found


def _measures(metrics: list[str] | None, extractors: "dict[str, Extractor]") -> "list[Measure]":
    """The requested measures, or all. Raises ValueError for a network that none of them takes."""
    from zoetrope.metrics.choice import choose, usual

    if metrics is None:
        found = usual(extractors)
    else:
        names = [name for item in metrics for name in item.split(",") if name.strip()]
        if not names:
            raise ValueError("--metrics: expected the name of a metric, got none")
        found = choose(names, extractors)
    taken = {measure.extractor.kind() for measure in found if measure.extractor is not None}
    if unused := sorted(extractors.keys() - taken):
        got = ", ".join(dict.fromkeys(measure.kind() for measure in found))
        raise ValueError(f"--features {unused[0]}: expected with a metric that takes it, got {got}")
    return found
