"""`zoetrope generate`: text to video."""

import hashlib
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from zoetrope.commands._control import ControlAsked, ControlFiles, ControlScales, ControlSources
from zoetrope.commands._jobs import Count, Job, Members, Negative, Prompts, Samples, Text, jobs_asked
from zoetrope.commands._known import (
    KnownAsked,
    KnownFiles,
    LowRes,
    Maps,
    Mask,
    MethodName,
    MethodWeight,
    PictureFile,
    values_of,
)
from zoetrope.commands._long import LongJob, SchemeName, Seconds, method_named, prepared, scheme_named
from zoetrope.commands._look import ChannelName, Colours, Limits, look_of
from zoetrope.commands._making import Making, run
from zoetrope.commands._options import (
    Device,
    Json,
    Quiet,
    Sets,
    Trust,
    at_least,
    bytes_named,
)
from zoetrope.commands._sampling import (
    After,
    DType,
    FitName,
    Frames,
    Given,
    Guidance,
    Memory,
    Models,
    Rate,
    RoutineName,
    SamplerName,
    SamplingOptions,
    SaveStages,
    Seed,
    Sizes,
    Steps,
    StyleModel,
    StyleWeight,
    TeacherFlag,
    Until,
    WindowsAsked,
    about,
    about_start,
    expect_guided,
    opened,
    ready,
    warn_of_cuts,
)
from zoetrope.commands._sizes import in_one_go, in_sizes
from zoetrope.commands._talk import Talk

if TYPE_CHECKING:
    from zoetrope.cascade.spec import CascadeSpec
    from zoetrope.cascade.start import Footage
    from zoetrope.commands._outputs import Outputs, StageOutputs

Out = Annotated[
    str | None,
    typer.Option(
        "--out",
        "-o",
        metavar="OUT",
        help=".mp4, .webm, .gif, .png, or a folder/ of pictures; .npz, .zarr or .nc for values in units. "
        "[named after the prompt]",
    ),
]
From = Annotated[
    str | None,
    typer.Option("--from", metavar="VIDEO", help="A video to start from; it replaces the output of a stage."),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on after an interruption: what is there already is not made again.")
]


class Begin(NamedTuple):
    """The start of the cascade: a video instead of the output of stage `after`, if given."""

    source: str | None
    after: str | None
    fit: str


class Target(NamedTuple):
    """The requested outputs, whether existing videos are kept, how pictures show a channel, and the ensemble's size."""

    out: str | None
    save_stages: str | None
    resume: bool
    shown: tuple[str | None, str | None, tuple[float, float] | None] = (None, None, None)
    members: int | None = None


def generate(
    prompts: Text = None,
    out: Out = None,
    model: Models = None,
    until: Until = None,
    source: From = None,
    after: After = None,
    fit: FitName = "exact",
    known: KnownFiles = None,
    mask: Mask = None,
    picture: PictureFile = None,
    control: ControlFiles = None,
    control_from: ControlSources = None,
    control_scale: ControlScales = None,
    low_res: LowRes = None,
    known_method: MethodName = None,
    known_weight: MethodWeight = None,
    seed: Seed = 0,
    steps: Steps = None,
    guidance: Guidance = None,
    sampler: SamplerName = None,
    negative: Negative = None,
    size: Sizes = None,
    frames: Frames = None,
    fps: Rate = None,
    windows: WindowsAsked = None,
    routine: RoutineName = None,
    seconds: Seconds = None,
    scheme: SchemeName = None,
    channel: ChannelName = None, colours: Colours = None, limits: Limits = None,
    count: Count = 1,
    members: Members = None,
    sample: Samples = None,
    save_stages: SaveStages = None,
    prompts_file: Prompts = None,
    given: Given = None,
    maps: Maps = None,
    resume: Resume = False,
    sets: Sets = None,
    device: Device = None,
    dtype: DType = "auto",
    memory: Memory = None,
    teacher: TeacherFlag = False,
    style: StyleModel = None,
    style_weight: StyleWeight = None,
    trust: Trust = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Make videos of prompts."""
    jobs = jobs_asked(prompts, prompts_file, negative, (count, sample), members)
    asked = SamplingOptions(seed, steps, guidance, sampler, sets, device, dtype, teacher, None, frames, fps)
    asked = asked._replace(style=style, style_weight=style_weight, windows=windows, routine=routine)
    target = Target(out and os.path.expanduser(out), save_stages, resume, (channel, colours, limits), members)
    told = KnownAsked(known, low_res, known_method, known_weight, fit, mask)
    controls = ControlAsked(control, control_from, control_scale, fit)
    work = Work(model, until, bytes_named(memory) if memory else None, values_of(given, picture, maps), told, controls)
    what = (Begin(source and os.path.expanduser(source), after, fit), jobs, target)
    in_sizes(Talk(json, quiet), size, model, asked, target.out, partial(_prepared, work, what, (seconds, scheme)))


class Work(NamedTuple):
    """The models to run, the last stage, the memory limit, values for inputs, known frames, and controls."""

    model: list[str] | None
    until: str | None
    memory: int | None
    given: dict[str, Any]
    known: KnownAsked
    control: ControlAsked


def _prepared(
    work: Work,
    what: tuple[Begin, Sequence[Job], Target],
    how: tuple[float | None, str | None],
    talk: Talk,
    asked: SamplingOptions,
    out: str | None,
) -> Callable[[], None]:
    """What makes the videos, in one go if that can be; `how` says their seconds and the scheme."""
    (begin, jobs, target), (seconds, scheme) = what, how
    at_least("--seconds", seconds, 0)
    clip = None if seconds is None or scheme is not None else in_one_go(talk, work.model, asked, seconds)
    if clip is None and (seconds is not None or scheme is not None):
        return _generate_long(talk, work, asked, begin, jobs, target._replace(out=out), how)
    return _generate(talk, work, clip or asked, begin, jobs, target._replace(out=out))


def _generate(
    talk: Talk, work: Work, asked: SamplingOptions, begin: Begin, jobs: Sequence[Job], target: Target
) -> Callable[[], None]:
    from zoetrope.cascade.graph import expect_videos
    from zoetrope.cascade.start import stages_after
    from zoetrope.commands._members import outputs_of
    from zoetrope.commands._outputs import Kept, StageOutputs
    from zoetrope.fields import content_of
    from zoetrope.models.asking import about_values, expect_askable

    model = opened(work.model, asked, talk)
    _expect_prompts(model.spec, jobs, work.given)
    footage = _footage(model.spec, begin, work)
    stages = stages_after(model.spec, footage.stage.name if footage else None, work.until, work.given)
    expect_videos(stages)
    expect_askable(stages, work.given)
    known = work.known.frames(stages, model.spec.teachers, model.spec.channels)
    controls = work.control.clips(stages)
    kept = Kept(model.spec.channels, look_of(model.spec, *target.shown))
    stage_outputs = StageOutputs(target.save_stages, kept)
    prompts = [model.spec.name if job.prompt is None else job.prompt for job in jobs]
    last, members = stages[-1].shape, target.members is not None
    to = partial(outputs_of, target.out, prompts, last.frames, kept, fps=last.fps, members=members)
    if not target.resume:  # report unwritable names before checking weights
        outputs = to(done=None)
    negative = jobs[0].negative
    expect_guided(stages, negative, asked.guidance if footage else None)
    cascade = ready(model, stages, asked)
    told = about(cascade, stages, asked.seed)
    if begin.source and footage:
        content = hashlib.blake2b(content_of(footage.video), digest_size=8).hexdigest()
        told["from"] = {**about_start(begin.source, footage, begin.fit), "id": content}
    start = footage.start() if footage else None
    if work.given:
        told["given"] = about_values(stages, work.given)
    if known is not None:
        told["known"] = work.known.about(known)
    if kept.look is not None:
        told["look"] = kept.look.to_json()
    if controls:
        told["control"] = work.control.about(controls)
    given = {**work.given, **controls}
    making = Making(cascade, stages, jobs, asked.seed, work.until, start, work.memory, given, known, told)
    if target.resume:
        outputs = to(done=making.finished)
    stage_outputs.expect_apart(outputs.paths, [(stage.name, stage.shape.frames) for stage in stages])
    said = ""
    if footage is not None:
        said = f"{begin.source}: {footage.own}, in the place of what {footage.stage.name} makes, {footage.stage.made}"
    return partial(_sampled, talk, making, outputs, stage_outputs, said)


def _sampled(talk: Talk, making: Making, outputs: "Outputs", stage_outputs: "StageOutputs", said: str) -> None:
    """Make and write the videos, and print the result; `said` is what is told before, if anything."""
    from zoetrope.commands._members import MemberOutputs

    cascade, texts = making.cascade, [*(job.prompt for job in making.jobs), making.jobs[0].negative]
    warn_of_cuts(talk, cascade, [text for text in texts if text is not None])
    if said:
        talk.say(said)
    files = run(talk, making, outputs, stage_outputs)
    if isinstance(outputs, MemberOutputs):
        files = [outputs.gathered(files, making.stages[-1].made.fps, making.ensemble_tags)]
    talk.result({"files": files, **making.about}, "" if talk.quiet else "\n".join(file["path"] for file in files))


def _generate_long(
    talk: Talk,
    work: Work,
    asked: SamplingOptions,
    begin: Begin,
    jobs: Sequence[Job],
    target: Target,
    how: tuple[float | None, str | None],
) -> Callable[[], None]:
    """What makes videos of so many seconds, by a scheme."""
    from zoetrope.cascade.start import stages_after
    from zoetrope.models.long import Long

    seconds, order = how[0], scheme_named(how[1])
    if seconds is None:
        raise ValueError("--scheme: expected a video longer than the model's clips; give --seconds S")
    if target.members is not None:
        raise ValueError("--members: expected without --seconds; --count makes several long videos")
    of_control = {
        "--control": work.control.shown,
        "--control-from": work.control.source,
        "--control-scale": work.control.scale,
    }
    if name := next((name for name, value in of_control.items() if value), None):
        raise ValueError(f"{name}: expected without --seconds, for it controls the frames of one clip")
    of_clips = {
        "--from": begin.source,
        "--after": begin.after,
        "--known": work.known.known,
        "--low-res": work.known.low_res,
        "--mask": work.known.mask,
        "--fit": None if begin.fit == "exact" else begin.fit,
    }
    if name := next((name for name, value in of_clips.items() if value), None):
        raise ValueError(f"{name}: expected without --seconds; `zoetrope extend VIDEO --seconds S` continues a video")
    if target.save_stages is not None:
        raise ValueError("--save-stages: expected without --seconds; the frames of long videos are kept once")
    model = opened(work.model, asked, talk)
    _expect_prompts(model.spec, jobs, work.given)
    stages = stages_after(model.spec, None, work.until, work.given)
    expect_guided(stages, jobs[0].negative, None)
    cascade = ready(model, stages, asked)
    how_known = method_named(work.known.method, work.known.weight)
    base = Long(
        seconds=seconds, scheme=order, known=how_known, seed=asked.seed, until=work.until, memory=work.memory,
        given=work.given,
    )  # fmt: skip
    own = [base.with_(prompt=job.prompt, negative=job.negative, sample=job.sample) for job in jobs]
    titles = [model.spec.name if job.prompt is None else job.prompt for job in jobs]
    long = [LongJob(wanted, None, job._asdict()) for wanted, job in zip(own, jobs, strict=True)]
    return prepared(talk, cascade, long, target.out, titles, target.resume, look_of(model.spec, *target.shown))


def _footage(spec: "CascadeSpec", begin: Begin, work: Work) -> "Footage | None":
    """The video to start from, if given."""
    from zoetrope.cascade.start import fit_named, read_start

    how = fit_named(begin.fit)
    if begin.source is not None:
        return read_start(begin.source, spec, after=begin.after, until=work.until, fit=how)
    if begin.after is not None:
        raise ValueError("--after: expected a video that it is about; give --from VIDEO")
    if how != "exact" and not work.known.given and not work.control.given:
        raise ValueError(
            "--fit: expected a video or pictures that it is about; give --from VIDEO, --known PLACE=FILE or --control"
        )
    return None


def _expect_prompts(spec: "CascadeSpec", jobs: Sequence[Job], values: dict[str, Any]) -> None:
    """Raise ValueError for a prompt that is missing, where no picture is given, or that the model does not take."""
    given = next((text for job in jobs for text in (job.prompt, job.negative) if text is not None), None)
    if spec.text is not None and jobs[0].prompt is None and "picture" not in values:
        raise ValueError('expected a prompt, such as: zoetrope generate "a red ball rolls to the left"')
    if spec.text is None and given is not None:
        raise ValueError(f"{spec.name} is told no text; expected no prompt, got {given!r}")
