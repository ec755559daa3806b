"""Shared by the verbs that sample: their options, the cascade with these options, and its finished stages."""

import json as js
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from zoetrope.commands._options import at_least, changes, device_named, dtype_named, size_named
from zoetrope.commands._provenance import record_of, recording
from zoetrope.commands._talk import Bars, Talk
from zoetrope.serving.watching import watching
from zoetrope.wording import counted

if TYPE_CHECKING:
    from zoetrope.cascade.colour import ColourShift
    from zoetrope.cascade.spec import StageSpec
    from zoetrope.cascade.start import Footage
    from zoetrope.models.cascade import Cascade, Progress
    from zoetrope.models.opening import OpenModel
    from zoetrope.models.weights import Origin

_MODELS = (
    "A shipped name, a model's folder, a hub id, a run, or a folder of runs. Repeat it, in any order, to "
    "combine them: a run replaces the model's stage of its name, and that of a codec decodes latents. "
    "RUN@HALF_LIFE takes another of its moving averages."
)
Models = Annotated[list[str] | None, typer.Option(metavar="MODEL", help=f"{_MODELS} [mini]")]
EditingModels = Annotated[list[str] | None, typer.Option("--model", metavar="MODEL", help=f"{_MODELS} [mini_image]")]
Until = Annotated[str | None, typer.Option(metavar="STAGE", help="The last stage to run. [the model's default]")]
After = Annotated[
    str | None,
    typer.Option(metavar="STAGE", help="The stage whose output the video replaces. [the one of its size and rate]"),
]
FitName = Annotated[
    str,
    typer.Option(
        "--fit",
        metavar="HOW",
        help="exact: a video of another size is refused; crop: it is resized to cover the nearest size and its middle "
        "cut out.",
    ),
]
Seed = Annotated[int, typer.Option(help="Equal seeds give equal videos, on one machine and in one --dtype.")]
Steps = Annotated[int | None, typer.Option(help="Denoising steps of every stage. [the model's]", show_default=False)]
Guidance = Annotated[
    float | None,
    typer.Option(help="Weight of the text, 0 for none, in every stage that is guided. [the model's]"),
]
Negative = Annotated[str | None, typer.Option(metavar="TEXT", help="What guidance leads away from.")]
Given = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUE",
        help="A value for an input of the model, which `zoetrope show` lists: a number, a label, or a file of actions. "
        "Repeatable.",
    ),
]
SamplerName = Annotated[str | None, typer.Option("--sampler", metavar="NAME", help="For every stage. [the model's]")]
SaveStages = Annotated[str | None, typer.Option(metavar="DIR", help="Keep what every stage made in this folder.")]
TeacherFlag = Annotated[
    bool,
    typer.Option("--teacher", help="Where stages are distilled, run the originals: slower, in any number of steps."),
]
StyleModel = Annotated[
    str | None,
    typer.Option(
        "--style",
        metavar="MODEL",
        help="A model or a run of the same networks, fine-tuned to a style; see --style-weight.",
    ),
]
StyleWeight = Annotated[
    float | None, typer.Option(help="Share of the style's weights in the networks, 0 to 1; 0.5 and more shows. [0.7]")
]
Memory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="The most that the process may hold, such as 4GB; large stages work in tiles. [what can be spared]",
    ),
]
DType = Annotated[
    str,
    typer.Option("--dtype", metavar="TYPE", help="fp32, bf16, or auto: what is fast here, found once for a machine."),
]
Size = Annotated[
    str | None,
    typer.Option(
        "--size",
        metavar="HEIGHTxWIDTH",
        help="Size of the first stage's video; the others enlarge it by their usual factors. [the model's]",
    ),
]
Sizes = Annotated[
    list[str] | None,
    typer.Option(
        "--size",
        metavar="HEIGHTxWIDTH",
        help="Size of the first stage's video; the others enlarge it by their usual factors. Repeatable: a video of "
        "each. [the model's]",
    ),
]
Frames = Annotated[
    int | None,
    typer.Option(help="Frames of the first stage's video; the others add theirs by their usual factors. [the model's]"),
]
WindowsAsked = Annotated[
    str | None,
    typer.Option(
        "--windows",
        metavar="FRAMES[:OVERLAP]",
        help="Windows that the first stage's network sees of a video of more --frames, and the others' in proportion; "
        "they agree at every step. [overlap 2]",
    ),
]
RoutineName = Annotated[
    str | None,
    typer.Option(
        "--routine",
        metavar="NAME",
        help="What the first stage does from start to end, by name or as JSON with its fields: zero_shot and "
        "hierarchical make a video of so many --frames with a model of pictures. [the model's]",
    ),
]
Rate = Annotated[float | None, typer.Option("--fps", help="Frame rate of the first stage's video. [the model's]")]


class SamplingOptions(NamedTuple):
    """The options of sampling, as given."""

    seed: int
    steps: int | None
    guidance: float | None
    sampler: str | None
    sets: list[str] | None
    device: str | None
    dtype: str
    teacher: bool = False
    size: str | None = None
    frames: int | None = None
    fps: float | None = None
    style: str | None = None
    style_weight: float | None = None
    windows: str | None = None
    routine: str | None = None


class Record(NamedTuple):
    """The summary of a finished stage: name, denoising steps, seconds, and how it changed its input's colours."""

    name: str
    steps: int
    seconds: float
    colour: "ColourShift | None"

    def to_json(self) -> dict[str, Any]:
        """The stage's entry in `--json`."""
        told: dict[str, Any] = {"name": self.name, "steps": self.steps, "seconds": round(self.seconds, 3)}
        return told if self.colour is None else {**told, "colour": self.colour.to_json()}


class Finished(NamedTuple):
    """A stage's result, and the seconds that it took."""

    progress: "Progress"
    seconds: float

    @property
    def record(self) -> Record:
        """Its summary, for a single video."""
        now = self.progress
        return Record(now.stage, now.steps, self.seconds, now.colours[0] if now.colours else None)


def opened(names: Sequence[str] | None, asked: SamplingOptions, talk: Talk | None = None) -> "OpenModel":
    """The named models, combined, with the requested sampling and grid.

    Warns through `talk` about a grid far from the one that the model was trained on. Raises ValueError for an option
    out of range, before any model is looked up.
    """
    from zoetrope.cascade.spec import MOST_STEPS
    from zoetrope.conditioning import MOST_WEIGHT

    at_least("--steps", asked.steps, 1, MOST_STEPS)
    at_least("--guidance", asked.guidance, 0, MOST_WEIGHT)
    at_least("--seed", asked.seed, 0)
    at_least("--frames", asked.frames, 1)
    if asked.fps is not None and not 0 < asked.fps < float("inf"):
        raise ValueError(f"--fps: expected a positive number, got {asked.fps:g}")
    size = None if asked.size is None else size_named(asked.size)

    from zoetrope.cascade.grid import far_from, on_grid
    from zoetrope.cascade.tuning import Tuning, routine_told, tuned
    from zoetrope.cascade.windows import windows_told
    from zoetrope.models.opening import open_model
    from zoetrope.models.style import styled

    model = open_model(names or ["mini"])
    if asked.teacher:
        model = model.originals()
    if asked.style is not None:
        model = styled(model, asked.style, 0.7 if asked.style_weight is None else asked.style_weight)
    elif asked.style_weight is not None:
        raise ValueError("--style-weight: expected with --style MODEL, of whose weights it is the share, got it alone")
    fields = changes(asked.sets)
    try:
        ways: dict[str, Any] = {"windows": windows_told(asked.windows), "routine": routine_told(asked.routine)}
    except ValueError as error:
        raise ValueError(f"--{error}") from None
    tuning = Tuning(steps=asked.steps, guidance=asked.guidance, sampler=asked.sampler, fields=fields, **ways)
    spec = on_grid(tuned(model.spec, tuning), size=size, frames=asked.frames, fps=asked.fps)
    for old, new in zip(model.spec.stages, spec.stages, strict=False):
        if old.name != new.name:
            raise ValueError(f"--set: stages keep their names, by which their weights are found; got {new.name!r}")
    if talk is not None and (far := far_from(model.spec, spec)):
        talk.warn(f"{far}; it may look worse than what {spec.name} was trained for")
    return model._replace(spec=spec)


def ready(model: "OpenModel", stages: "Sequence[StageSpec]", asked: SamplingOptions) -> "Cascade":
    """The cascade on the requested device. Raises ValueError if a stage's weights cannot be used."""
    from zoetrope.models.cascade import Cascade

    model.check(stages)
    place = device_named(asked.device)
    return Cascade.of(model, device=place, dtype=dtype_named(asked.dtype, place))


def expect_text(what: str, text: str) -> None:
    """Raise ValueError for a blank text, or for characters that no file can hold."""
    if not text.strip():
        raise ValueError(f"{what}: expected some text, got {'only blanks' if text else 'an empty string'}")
    for place, letter in enumerate(text):
        if letter == "\0" or "\ud800" <= letter <= "\udfff":
            raise ValueError(f"{what}: expected text, got {letter!a}, which is no letter, at place {place}")


def expect_guided(stages: "Sequence[StageSpec]", negative: str | None, guidance: float | None) -> None:
    """Raise ValueError if no stage is guided, or if a distilled one would ignore the negative prompt."""
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


def warn_of_cuts(talk: Talk, cascade: "Cascade", texts: Iterable[str]) -> None:
    """Warn about texts that the encoder truncates."""
    for text in dict.fromkeys(texts):
        if lost := cascade.cut(text):
            limit = 0 if cascade.spec.text is None else cascade.spec.text.limit
            talk.warn(f'the text encoder reads {limit} tokens of a prompt; this end of yours was cut off: "{lost}"')


def finished(bars: Bars, label: str, stream: "Iterator[Progress]") -> Iterator[Finished]:
    """Sample one video with a progress bar, and yield each stage when it is finished."""
    start, watcher = time.perf_counter(), watching()
    for now in stream:
        if watcher is not None:
            watcher.step(now)
        if now.step == 1:
            bars.begin(label + now.stage, now.steps)
        bars.advance(now.step)
        if now.done:
            seconds = time.perf_counter() - start
            bars.end(f"{label}{now.stage}: {now.shape}, {counted(now.steps, 'step')} in {seconds:.1f} s")
            yield Finished(now, seconds)
            start = time.perf_counter()
        del now  # free this step's x_hat before the next is made


def about(cascade: "Cascade", stages: "Sequence[StageSpec]", seed: int) -> dict[str, Any]:
    """How the videos were made, for `--json`: what ran, and the origin of each stage's weights.

    Raises ValueError if the video of a file is to be made again, and this is not how it was made.
    """
    from zoetrope.models.beside import of_cascade
    from zoetrope.models.long import digest_of
    from zoetrope.models.provenance import of_weights

    others = {name: each for name, each in of_cascade(cascade, stages).items() if name != "text"}
    told = {
        "seed": seed,
        "model": cascade.spec.name,
        "device": str(cascade.device),
        "dtype": str(cascade.dtype).removeprefix("torch."),
        "settings": {stage.name: {"shape": str(stage.made), **stage.sampling.to_json()} for stage in stages},
        "weights": {
            stage.name: {
                "from": _named(origin),
                "file": str(origin.file),
                "id": origin.fingerprint(),
                **of_weights(origin),
            }
            for stage in stages
            if (origin := cascade.origins.get(stage.name)) is not None
        },
        "cascade": digest_of(cascade.spec, stages),
        **({} if cascade.spec.text is None else {"text": cascade.spec.text.identity}),
        **({"beside": others} if others else {}),
    }
    if (running := recording()) is not None:
        running.expect(told)
    if (watcher := watching()) is not None:
        watcher.begin(stages)
    return told


def _named(origin: "Origin") -> str:
    """The name of the model or run, and of the style that is mixed in."""
    style = origin.style
    return origin.name if style is None else f"{origin.name}, {style.weight:g} of {style.name}"


def tags_of(title: str | None, own: dict[str, Any], about: dict[str, Any]) -> dict[str, str]:
    """The tags of a file: what made it, but not the paths of weights, and a `title` if the file may tell it."""
    weights = about.get("weights", {}).items()
    made = {stage: {name: part for name, part in one.items() if name != "file"} for stage, one in weights}
    running = recording()
    tags = {"seed": str(about["seed"]), "model": about["model"]}
    tags["comment"] = js.dumps(record_of(own, {**about, "weights": made}), allow_nan=False)
    return tags if title is None or (running is not None and running.private) else {"title": title, **tags}


def about_start(path: str, footage: "Footage", fit: str) -> dict[str, Any]:
    """The video to start from, for `--json`."""
    own, read = footage.own.to_json(), footage.stage.made
    return {
        "path": path,
        **own,
        "after": footage.stage.name,
        "fit": fit,
        "read": {"frames": len(footage.video.frames), "height": read.height, "width": read.width, "fps": read.fps},
    }
