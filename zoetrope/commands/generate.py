"""`zoetrope generate`: text to video."""

import hashlib
import os
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from zoetrope.commands._control import ControlAsked, ControlFiles, ControlScales, ControlSources
from zoetrope.commands._ending import interrupted_saying
from zoetrope.commands._jobs import Count, Job, Negative, Prompts, Samples, Text, jobs_of
from zoetrope.commands._known import (
    KnownAsked,
    KnownFiles,
    LowRes,
    Mask,
    MethodName,
    MethodWeight,
    PictureFile,
    values_of,
)
from zoetrope.commands._long import LongJob, SchemeName, Seconds, make, method_named, scheme_named
from zoetrope.commands._look import ChannelName, Colours, Limits, look_of
from zoetrope.commands._options import (
    Device,
    Json,
    Quiet,
    Sets,
    Trust,
    at_least,
    bytes_named,
)
from zoetrope.commands._provenance import is_same
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
    finished,
    opened,
    ready,
    tags_of,
    warn_of_cuts,
)
from zoetrope.commands._sizes import in_one_go, in_sizes
from zoetrope.commands._talk import Bars, Talk

if TYPE_CHECKING:
    from zoetrope.cascade.spec import CascadeSpec
    from zoetrope.cascade.start import Footage, Start
    from zoetrope.commands._outputs import Outputs, StageOutputs
    from zoetrope.models.cascade import Cascade
    from zoetrope.models.known import GivenFrames

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
    """The requested outputs, whether videos that already exist are kept, and how pictures show a channel."""

    out: str | None
    save_stages: str | None
    resume: bool
    shown: tuple[str | None, str | None, tuple[float, float] | None] = (None, None, None)


class Making(NamedTuple):
    """Everything needed to make the videos.

    `about` describes how they are made, which is the same for all of them.
    """

    cascade: "Cascade"
    jobs: Sequence[Job]
    seed: int
    until: str | None
    start: "Start | None"
    memory: int | None
    given: dict[str, Any]
    known: "GivenFrames | None"
    about: dict[str, Any]

    def tags(self, job: Job) -> dict[str, str]:
        """The tags of the file."""
        return {**tags_of(job.prompt, job._asdict(), self.about), "sample": str(job.sample)}

    def finished(self, path: str, number: int) -> bool:
        """Whether a file is this same video, according to its tags, whatever version made it."""
        from zoetrope.config.strict_json import parse_json
        from zoetrope.fields import tags_in

        try:
            own, other = (parse_json(t["comment"]) for t in (self.tags(self.jobs[number]), tags_in(path)))
            return is_same(own, other)
        except (ValueError, OSError, KeyError, TypeError, AttributeError):
            return False


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
    channel: ChannelName = None,
    colours: Colours = None,
    limits: Limits = None,
    count: Count = 1,
    sample: Samples = None,
    save_stages: SaveStages = None,
    prompts_file: Prompts = None,
    given: Given = None,
    resume: Resume = False,
    sets: Sets = None,
    device: Device = None,
    dtype: DType = "auto",
    memory: Memory = None,
    teacher: TeacherFlag = False,
    style: StyleModel = None,
    style_weight: StyleWeight = 0.7,
    trust: Trust = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make videos of prompts."""
    jobs = jobs_of(prompts, prompts_file, negative, (count, sample))
    asked = SamplingOptions(seed, steps, guidance, sampler, sets, device, dtype, teacher, None, frames, fps)
    asked = asked._replace(style=style, style_weight=style_weight, windows=windows, routine=routine)
    target = Target(out and os.path.expanduser(out), save_stages, resume, (channel, colours, limits))
    told = KnownAsked(known, low_res, known_method, known_weight, fit, mask)
    controls = ControlAsked(control, control_from, control_scale, fit)
    work = Work(model, until, bytes_named(memory) if memory else None, values_of(given, picture), told, controls)
    what = (Begin(source and os.path.expanduser(source), after, fit), jobs, target)
    in_sizes(Talk(json, quiet), size, model, asked, target.out, partial(_make, work, what, (seconds, scheme)))


class Work(NamedTuple):
    """The models to run, the last stage, the memory limit, values for inputs, known frames, and controls."""

    model: list[str] | None
    until: str | None
    memory: int | None
    given: dict[str, Any]
    known: KnownAsked
    control: ControlAsked


def _make(
    work: Work,
    what: tuple[Begin, Sequence[Job], Target],
    how: tuple[float | None, str | None],
    talk: Talk,
    asked: SamplingOptions,
    out: str | None,
) -> None:
    """Make the videos, in one go if that can be; `how` says their seconds and the scheme."""
    (begin, jobs, target), (seconds, scheme) = what, how
    clip = None if seconds is None or scheme is not None else in_one_go(talk, work.model, asked, seconds)
    if clip is None and (seconds is not None or scheme is not None):
        _generate_long(talk, work, asked, begin, jobs, target._replace(out=out), how)
    else:
        _generate(talk, work, clip or asked, begin, jobs, target._replace(out=out))


def _generate(
    talk: Talk, work: Work, asked: SamplingOptions, begin: Begin, jobs: Sequence[Job], target: Target
) -> None:
    from zoetrope.cascade.graph import expect_videos
    from zoetrope.cascade.start import stages_after
    from zoetrope.commands._outputs import Kept, Outputs, StageOutputs
    from zoetrope.models.asking import expect_askable

    model = opened(work.model, asked, talk)
    _expect_prompts(model.spec, jobs)
    footage = _footage(model.spec, begin, work)
    stages = stages_after(model.spec, footage.stage.name if footage else None, work.until, work.given)
    expect_videos(stages)
    expect_askable(stages, work.given)
    known = work.known.frames(stages, model.spec.teachers, model.spec.channels)
    controls = work.control.clips(stages)
    kept = Kept(model.spec.channels, look_of(model.spec, *target.shown))
    stage_outputs = StageOutputs(target.save_stages, kept)
    prompts = [model.spec.name if job.prompt is None else job.prompt for job in jobs]
    if not target.resume:  # report unwritable names before checking weights
        outputs = Outputs(target.out, prompts, stages[-1].shape.frames, kept=kept)
    negative = jobs[0].negative
    expect_guided(stages, negative, asked.guidance if footage else None)
    cascade = ready(model, stages, asked)
    told = about(cascade, stages, asked.seed)
    if begin.source and footage:
        content = hashlib.blake2b(footage.video.frames.tobytes(), digest_size=8).hexdigest()
        told["from"] = {**about_start(begin.source, footage, begin.fit), "id": content}
    start = footage.start() if footage else None
    if work.given:
        told["given"] = work.given
    if known is not None:
        told["known"] = work.known.about(known)
    if kept.look is not None:
        told["look"] = kept.look.to_json()
    if controls:
        told["control"] = work.control.about(controls)
    given = {**work.given, **controls}
    making = Making(cascade, jobs, asked.seed, work.until, start, work.memory, given, known, told)
    if target.resume:
        outputs = Outputs(target.out, prompts, stages[-1].shape.frames, making.finished, kept)
    stage_outputs.expect_apart(outputs.paths, [(stage.name, stage.shape.frames) for stage in stages])
    warn_of_cuts(talk, cascade, [text for text in (*(job.prompt for job in jobs), negative) if text is not None])
    if footage is not None:
        talk.say(
            f"{begin.source}: {footage.own}, in the place of what {footage.stage.name} makes, {footage.stage.made}"
        )
    files = _run(talk, making, outputs, stage_outputs)
    talk.result({"files": files, **told}, "" if talk.quiet else "\n".join(file["path"] for file in files))


def _generate_long(
    talk: Talk,
    work: Work,
    asked: SamplingOptions,
    begin: Begin,
    jobs: Sequence[Job],
    target: Target,
    how: tuple[float | None, str | None],
) -> None:
    """Make videos of so many seconds, by a scheme."""
    from zoetrope.cascade.start import stages_after
    from zoetrope.models.long import Long

    seconds, order = how[0], scheme_named(how[1])
    if seconds is None:
        raise ValueError("--scheme: expected a video longer than the model's clips; give --seconds S")
    at_least("--seconds", seconds, 0)
    if work.control.given:
        raise ValueError("--control: expected without --seconds, for it controls the frames of one clip")
    if begin.source is not None or begin.after is not None or begin.fit != "exact" or work.known.given:
        name = "--from" if begin.source is not None else "--known"
        raise ValueError(f"{name}: expected without --seconds; `zoetrope extend VIDEO --seconds S` continues a video")
    if target.save_stages is not None:
        raise ValueError("--save-stages: expected without --seconds; the frames of long videos are kept once")
    model = opened(work.model, asked, talk)
    _expect_prompts(model.spec, jobs)
    stages = stages_after(model.spec, None, work.until)
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
    make(talk, cascade, long, target.out, titles, target.resume, look_of(model.spec, *target.shown))


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


def _expect_prompts(spec: "CascadeSpec", jobs: Sequence[Job]) -> None:
    """Raise ValueError for a missing prompt, or for a prompt if the model takes no text."""
    given = next((text for job in jobs for text in (job.prompt, job.negative) if text is not None), None)
    if spec.text is not None and jobs[0].prompt is None:
        raise ValueError('expected a prompt, such as: zoetrope generate "a red ball rolls to the left"')
    if spec.text is None and given is not None:
        raise ValueError(f"{spec.name} is told no text; expected no prompt, got {given!r}")


def _run(talk: Talk, making: Making, outputs: "Outputs", stage_outputs: "StageOutputs") -> list[dict[str, Any]]:
    """Make and write the videos one by one, each as soon as it is finished."""
    files: list[dict[str, Any]] = []
    total, kept = len(making.jobs), sum(outputs.finished)
    if kept:
        talk.say(f"{kept} of {total} videos are there already")

    def told() -> str:
        written = [file["path"] for file in files if "skipped" not in file]
        more = "; the same command with --resume goes on" if total > 1 else ""
        names = ", ".join(written) or "nothing"
        return f"interrupted: {len(written)} of {total - kept} videos were written ({names}){more}"

    with interrupted_saying(told), talk.bars() as bars:
        for number, job in enumerate(making.jobs):
            if outputs.finished[number]:
                made: dict[str, Any] = {"path": outputs.paths[number], "prompt": job.prompt, "sample": job.sample}
                files.append({**made, "skipped": True})
            else:
                files.append(_made(bars, making, number, outputs, stage_outputs))
    return files


def _made(bars: Bars, making: Making, number: int, outputs: "Outputs", stage_outputs: "StageOutputs") -> dict[str, Any]:
    """Make and write one video; return its summary."""
    job, path, tags = making.jobs[number], outputs.paths[number], making.tags(making.jobs[number])
    label = f"{number + 1}/{len(making.jobs)} " if len(making.jobs) > 1 else ""
    stages, kept = list[dict[str, Any]](), list[str]()
    stream = making.cascade.stream(
        [job.prompt],
        seed=making.seed,
        samples=[job.sample],
        until=making.until,
        negative=job.negative,
        start=making.start,
        memory=making.memory,
        given=making.given,
        known=making.known,
    )
    for stage in finished(bars, label, stream):
        stages.append(stage.record.to_json())
        name, made, fps = stage.progress.stage, stage.progress.x_hat[0], stage.progress.shape.fps
        vectors = making.cascade.spec.stage(name).makes_vectors
        if not vectors and (file := stage_outputs.save(path, name, made, fps, {**tags, "stage": name})):
            kept.append(file)
        del stage
    saved = outputs.save(number, made, fps, tags)
    summary = {"path": saved, "prompt": job.prompt, "sample": job.sample, "fps": fps, "stages": stages}
    summary |= dict(zip(("frames", "height", "width"), made.shape[1:], strict=True))
    return summary | ({"stage_files": kept} if kept else {})
