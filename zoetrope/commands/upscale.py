"""`zoetrope upscale`: more pixels, and optionally more frames, for any video of any length."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from zoetrope.commands._ending import interrupted_saying
from zoetrope.commands._look import expect_pictures
from zoetrope.commands._options import Device, Json, Quiet, Sets, Trust, bytes_named
from zoetrope.commands._provenance import sealing
from zoetrope.commands._sampling import (
    DType,
    Memory,
    Models,
    Record,
    SamplerName,
    SamplingOptions,
    SaveStages,
    Seed,
    Steps,
    TeacherFlag,
    Until,
    about,
    expect_text,
    finished,
    opened,
    ready,
    tags_of,
    warn_of_cuts,
)
from zoetrope.commands._talk import Talk
from zoetrope.serving.watching import watching

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from zoetrope.cascade.spec import CascadeSpec, StageSpec
    from zoetrope.cascade.upscaling import Upscaling
    from zoetrope.commands._outputs import StageOutputs
    from zoetrope.metrics.upscaling import AgainstPlain
    from zoetrope.models.cascade import Cascade
    from zoetrope.shapes import VideoShape
    from zoetrope.video import Video, Writer

Source = Annotated[str, typer.Argument(metavar="IN", help="A video, or a folder or name_%04d.png of pictures.")]
Out = Annotated[
    str | None,
    typer.Option("--out", "-o", metavar="OUT", help=".mp4, .webm, .gif, or a folder/ of pictures. [IN-upscaled.mp4]"),
]
Caption = Annotated[str | None, typer.Option(metavar="TEXT", help="What the video shows. [the stages read no text]")]
After = Annotated[
    str | None, typer.Option(metavar="STAGE", help="The stage whose output the video replaces. [the one with its size]")
]
FitName = Annotated[
    str,
    typer.Option(
        "--fit",
        metavar="HOW",
        help="exact: a size that no stage makes is refused; own: it is enlarged as it is; crop: it is resized to cover "
        "the nearest size and its middle cut out.",
    ),
]
AddFrames = Annotated[bool, typer.Option("--add-frames", help="Run the stages that add frames between as well.")]
Compare = Annotated[
    bool,
    typer.Option(
        "--compare/--no-compare",
        help="Reduce the first stretch of the video, enlarge it again, and tell whether the model comes nearer to it "
        "than plain enlarging.",
    ),
]


class Wish(NamedTuple):
    """The options: what to upscale, how far and how, and the output."""

    source: str
    out: str | None
    caption: str | None
    until: str | None
    after: str | None
    fit: str
    add_frames: bool
    save_stages: str | None


class UpscalingJob(NamedTuple):
    """The cascade and stages, the video and its length, and the output."""

    cascade: "Cascade"
    how: "Upscaling"
    source: str
    size: tuple[int, int] | None
    total: int
    caption: str | None
    seed: int
    memory: int | None
    path: str
    stage_outputs: "StageOutputs"
    about: dict[str, Any]

    def stretches(self) -> "Iterator[Video]":
        """The video in segments of as many frames as the stages take; the last one may be shorter."""
        from zoetrope.video import stretches

        return stretches(self.source, self.how.given.frames, fps=self.how.given.fps, size=self.size)


def upscale(
    source: Source,
    out: Out = None,
    model: Models = None,
    caption: Caption = None,
    until: Until = None,
    after: After = None,
    fit: FitName = "exact",
    add_frames: AddFrames = False,
    compare: Compare = True,
    seed: Seed = 0,
    steps: Steps = None,
    sampler: SamplerName = None,
    save_stages: SaveStages = None,
    sets: Sets = None,
    device: Device = None,
    dtype: DType = "auto",
    memory: Memory = None,
    teacher: TeacherFlag = False,
    trust: Trust = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Enlarge a video, stretch after stretch. Its length, its frame rate and its sound stay."""
    if caption is not None:
        expect_text("--caption", caption)
    source = os.path.expanduser(source)
    wish = Wish(source, out and os.path.expanduser(out), caption, until, after, fit, add_frames, save_stages)
    asked = SamplingOptions(seed, steps, None, sampler, sets, device, dtype, teacher)
    talk = Talk(json, quiet)
    job, begun = _prepared(talk, wish, model, asked, bytes_named(memory) if memory else None)
    with interrupted_saying(lambda: "interrupted: nothing was written"):
        file = (_compared(talk, job) if compare else {}) | _run(talk, job)
    talk.result({"files": [file], "from": begun, **job.about}, "" if quiet else job.path)


def _prepared(
    talk: Talk, wish: Wish, model: list[str] | None, asked: SamplingOptions, memory: int | None
) -> tuple[UpscalingJob, dict[str, Any]]:
    """The job, and a summary of its input file. Raises ValueError if it is impossible."""
    from zoetrope.cascade.start import probed
    from zoetrope.cascade.upscaling import fit_named, upscaling
    from zoetrope.commands._outputs import Outputs, StageOutputs, stem_after
    from zoetrope.video import expected_frames

    source, caption, after, fit = wish.source, wish.caption, wish.after, fit_named(wish.fit)
    found = opened(model, asked)
    expect_pictures(found.spec)
    spec = found.spec if caption is not None else _unguided(found.spec)
    info, own = probed(source, None if after is None else spec.stage(after))
    try:
        how = upscaling(spec, own, after=after, until=wish.until, fit=fit, add_frames=wish.add_frames)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None
    size = (how.given.height, how.given.width) if fit == "crop" else None
    total = expected_frames(info, own.fps)
    stem = stem_after(source, "upscaled")
    path = Outputs(wish.out, [stem], total * how.frames, stems=[stem], fps=how.stages[-1].made.fps).paths[0]
    stage_outputs = StageOutputs(wish.save_stages)
    stage_outputs.expect_apart([path], [(stage.name, total * how.frames) for stage in how.stages])
    cascade = ready(found._replace(spec=spec), how.stages, asked)
    warn_of_cuts(talk, cascade, [caption] if caption else [])
    told = about(cascade, how.stages, asked.seed)
    job = UpscalingJob(cascade, how, source, size, total, caption, asked.seed, memory, path, stage_outputs, told)
    _say_plan(talk, job, own, info.notes)
    read = {"height": how.given.height, "width": how.given.width, "fps": how.given.fps}
    return job, {"path": source, **own.to_json(), "after": how.entry.name, "fit": wish.fit, "read": read}


def _unguided(spec: "CascadeSpec") -> "CascadeSpec":
    """The cascade without guidance, which has no effect without text."""
    from zoetrope.cascade.tuning import Tuning, tuned

    return tuned(spec, Tuning(fields=[(f"{stage.name}.sampling.guidance", 0.0) for stage in spec.stages]))


def _say_plan(talk: Talk, job: UpscalingJob, own: "VideoShape", notes: Sequence[str]) -> None:
    """Report how the file is converted for the first stage, and what the stages were trained on."""
    given, last = job.how.given, job.how.stages[-1].made
    names = ", ".join(stage.name for stage in job.how.stages)
    size = f"{given.height}x{given.width}"
    resized = f", resized and cropped to {size}" if job.size not in (None, (own.height, own.width)) else ""
    talk.say(f"{job.source}: {own}{resized}, becomes {last.height}x{last.width}@{last.fps:g}fps by {names}")
    for note in notes:
        if note != "has sound":  # sound is copied
            talk.say(f"{job.source}: {note}")
    if job.cascade.spec.trained_on:
        talk.say(f"{job.cascade.spec.name} was trained on {job.cascade.spec.trained_on}, and on nothing else")


def _compared(talk: Talk, job: UpscalingJob) -> dict[str, Any]:
    """Compare the first stage with plain upsampling on the first segment of the video; return and print the result."""
    from zoetrope.metrics.upscaling import against_plain

    def made(stage: "StageSpec", video: "Tensor") -> "Tensor":
        *_, last = job.cascade.run([stage], [job.caption], video=video, seed=job.seed, memory=job.memory)
        return last.x_hat

    first = job.how.stages[0]
    try:
        clip, _ = _filled(next(job.stretches()), job.how.given.frames)
        found: AgainstPlain = against_plain(first, clip, made)
    except ValueError as error:
        talk.say(f"not compared with plain enlarging: {error}")
        return {"compared": None}
    how = f"the first {len(clip.frames)} frames reduced as {first.name} enlarges, and enlarged again"
    if found.gain < 0:
        talk.warn(
            f"plain {found.way} interpolation comes nearer to this video than {job.cascade.spec.name}: "
            f"{found.plain:.1f} dB against {found.psnr:.1f} dB ({how})"
        )
    else:
        talk.say(f"{first.name}: {found.psnr:.1f} dB, plain {found.way} interpolation: {found.plain:.1f} dB ({how})")
    return {"compared": found.to_json()}


def _run(talk: Talk, job: UpscalingJob) -> dict[str, Any]:
    """Sample and write segment by segment; return a summary. The files appear when the last segment is finished."""
    from zoetrope.commands._outputs import named
    from zoetrope.video import open_writer

    records: dict[str, list[Record]] = {stage.name: [] for stage in job.how.stages}
    tags = tags_of(job.caption, {"upscaled": os.path.basename(job.source.rstrip("/"))}, job.about)
    with ExitStack() as stack:
        writers: list[tuple[str, str, Writer]] = []
        for stage, path, sound in _targets(job):
            shape = stage.made
            stack.enter_context(named(path))
            grid = (shape.fps, shape.height, shape.width)
            opened = open_writer(path, *grid, sound_of=sound, tags=tags, seal=sealing())
            writers.append((stage.name, path, stack.enter_context(opened)))
        for record, frames in _sampled(talk, job):
            records[record.name].append(record)
            own = [(path, writer) for name, path, writer in writers if name == record.name]
            for frame in frames if own else ():
                for path, writer in own:
                    with named(path):
                        writer.write(frame)
            del frames  # free this segment before the next is made
    written, last = writers[0][2], job.how.stages[-1].made
    for note in written.notes:
        talk.warn(f"{job.path}: {note}")
    if written.frames < job.total * job.how.frames:
        talk.warn(f"{job.source}: can be decoded up to frame {written.frames // job.how.frames} of {job.total}")
    told = {
        "path": job.path,
        "caption": job.caption,
        "frames": written.frames,
        "height": last.height,
        "width": last.width,
        "fps": last.fps,
        "stretches": len(records[job.how.stages[-1].name]),
        "stages": [_joined(own).to_json() for own in records.values()],
    }
    kept = [path for _, path, _ in writers[1:]]
    return told | ({"stage_files": kept} if kept else {})


def _targets(job: UpscalingJob) -> "Iterator[tuple[StageSpec, str, str | None]]":
    """The output files: that of the last stage, with the source's sound, and those of saved stages."""
    yield job.how.stages[-1], job.path, job.source
    for stage in job.how.stages:
        frames = job.total * stage.shape.frames // job.how.given.frames
        if path := job.stage_outputs.path(job.path, stage.name, frames):
            yield stage, path, None


def _sampled(talk: Talk, job: UpscalingJob) -> "Iterator[tuple[Record, Iterator[np.ndarray]]]":
    """The frames that every stage makes of every segment, without those that only pad the last segment."""
    from zoetrope.video import pictures

    given, stages = job.how.given, job.how.stages
    total = -(-job.total // given.frames)
    if (watcher := watching()) is not None:
        watcher.repeat(total)
    with talk.bars() as bars:
        for number, stretch in enumerate(job.stretches(), start=1):
            clip, own = _filled(stretch, given.frames)
            video = clip.to_tensor()[None]
            stream = job.cascade.run(stages, [job.caption], video=video, seed=job.seed, memory=job.memory)
            label = f"{number}/{total} " if total > 1 else ""
            for stage, finish in zip(stages, finished(bars, label, stream), strict=True):
                made = own * stage.shape.frames // given.frames
                yield finish.record, pictures(finish.progress.x_hat[0, :, :made])
                del finish


def _filled(stretch: "Video", frames: int) -> "tuple[Video, int]":
    """A segment padded to `frames` frames with copies of its last one, and the number of its own frames."""
    import numpy as np

    from zoetrope.video import Video

    own = len(stretch.frames)
    filling = np.repeat(stretch.frames[-1:], frames - own, axis=0)
    return Video(np.concatenate([stretch.frames, filling]), stretch.fps), own


def _joined(records: Sequence[Record]) -> Record:
    """The combined summary of a stage that ran once per segment."""
    colours = [record.colour for record in records if record.colour is not None]
    seconds = sum(record.seconds for record in records)
    return records[0]._replace(seconds=seconds, colour=type(colours[0]).joined(colours))
