"""`zoetrope train`: train one stage of a recipe, or go on with it."""

import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoetrope.commands._options import Device, Json, Quiet, Sets, changes, device_named
from zoetrope.commands._talk import Talk

if TYPE_CHECKING:
    from zoetrope.training.loop import Progress, Run
    from zoetrope.training.spec import Recipe

BEGUN = ("recipe.json", "run.json")

RecipeName = Annotated[
    str | None, typer.Argument(metavar="RECIPE", help="A shipped name, a recipe.json, or a .py file with recipe().")
]
Stage = Annotated[str | None, typer.Option(metavar="NAME", help="Which stage of the recipe.")]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="RUN", help="The folder of this training.")]
Data = Annotated[
    str | None,
    typer.Option(metavar="DIR", help="A folder of captioned videos and images, or toybox. [the recipe's]"),
]
Init = Annotated[
    str | None,
    typer.Option(metavar="MODEL", help="Start from the weights of a model or a run, not from fresh ones."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run exactly where its last checkpoint is.")]


def train(
    out: Out,
    recipe: RecipeName = None,
    stage: Stage = None,
    data: Data = None,
    sets: Sets = None,
    init: Init = None,
    resume: Resume = False,
    device: Device = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train one stage of a recipe."""
    fields = changes(sets)
    place = device_named(device)

    from zoetrope.training.loop import Run
    from zoetrope.training.ranks import Ranks
    from zoetrope.training.state import find_checkpoints

    ranks = Ranks.join(place)
    talk = Talk(json and ranks.leads, quiet or not ranks.leads)
    made, name = _continued(out, recipe, stage) if resume else _chosen(recipe, stage)
    if ranks.leads and not resume:
        _expect_free(out)
    if data is not None:
        fields.insert(0, (f"training.{name}.data", source_json(data)))
    for path, value in fields:
        made = made.override(path, value)
    expect_data(made, name)
    weights = None if resume or init is None else _weights(init, made, name)
    with naming(out):
        run = Run(made, name, out, place, weights, ranks)
        last = follow(talk, run, "train", out)
    ranks.leave()
    if not ranks.leads:
        return
    at = find_checkpoints(out / "checkpoints")[-1]
    value = {"run": str(out), "stage": name, "examples": run.state.examples, "checkpoint": str(at)}
    if last is not None:
        value |= {"loss": last.loss, "examples_per_second": last.examples_per_second}
    talk.result(value, "" if quiet else f"{out}: {run.state.examples} examples, newest checkpoint {at}")


def source_json(data: str) -> dict[str, Any]:
    """The data source that `--data` names, as JSON."""
    from zoetrope.data.folder import Folder
    from zoetrope.data.toybox import Toybox

    return (Toybox() if data == "toybox" and not Path(data).is_dir() else Folder(path=data)).to_json()


def _chosen(recipe: str | None, stage: str | None) -> "tuple[Recipe, str]":
    """The recipe and stage of a new run."""
    from zoetrope.recipes import load_recipe, names

    if recipe is None:
        raise ValueError(f"expected a recipe: {', '.join(names())}, a recipe.json, or a .py file with recipe()")
    made = load_recipe(recipe)
    if stage is None:
        raise ValueError(f"--stage: expected one of {', '.join(made.training)}")
    made.train_spec(stage)
    return made, stage


def _expect_free(out: Path) -> None:
    """Raise ValueError unless a new run may go to `out`."""
    if (out / "metrics.jsonl").exists() or any((out / "checkpoints").glob("*")):
        raise ValueError(f"{out}: already holds a run; go on with it by --resume, or choose another --out")
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out}: expected a folder or a new name, got a file")
    if out.exists() and any(file.name not in BEGUN for file in out.iterdir()):
        raise ValueError(f"{out}: holds other files; choose another --out")
    for name in BEGUN:  # of a run that ended before it had learnt anything
        (out / name).unlink(missing_ok=True)


def _continued(out: Path, recipe: str | None, stage: str | None) -> "tuple[Recipe, str]":
    """The run's own recipe and stage. Raises ValueError if there is no run, or one of another recipe or stage."""
    from zoetrope.recipes import load_recipe
    from zoetrope.training.trained import run_recipe

    if not (out / "run.json").is_file():
        raise ValueError(f"{out}: there is no run to resume")
    made, name = run_recipe(out)
    if recipe is not None and load_recipe(recipe).name != made.name:
        raise ValueError(f"{out}: is a run of recipe {made.name!r}, not of {recipe!r}")
    if stage not in (None, name):
        raise ValueError(f"{out}: is a run of stage {name!r}, not of {stage!r}")
    return made, name


def _weights(init: str, recipe: "Recipe", stage: str) -> Path:
    """The file with the weights that `--init` names. Raises ValueError unless they fit the stage's network."""
    import torch

    from zoetrope.models.weights import check_weights
    from zoetrope.training.trained import weights_of

    path = weights_of(init, stage)
    with torch.device("meta"):
        network = recipe.cascade.stage(stage).network.build()
    check_weights(network, path)
    return path


def expect_data(recipe: "Recipe", stage: str) -> None:
    """Raise ValueError if the data give nothing for some phase, before the run's folder is there."""
    from zoetrope.shapes import Window
    from zoetrope.training.spec import clip_shape

    spec = recipe.train_spec(stage)
    dataset = spec.data.open()
    for phase in spec.phases:
        dataset.part(0, clip_shape(recipe.cascade.stage(stage), phase), Window(range(1), range(1), range(1)))


def follow(talk: Talk, run: "Run", verb: str, out: Path) -> "Progress | None":
    """Train to the end and show how it goes; Ctrl-C stops after the current step, with a checkpoint.

    `verb` goes on with what is in the folder `out` when it is told to resume.
    """
    last: Progress | None = None
    with _stopping(run, verb, out), talk.bars() as bars:
        bars.begin(run.stage.name, run.spec.examples)
        bars.advance(run.state.examples)
        try:
            for last in run.train():
                bars.advance(last.examples, f"loss {last.loss:.4f}, {last.examples_per_second:.1f} examples/s")
        except FloatingPointError as error:
            raise ValueError(f"{run.folder}: {error}; try a lower training.phases.0.peak") from None
    if run.stopped and run.state.examples < run.spec.examples:
        raise KeyboardInterrupt(_kept(run, verb, out))
    return last


def _kept(run: "Run", verb: str, out: Path) -> str:
    """What to say when a training that is not amid a step is interrupted."""
    if run.state.examples == 0:
        return "interrupted before the first step: nothing is kept"
    return (
        f"interrupted: a checkpoint is kept at {run.state.examples} examples; "
        f"to go on: zoetrope {verb} --out {shlex.quote(str(out))} --resume"
    )


@contextmanager
def naming(out: Path) -> Iterator[None]:
    """Name the run in errors of the system that name no file: a full disk does not say where."""
    try:
        yield
    except OSError as error:
        if error.strerror and error.filename is None:
            raise OSError(error.errno, error.strerror, str(out)) from error
        raise


@contextmanager
def _stopping(run: "Run", verb: str, out: Path) -> Iterator[None]:
    """Let the first Ctrl-C, or a scheduler's SIGTERM, end the training between two steps; a second ends it at once."""

    def stop(number: int, frame: Any) -> None:
        for name, handler in before.items():
            signal.signal(name, handler)
        if not run.stop():
            raise KeyboardInterrupt(_kept(run, verb, out))

    before = {name: signal.signal(name, stop) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
