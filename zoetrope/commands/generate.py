"""`zoetrope generate`: text to video."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from zoetrope.commands._options import (
    Device,
    Json,
    Quiet,
    Sets,
    at_least,
    changes,
    device_named,
    dtype_named,
    prompts_in,
)
from zoetrope.commands._talk import Bars, Talk

if TYPE_CHECKING:
    from zoetrope.cascade.spec import StageSpec
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
Models = Annotated[
    list[str] | None,
    typer.Option(
        metavar="MODEL",
        help="A shipped name, a folder, a hub id, or the folder of a training. Repeat it to put the runs of stages "
        "together, or a run in the place of a model's stage. [mini]",
    ),
]
Until = Annotated[str | None, typer.Option(metavar="STAGE", help="The last stage to run. [all]")]
Seed = Annotated[int, typer.Option(help="Equal seeds give equal videos.")]
Steps = Annotated[int | None, typer.Option(help="Denoising steps of every stage. [the model's]", show_default=False)]
Guidance = Annotated[
    float | None,
    typer.Option(help="Weight of the text, 0 for none, in every stage that is guided. [the model's]"),
]
SamplerName = Annotated[str | None, typer.Option("--sampler", metavar="NAME", help="For every stage. [the model's]")]
Negative = Annotated[str | None, typer.Option(metavar="TEXT", help="What guidance leads away from.")]
Count = Annotated[int, typer.Option(help="Videos of each prompt.")]
SaveStages = Annotated[str | None, typer.Option(metavar="DIR", help="Keep what every stage made in this folder.")]
Prompts = Annotated[Path | None, typer.Option("--prompts", metavar="FILE", help="More prompts, one a line.")]
DType = Annotated[str, typer.Option("--dtype", metavar="TYPE", help="fp32, bf16, or auto: what is fast here.")]


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
    outputs: "Outputs"
    stage_outputs: "StageOutputs"


def generate(
    prompts: Text = None,
    out: Out = None,
    model: Models = None,
    until: Until = None,
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
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make videos of prompts."""
    talk = Talk(json, quiet)
    texts = [*(prompts or []), *(prompts_in(prompts_file) if prompts_file else [])]
    at_least("--steps", steps, 1)
    at_least("--guidance", guidance, 0)
    at_least("--count", count, 1)
    at_least("--seed", seed, 0)
    _expect_prompts(texts, negative)

    from zoetrope.cascade.tuning import Tuning, tuned
    from zoetrope.commands._outputs import Outputs, StageOutputs
    from zoetrope.training.trained import gather

    gathered = gather(model or ["mini"])
    tuning = Tuning(steps=steps, guidance=guidance, sampler=sampler, fields=changes(sets))
    gathered = gathered._replace(spec=tuned(gathered.spec, tuning))
    stages = gathered.spec.until(until)
    jobs = [Job(text, number, negative) for text in texts for number in range(count)]
    outputs = Outputs(out, [job.prompt for job in jobs], stages[-1].shape.frames)
    stage_outputs = StageOutputs(save_stages)
    _expect_guided(stages, negative)
    gathered.check(stages)
    place = device_named(device)
    cascade = gathered.cascade(place, dtype_named(dtype, place))
    _warn_of_cuts(talk, cascade, [*texts, *([negative] if negative else [])])
    files = _run(talk, Making(cascade, jobs, seed, until, outputs, stage_outputs))
    value = {
        "files": files,
        "seed": seed,
        "model": gathered.spec.name,
        "device": str(place),
        "dtype": str(cascade.dtype).removeprefix("torch."),
        "settings": {stage.name: {"shape": str(stage.shape), **stage.sampling.to_json()} for stage in stages},
    }
    talk.result(value, "" if quiet else "\n".join(file["path"] for file in files))


def _expect_prompts(texts: Sequence[str], negative: str | None) -> None:
    if not texts:
        raise ValueError('expected a prompt, such as: zoetrope generate "a red ball rolls to the left"')
    for text in [*texts, *([] if negative is None else [negative])]:
        if not text.strip():
            raise ValueError(f"prompt: expected some text, got {'only blanks' if text else 'an empty string'}")


def _expect_guided(stages: "Sequence[StageSpec]", negative: str | None) -> None:
    if negative is not None and not any(weight for stage in stages for weight in stage.sampling.weights()):
        raise ValueError("--negative: expected a stage that is guided, got none among those to run; give --guidance")


def _warn_of_cuts(talk: Talk, cascade: "Cascade", texts: Sequence[str]) -> None:
    for text in dict.fromkeys(texts):
        if lost := cascade.cut(text):
            limit = cascade.spec.text.limit
            talk.warn(f'the text encoder reads {limit} tokens of a prompt; this end of yours was cut off: "{lost}"')


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
    job, path = making.jobs[number], making.outputs.paths[number]
    label = f"{number + 1}/{len(making.jobs)} " if len(making.jobs) > 1 else ""
    stages, kept = list[dict[str, Any]](), list[str]()
    start = time.perf_counter()
    stream = making.cascade.stream(
        [job.prompt], seed=making.seed, samples=[job.sample], until=making.until, negative=job.negative
    )
    for now in stream:
        if now.step == 1:
            bars.begin(label + now.stage, now.steps)
        bars.advance(now.step)
        if now.done:
            seconds = time.perf_counter() - start
            start += seconds
            stages.append({"name": now.stage, "steps": now.steps, "seconds": round(seconds, 3)})
            bars.end(f"{label}{now.stage}: {now.shape}, {now.steps} steps in {seconds:.1f} s")
            video = now.videos()[0]
            if file := making.stage_outputs.save(path, now.stage, video):
                kept.append(file)
    saved = making.outputs.save(number, video)
    about = {"path": saved, "prompt": job.prompt, "sample": job.sample, "fps": video.fps, "stages": stages}
    about |= dict(zip(("frames", "height", "width"), video.frames.shape[:3], strict=True))
    return about | ({"stage_files": kept} if kept else {})
