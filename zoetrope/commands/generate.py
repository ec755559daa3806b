"""`zoetrope generate`: text to video."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from zoetrope.commands._options import Device, Json, Quiet, Sets, at_least, bytes_named, prompts_in
from zoetrope.commands._sampling import (
    After,
    Asked,
    DType,
    FitName,
    Guidance,
    Memory,
    Models,
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
from zoetrope.commands._talk import Bars, Talk

if TYPE_CHECKING:
    from zoetrope.cascade.spec import CascadeSpec, StageSpec
    from zoetrope.cascade.start import Footage, Start
    from zoetrope.commands._outputs import Outputs, StageOutputs
    from zoetrope.models.cascade import Cascade

Text = Annotated[
    list[str] | None, typer.Argument(metavar="PROMPT...", help="What the videos show.", show_default=False)
]
Out = Annotated[
    str | None,
    typer.Option(
        "--out", "-o", metavar="OUT", help=".mp4, .webm, .gif, .png, or a folder/ of pictures. [named after the prompt]"
    ),
]
From = Annotated[
    str | None,
    typer.Option("--from", metavar="VIDEO", help="A video to start from, in the place of what a stage makes."),
]
Negative = Annotated[str | None, typer.Option(metavar="TEXT", help="What guidance leads away from.")]
Count = Annotated[int, typer.Option(help="Videos of each prompt.")]
Prompts = Annotated[Path | None, typer.Option("--prompts", metavar="FILE", help="More prompts, one a line.")]


class Job(NamedTuple):
    """One video to make: a prompt, its number of `--count`, and what guidance leads away from."""

    prompt: str
    sample: int
    negative: str | None


class Making(NamedTuple):
    """Everything that making the videos takes: what makes them, what is asked for, and where it goes."""

    cascade: "Cascade"
    jobs: Sequence[Job]
    seed: int
    until: str | None
    start: "Start | None"
    memory: int | None
    outputs: "Outputs"
    stage_outputs: "StageOutputs"


def generate(
    prompts: Text = None,
    out: Out = None,
    model: Models = None,
    until: Until = None,
    source: From = None,
    after: After = None,
    fit: FitName = "exact",
    seed: Seed = 0,
    steps: Steps = None,
    guidance: Guidance = None,
    sampler: SamplerName = None,
    negative: Negative = None,
    count: Count = 1,
    save_stages: SaveStages = None,
    prompts_file: Prompts = None,
    sets: Sets = None,
    device: Device = None,
    dtype: DType = "auto",
    memory: Memory = None,
    teacher: TeacherFlag = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make videos of prompts."""
    talk = Talk(json, quiet)
    texts = [*(prompts or []), *(prompts_in(prompts_file) if prompts_file else [])]
    at_least("--count", count, 1)
    _expect_prompts(texts, negative)
    budget = bytes_named(memory) if memory else None
    asked = Asked(seed, steps, guidance, sampler, sets, device, dtype, teacher)

    from zoetrope.cascade.start import stages_after
    from zoetrope.commands._outputs import Outputs, StageOutputs

    gathered = gathered_as(model, asked)
    footage = _footage(gathered.spec, source, after, until, fit)
    stages = stages_after(gathered.spec, footage.stage.name if footage else None, until)
    jobs = [Job(text, number, negative) for text in texts for number in range(count)]
    outputs = Outputs(out, [job.prompt for job in jobs], stages[-1].shape.frames)
    stage_outputs = StageOutputs(save_stages)
    _expect_guided(stages, negative, guidance if footage else None)
    cascade = ready(gathered, stages, asked)
    warn_of_cuts(talk, cascade, [*texts, *([negative] if negative else [])])
    if footage is not None:
        talk.say(f"{source}: {footage.own}, in the place of what {footage.stage.name} makes, {footage.stage.shape}")
    start = footage.start() if footage else None
    files = _run(talk, Making(cascade, jobs, seed, until, start, budget, outputs, stage_outputs))
    value = {"files": files, **about(cascade, stages, seed)}
    if source and footage:
        value["from"] = about_start(source, footage, fit)
    talk.result(value, "" if quiet else "\n".join(file["path"] for file in files))


def _footage(
    spec: "CascadeSpec", source: str | None, after: str | None, until: str | None, fit: str
) -> "Footage | None":
    """The video to start from, if there is one."""
    from zoetrope.cascade.start import fit_named, read_start

    how = fit_named(fit)
    if source is not None:
        return read_start(source, spec, after=after, until=until, fit=how)
    if after is not None or how != "exact":
        raise ValueError(f"{'--after' if after else '--fit'}: expected a video that it is about; give --from VIDEO")
    return None


def _expect_prompts(texts: Sequence[str], negative: str | None) -> None:
    if not texts:
        raise ValueError('expected a prompt, such as: zoetrope generate "a red ball rolls to the left"')
    for text in [*texts, *([] if negative is None else [negative])]:
        expect_text("prompt", text)


def _expect_guided(stages: "Sequence[StageSpec]", negative: str | None, guidance: float | None) -> None:
    """Refuse what would change nothing: no stage that is to run is guided, or a distilled one hears no negative."""
    for stage in stages:
        if negative is not None and stage.network.guided and any(stage.sampling.weights()):
            raise ValueError(f"--negative: stage {stage.name!r} is distilled, without negative prompts; use --teacher")
    if any(weight for stage in stages for weight in stage.sampling.weights()):
        return
    if negative is not None:
        raise ValueError("--negative: expected a stage that is guided, got none among those to run; give --guidance")
    if guidance:
        path = f"{stages[0].name}.sampling.guidance"
        raise ValueError(f"--guidance: none of the stages to run is guided as it is; --set {path}={guidance:g} does it")


def _run(talk: Talk, making: Making) -> list[dict[str, Any]]:
    """Make and write the videos, one after the other, so that each is there as soon as it is made."""
    files: list[dict[str, Any]] = []
    jobs = making.jobs
    try:
        with talk.bars() as bars:
            for number in range(len(jobs)):
                files.append(_one(bars, making, number))
    except KeyboardInterrupt:
        kept = ", ".join(file["path"] for file in files) or "nothing"
        raise KeyboardInterrupt(f"interrupted: {len(files)} of {len(jobs)} videos were written ({kept})") from None
    return files


def _one(bars: Bars, making: Making, number: int) -> dict[str, Any]:
    """Make and write one video, and tell about it."""
    from zoetrope.video import expect_finite

    job, path = making.jobs[number], making.outputs.paths[number]
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
    )
    for stage in finished(bars, label, stream):
        stages.append(stage.record.to_json())
        name, made, fps = stage.progress.stage, stage.progress.x_hat[0], stage.progress.shape.fps
        expect_finite(made)  # better now than when the stages after it have run
        if file := making.stage_outputs.save(path, name, made, fps):
            kept.append(file)
        del stage
    saved = making.outputs.save(number, made, fps)
    told = {"path": saved, "prompt": job.prompt, "sample": job.sample, "fps": fps, "stages": stages}
    told |= dict(zip(("frames", "height", "width"), made.shape[1:], strict=True))
    return told | ({"stage_files": kept} if kept else {})
