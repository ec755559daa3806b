"""`zoetrope extend`: a video goes on for minutes."""

import os
from typing import Annotated

import typer

from zoetrope.commands._known import MethodName, MethodWeight
from zoetrope.commands._long import LongJob, SchemeName, method_named, prepared, scheme_named
from zoetrope.commands._options import Device, Json, Quiet, Sets, Trust, at_least, bytes_named, values_named
from zoetrope.commands._sampling import (
    DType,
    Given,
    Guidance,
    Memory,
    Models,
    Negative,
    SamplerName,
    SamplingOptions,
    Seed,
    Steps,
    TeacherFlag,
    Until,
    expect_guided,
    expect_text,
    opened,
    ready,
)
from zoetrope.commands._talk import Talk

Source = Annotated[
    str, typer.Argument(metavar="VIDEO", help="A video or picture, or a folder or name_%04d.png of them.")
]
Length = Annotated[
    float, typer.Option("--seconds", metavar="S", help="How long the result lasts, the given video included.")
]
Out = Annotated[
    str | None,
    typer.Option(
        "--out", "-o", metavar="OUT", help=".mp4, .webm, .gif, or a folder/ of pictures. [VIDEO-extended.mp4]"
    ),
]
Prompt = Annotated[str | None, typer.Option(metavar="TEXT", help="What the video shows. [nothing is said]")]
Sample = Annotated[int, typer.Option(metavar="N", help="Another of the videos that go on from VIDEO.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on after an interruption: what is there is not made again.")]


def extend(
    source: Source,
    seconds: Length,
    out: Out = None,
    prompt: Prompt = None,
    scheme: SchemeName = None,
    known_method: MethodName = None,
    known_weight: MethodWeight = None,
    model: Models = None,
    until: Until = None,
    negative: Negative = None,
    seed: Seed = 0,
    sample: Sample = 0,
    steps: Steps = None,
    guidance: Guidance = None,
    sampler: SamplerName = None,
    given: Given = None,
    resume: Resume = False,
    sets: Sets = None,
    device: Device = None,
    dtype: DType = "auto",
    memory: Memory = None,
    teacher: TeacherFlag = False,
    trust: Trust = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Continue a video: make it last longer."""
    from zoetrope.cascade.start import stages_after
    from zoetrope.commands._outputs import stem_after
    from zoetrope.models.long import Long

    for option, text in (("--prompt", prompt), ("--negative", negative)):
        if text is not None:
            expect_text(option, text)
    at_least("--sample", sample, 0)
    at_least("--seconds", seconds, 0)
    order, values = scheme_named(scheme), values_named("--given", given)
    method = method_named(known_method, known_weight)
    most = bytes_named(memory) if memory else None
    talk, source = Talk(json, quiet), os.path.expanduser(source)
    asked = SamplingOptions(seed, steps, guidance, sampler, sets, device, dtype, teacher)
    found = opened(model, asked, talk)
    stages = stages_after(found.spec, None, until, values)
    expect_guided(stages, negative, None)
    cascade = ready(found, stages, asked)
    wanted = Long(
        seconds=seconds, prompt=prompt, negative=negative, scheme=order, known=method, seed=seed, sample=sample,
        until=until, memory=most, given=values,
    )  # fmt: skip
    own = {"extended": os.path.basename(source.rstrip("/")), "sample": sample}
    stem = stem_after(source, "extended")
    prepared(talk, cascade, [LongJob(wanted, source, own)], out and os.path.expanduser(out), [stem], resume)()
