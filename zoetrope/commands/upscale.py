"""`zoetrope upscale`: more frames and more pixels for a video of one's own, of any length."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from zoetrope.commands._options import Device, Json, Quiet, Sets, bytes_named
from zoetrope.commands._sampling import (
    After,
    Asked,
    DType,
    FitName,
    Memory,
    Models,
    Record,
    SamplerName,
    SaveStages,
    Seed,
    Steps,
    TeacherFlag,
    Until,
    about,
    about_start,
    expect_text,
    finished,
    gathered_as,
    ready,
    warn_of_cuts,
)
from zoetrope.commands._talk import Talk

if TYPE_CHECKING:
    import numpy as np

    from zoetrope.cascade.spec import CascadeSpec, StageSpec
    from zoetrope.cascade.start import Footage
    from zoetrope.commands._outputs import StageOutputs
    from zoetrope.models.cascade import Cascade
    from zoetrope.video import Writer

Source = Annotated[str, typer.Argument(metavar="IN", help="A video, or a folder or name_%04d.png of pictures.")]
Out = Annotated[
    str | None,
    typer.Option("--out", "-o", metavar="OUT", help=".mp4, .webm, .gif, or a folder/ of pictures. [IN-upscaled.mp4]"),
]
Caption = Annotated[str | None, typer.Option(metavar="TEXT", help="What the video shows. [the stages read no text]")]


class Upscaling(NamedTuple):
    """What makes the video, what it is made from, and where it goes."""

    cascade: "Cascade"
    footage: "Footage"
    stages: "Sequence[StageSpec]"
    caption: str | None
    seed: int
    memory: int | None
    path: str
    stage_outputs: "StageOutputs"


def upscale(
    source: Source,
    out: Out = None,
    model: Models = None,
    caption: Caption = None,
    until: Until = None,
    after: After = None,
    fit: FitName = "exact",
    seed: Seed = 0,
    steps: Steps = None,
    sampler: SamplerName = None,
    save_stages: SaveStages = None,
    sets: Sets = None,
    device: Device = None,
    dtype: DType = "auto",
    memory: Memory = None,
    teacher: TeacherFlag = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Add frames and pixels to a video, clip after clip."""
    talk = Talk(json, quiet)
    if caption is not None:
        expect_text("--caption", caption)
    budget = bytes_named(memory) if memory else None
    asked = Asked(seed, steps, None, sampler, sets, device, dtype, teacher)

    from zoetrope.cascade.start import fit_named, read_start, stages_after
    from zoetrope.commands._outputs import Outputs, StageOutputs

    how = fit_named(fit)
    gathered = gathered_as(model, asked)
    footage = read_start(source, gathered.spec, after=after, until=until, fit=how, whole=True)
    if caption is None:
        gathered = gathered._replace(spec=_unguided(gathered.spec))
    stages = stages_after(gathered.spec, footage.stage.name, until)
    frames = _grown(len(footage.video.frames), footage, stages[-1])
    name = Path(source).stem.partition("%")[0].rstrip("_-")
    path = Outputs(out, [f"{name}-upscaled"], frames).paths[0]
    if os.path.exists(path) and os.path.samefile(path, source):
        raise ValueError(f"{path}: expected another name than that of the video to upscale, which stays what it is")
    stage_outputs = StageOutputs(save_stages)
    cascade = ready(gathered, stages, asked)
    warn_of_cuts(talk, cascade, [caption] if caption else [])
    _tell(talk, source, footage)
    try:
        told = _run(talk, Upscaling(cascade, footage, stages, caption, seed, budget, path, stage_outputs))
    except KeyboardInterrupt:
        raise KeyboardInterrupt("interrupted: nothing was written") from None
    value = {"files": [told], "from": about_start(source, footage, fit), **about(cascade, stages, seed)}
    talk.result(value, "" if quiet else path)


def _tell(talk: Talk, source: str, footage: "Footage") -> None:
    """What becomes of the file before the first stage."""
    stage, video = footage.stage, footage.video
    read = stage.shape.model_copy(update={"frames": len(video.frames)})
    talk.say(f"{source}: {footage.own}, in the place of what {stage.name} makes, read as {read}")
    if len(video.frames) < round(footage.seconds * video.fps):
        talk.warn(f"{source}: can be decoded up to {video.seconds:.2f} s of {footage.seconds:.2f} s")


def _unguided(spec: "CascadeSpec") -> "CascadeSpec":
    """The cascade without guidance: without text there is nothing that it could lead to."""
    from zoetrope.cascade.tuning import Tuning, tuned

    return tuned(spec, Tuning(fields=[(f"{stage.name}.sampling.guidance", 0.0) for stage in spec.stages]))


def _grown(frames: int, footage: "Footage", stage: "StageSpec") -> int:
    """How many frames a stage makes of so many that were read."""
    return frames * stage.shape.frames // footage.stage.shape.frames


def _run(talk: Talk, job: Upscaling) -> dict[str, Any]:
    """Sample and write clip after clip, and tell about it; the files are there when the last clip is done."""
    from zoetrope.commands._outputs import named
    from zoetrope.video import open_writer

    records: dict[str, list[Record]] = {stage.name: [] for stage in job.stages}
    with ExitStack() as stack:
        writers: list[tuple[str, str, Writer]] = []
        for stage, path in _targets(job):
            stack.enter_context(named(path))
            opened = open_writer(path, stage.shape.fps, stage.shape.height, stage.shape.width)
            writers.append((stage.name, path, stack.enter_context(opened)))
        for record, frames in _sampled(talk, job):
            records[record.name].append(record)
            for name, path, writer in writers:
                if name == record.name:
                    with named(path):
                        writer.write(frames)
    last = job.stages[-1].shape
    told = {
        "path": job.path,
        "caption": job.caption,
        "frames": writers[0][2].frames,
        "height": last.height,
        "width": last.width,
        "fps": last.fps,
        "clips": len(records[job.stages[-1].name]),
        "stages": [_joined(own).to_json() for own in records.values()],
    }
    kept = [path for _, path, _ in writers[1:]]
    return told | ({"stage_files": kept} if kept else {})


def _targets(job: Upscaling) -> "Iterator[tuple[StageSpec, str]]":
    """The file of the last stage, and those of all stages that are kept."""
    yield job.stages[-1], job.path
    for stage in job.stages:
        frames = _grown(len(job.footage.video.frames), job.footage, stage)
        if path := job.stage_outputs.path(job.path, stage.name, frames):
            yield stage, path


def _sampled(talk: Talk, job: Upscaling) -> "Iterator[tuple[Record, np.ndarray]]":
    """What every stage makes of every clip, without what was only there to fill the last one up."""
    from zoetrope.cascade.start import Start, clips

    entry, until = job.footage.stage, job.stages[-1].name
    total = -(-len(job.footage.video.frames) // entry.shape.frames)
    with talk.bars() as bars:
        for number, (clip, own) in enumerate(clips(job.footage.video, entry.shape), start=1):
            start = Start(stage=entry.name, video=clip.to_tensor()[None])
            stream = job.cascade.stream([job.caption], seed=job.seed, until=until, start=start, memory=job.memory)
            label = f"{number}/{total} " if total > 1 else ""
            for stage, finish in zip(job.stages, finished(bars, label, stream), strict=True):
                frames = finish.progress.videos()[0].frames
                yield finish.record, frames[: _grown(own, job.footage, stage)]


def _joined(records: Sequence[Record]) -> Record:
    """What is told of a stage that ran once for each clip."""
    colours = [record.colour for record in records if record.colour is not None]
    seconds = sum(record.seconds for record in records)
    return records[0]._replace(seconds=seconds, colour=type(colours[0]).joined(colours))
