"""`zoetrope edit`: a clip as another text tells it, by a network that is tuned to the clip."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from zoetrope.commands._ending import interrupted_saying
from zoetrope.commands._following import follow, naming
from zoetrope.commands._options import (
    Device,
    Json,
    Quiet,
    Sets,
    Trust,
    at_least,
    bytes_named,
    changes,
    device_named,
)
from zoetrope.commands._sampling import (
    DType,
    EditingModels,
    Frames,
    Guidance,
    Memory,
    Negative,
    Rate,
    SamplingOptions,
    Seed,
    Steps,
    TeacherFlag,
    Until,
    about,
    expect_guided,
    expect_text,
    finished,
    opened,
    ready,
    tags_of,
    warn_of_cuts,
)
from zoetrope.commands._stages import expect_free
from zoetrope.commands._talk import Talk

if TYPE_CHECKING:
    from zoetrope.cascade.spec import CascadeSpec, StageSpec
    from zoetrope.commands._outputs import Outputs
    from zoetrope.models.opening import OpenModel
    from zoetrope.training.spec import Recipe
    from zoetrope.video import Video

Source = Annotated[str, typer.Argument(metavar="CLIP", help="A video, or a folder or name_%04d.png of pictures.")]
Prompt = Annotated[str, typer.Argument(metavar="PROMPT", help="What the edited clip shows.")]
Caption = Annotated[str, typer.Option(metavar="TEXT", help="What the clip shows as it is.")]
Out = Annotated[
    str | None, typer.Option("--out", "-o", metavar="OUT", help=".mp4, .webm, .gif, or a folder/. [CLIP-edited.mp4]")
]
Tuned = Annotated[
    str | None,
    typer.Option(
        "--tuned",
        metavar="RUN",
        help="Keep the tuned network in this folder; one that is there for the same clip is used, or trained on. "
        "[it is not kept]",
    ),
]
Examples = Annotated[
    int | None, typer.Option("--tuning-steps", metavar="N", help="Steps of tuning. [500]", show_default=False)
]


MOST = 16  # frames, where an image model does not say how many


class EditAsked(NamedTuple):
    """What is edited, and how, as the options say."""

    source: str
    prompt: str
    caption: str
    negative: str | None
    tuned: str | None
    examples: int | None
    frames: int | None
    fps: float | None
    until: str | None


def edit(
    source: Source,
    prompt: Prompt,
    caption: Caption,
    out: Out = None,
    model: EditingModels = None,
    tuned: Tuned = None,
    tuning_steps: Examples = None,
    frames: Frames = None,
    fps: Rate = None,
    until: Until = None,
    negative: Negative = None,
    seed: Seed = 0,
    steps: Steps = None,
    guidance: Guidance = None,
    sets: Sets = None,
    device: Device = None,
    dtype: DType = "auto",
    memory: Memory = None,
    teacher: TeacherFlag = False,
    trust: Trust = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Change what a clip shows and keep how it moves. The model is tuned to the clip first."""
    from zoetrope.cascade.spec import MOST_STEPS
    from zoetrope.conditioning import MOST_WEIGHT

    for name, text in (("PROMPT", prompt), ("--caption", caption), ("--negative", negative)):
        if text is not None:
            expect_text(name, text)
    if prompt.strip() == caption.strip():
        raise ValueError("PROMPT: expected another text than --caption, got the same: nothing would be edited")
    at_least("--tuning-steps", tuning_steps, 1)
    at_least("--steps", steps, 1, MOST_STEPS)
    at_least("--guidance", guidance, 0, MOST_WEIGHT)
    talk, most = Talk(json, quiet), bytes_named(memory) if memory else None
    wish = EditAsked(os.path.expanduser(source), prompt, caption, negative, tuned, tuning_steps, frames, fps, until)
    asked = SamplingOptions(seed, steps, guidance, None, sets, device, dtype, teacher)
    first, after = _parted(sets)
    found = opened(model or ["mini_image"], asked._replace(steps=None, guidance=None, sets=first))
    clip, recipe = _prepared(wish, found)

    from zoetrope.commands._outputs import Outputs, stem_after

    spec = _sampled(recipe.cascade, asked._replace(sets=after))
    _expect_kept(spec, first)
    stages = spec.until(until or spec.default_until)
    _expect_possible(talk, wish, found._replace(spec=spec), stages, asked, most)
    stem = stem_after(wish.source, "edited")
    last = stages[-1].shape
    outputs = Outputs(out and os.path.expanduser(out), [stem], last.frames, stems=[stem], fps=last.fps)
    kept = None if tuned is None else Path(os.path.expanduser(tuned))
    with interrupted_saying(lambda: _left(kept)), _folder(kept) as folder:
        weights = _tuned(talk, wish, recipe, folder, found, device)
        own = {recipe.cascade.stages[0].name: weights}
        model_of_clip = found._replace(spec=spec, weights={**found.weights, **own}, teacher_weights={})
        file = _made(talk, wish, model_of_clip, clip, outputs, asked, most)
    talk.result(file, "" if quiet else outputs.paths[0])


def _parted(sets: list[str] | None) -> tuple[list[str], list[str]]:
    """The fields of `--set` that a model is tuned with, and those of sampling, which the tuning leaves open."""
    from zoetrope.cascade.migration import path_of_today

    parts: tuple[list[str], list[str]] = ([], [])
    for item in sets or ():
        _, _, field = item.partition("=")[0].strip().removeprefix("stages.").partition(".")
        parts[path_of_today(field).partition(".")[0] == "sampling"].append(item)
    return parts


def _sampled(spec: "CascadeSpec", asked: SamplingOptions) -> "CascadeSpec":
    """The tuned cascade as it is to be sampled. Raises ValueError for fields that it has not."""
    from zoetrope.cascade.tuning import Tuning, tuned

    return tuned(spec, Tuning(steps=asked.steps, guidance=asked.guidance, fields=changes(asked.sets)))


def _expect_kept(spec: "CascadeSpec", sets: list[str]) -> None:
    """Raise ValueError for fields of `--set` that an edit would replace: how it samples, and the network it tunes."""
    from zoetrope.cascade.tuning import full_path
    from zoetrope.config import overridden
    from zoetrope.models.editing import editable

    stage = spec.stages[0]
    asked, used = stage.sampling, editable(stage).sampling
    for name, got, expected in (("sampler", asked.sampler, used.sampler), ("routine", asked.routine, used.routine)):
        if got != expected:
            raise ValueError(
                f"--set {stage.name}.sampling.{name}: expected {expected.kind()}, by which a clip is inverted, got "
                f"{got.kind()}"
            )
    for path, value in changes(sets):
        full = full_path(spec, path)
        _, name, section, *_ = [*full.split("."), "", ""]
        if name not in (stage.name, "0") or section not in ("network", "inputs"):
            continue
        try:
            kept = overridden(spec, {full: value}) == spec
        except ValueError:
            kept = False
        if not kept:
            raise ValueError(f"--set {path}: expected without it, for the tuning of a model of pictures sets it itself")


def _expect_possible(
    talk: Talk,
    wish: EditAsked,
    model: "OpenModel",
    stages: "Sequence[StageSpec]",
    asked: SamplingOptions,
    memory: int | None,
) -> None:
    """Raise ValueError, before anything is tuned, for sampling that is impossible then; warn of texts that are cut."""
    from zoetrope.cascade.execution.layout import expect_memory

    expect_guided(stages, wish.negative, None)
    cascade = ready(model, stages[1:], asked)
    warn_of_cuts(talk, cascade, [text for text in (wish.prompt, wish.caption, wish.negative) if text])
    if memory is not None:
        expect_memory(stages, 1, 0, memory, cascade.device)


def _left(kept: Path | None) -> str:
    """What is said after an interruption."""
    there = kept is not None and (kept / "run.json").is_file()
    return "interrupted: the same command goes on" if there else "interrupted: nothing was kept"


@contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    """The folder of the tuned network; without a name, one that goes away."""
    if kept is not None:
        yield kept
        return
    with TemporaryDirectory(prefix="zoetrope-") as temporary:
        yield Path(temporary) / "tuned"


def _made(
    talk: Talk,
    wish: EditAsked,
    model: "OpenModel",
    clip: "Video",
    outputs: "Outputs",
    asked: SamplingOptions,
    memory: int | None,
) -> dict[str, Any]:
    """Edit and write the clip by a model that is tuned to it; the result for `--json`."""
    from zoetrope.models.editing import edited

    stages = model.spec.until(wish.until or model.spec.default_until)
    cascade = ready(model, stages, asked)
    told = about(cascade, stages, asked.seed)
    ways = {"caption": wish.caption, "negative": wish.negative, "until": wish.until}
    running = edited(cascade, clip.to_tensor()[None], wish.prompt, **ways, seed=asked.seed, memory=memory)
    records = list[dict[str, Any]]()
    with talk.bars() as bars:
        for done in finished(bars, "", running):
            records.append(done.record.to_json())
            made = done.progress
    own = {"edited": os.path.basename(wish.source.rstrip("/")), "caption": wish.caption, "prompt": wish.prompt}
    path = outputs.save(0, made.x_hat[0], made.shape.fps, tags_of(wish.prompt, own, told))
    return {"files": [{"path": path, **own, "stages": records}], **told}


def _prepared(wish: EditAsked, model: "OpenModel") -> "tuple[Video, Recipe]":
    """The clip as the first stage takes it, and the recipe of its tuning. Raises ValueError if either is impossible."""
    from zoetrope.channels import are_rgb, listed
    from zoetrope.data.clip import OneClip, digest_of, frames_of
    from zoetrope.recipes.tune_a_video import tuning
    from zoetrope.video import probe, rate_to_read, read

    if not are_rgb(model.spec.channels):
        raise ValueError(
            f"{wish.source}: expected no clip to edit, for {model.spec.name} makes {listed(model.spec.channels)}"
        )
    shape = model.spec.stages[0].shape
    rate = wish.fps if wish.fps is not None else shape.fps
    frames = wish.frames
    if frames is None:
        most = shape.frames if shape.frames > 1 else MOST
        read_at = rate_to_read(probe(wish.source), rate)
        frames = len(read(wish.source, fps=read_at, frames=most, size=(shape.height, shape.width)).frames)
    if frames < 2:
        raise ValueError(
            f"{wish.source}: expected two frames or more at {rate:g} fps, whose motion stays, got {frames}; another "
            "--fps takes more of it"
        )
    data = OneClip(path=wish.source, text=wish.caption, digest=digest_of(wish.source)).located()
    recipe = tuning(model.spec, data, frames=frames, fps=rate)
    if wish.examples is not None:
        at = f"training.{recipe.cascade.stages[0].name}"
        length = {
            "phases.0.examples": wish.examples,
            "cool_down": wish.examples // 2,
            "checkpoint_every": wish.examples,
        }
        recipe = recipe.overridden({f"{at}.{name}": value for name, value in length.items()})
    return frames_of(wish.source, recipe.cascade.stages[0].shape), recipe


def _tuned(talk: Talk, wish: EditAsked, recipe: "Recipe", folder: Path, model: "OpenModel", device: str | None) -> Path:
    """The weights of the network that is tuned to the clip, in a run in `folder`; what is there is not made again.

    Raises ValueError if the folder holds another training, as of another clip or caption, or of another model.
    """
    from zoetrope.files.plain import read_json
    from zoetrope.models.provenance import sha256_of
    from zoetrope.training.changes import changes_between
    from zoetrope.training.loop import Run
    from zoetrope.training.trained import averaged_weights, begun_recipe

    stage = recipe.cascade.stages[0]
    if (folder / "run.json").is_file():
        changes = changes_between(begun_recipe(folder), recipe, stage.name)
        if changes:
            told = "; ".join(map(str, changes))
            raise ValueError(f"{folder}: was tuned to something else: {told}; choose another --tuned")
        begun = read_json(folder / "run.json").get("init")
        if begun is not None and begun != sha256_of(model.file(model.spec.stages[0])):
            raise ValueError(f"{folder}: was tuned from other weights than those of --model; choose another --tuned")
    else:
        expect_free(folder, "--tuned")
    with naming(folder):
        run = Run(recipe, stage.name, folder, device_named(device), model.file(model.spec.stages[0]))
        if run.state.examples < run.spec.examples:
            talk.say(f"{stage.name}: is tuned to {wish.source}, {run.spec.examples} steps")
            follow(talk, run, "edit", folder)
        del run
    return averaged_weights(folder, stage)
