"""`zoetrope distill`: distil a trained stage to few steps, or resume a distillation."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from zoetrope.commands._following import follow, naming
from zoetrope.commands._options import Device, Json, Quiet, Sets, Trust, at_least, changes, device_named, new_folder
from zoetrope.commands._sources import codec_json, data_json, source_json
from zoetrope.commands._stages import located
from zoetrope.commands._talk import Talk
from zoetrope.commands.train import Data, TensorBoard, Wandb, expect_data, trackers_json

if TYPE_CHECKING:
    from zoetrope.cascade.spec import StageSpec
    from zoetrope.data import Source
    from zoetrope.training.distil import Distillation, Round
    from zoetrope.training.spec import Recipe

SourceName = Annotated[
    str | None,
    typer.Argument(metavar="RUN|MODEL", help="The teacher: a run, or a shipped name, folder or hub id of a model."),
]
Stage = Annotated[str | None, typer.Option(metavar="NAME", help="Which stage of it. [a run's own]")]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="RUN", help="The folder of this distillation.")]
RecipeName = Annotated[
    str | None,
    typer.Option("--recipe", metavar="RECIPE", help="How to train and distil a model's stage. [of its name]"),
]
Steps = Annotated[int | None, typer.Option(help="How many steps it should need in the end.", show_default=False)]
Start = Annotated[int | None, typer.Option(help="The teacher's steps, which are halved.", show_default=False)]
SamplerName = Annotated[
    str | None, typer.Option("--sampler", metavar="NAME", help="The student's sampler: ddim or stochastic. [ddim]")
]
Weights = Annotated[
    tuple[float, float] | None,
    typer.Option("--weights", metavar="LOW HIGH", help="Guidance weights to learn.", show_default=False),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on exactly where the last checkpoint is.")]


class Taught(NamedTuple):
    """A teacher: its recipe, stage and weights, and its own original, if it was distilled and that is known.

    `codec` is the folder of the codec of its latents; None: it makes none.
    """

    recipe: "Recipe"
    stage: str
    weights: Path
    first: "tuple[StageSpec, Path] | None"
    codec: Path | None


def distill(
    out: Out,
    source: SourceName = None,
    stage: Stage = None,
    recipe: RecipeName = None,
    data: Data = None,
    steps: Steps = None,
    start: Start = None,
    sampler: SamplerName = None,
    weights: Weights = None,
    sets: Sets = None,
    resume: Resume = False,
    tensorboard: TensorBoard = False,
    wandb: Wandb = None,
    device: Device = None,
    trust: Trust = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Distil a trained stage to few steps."""
    place, out = device_named(device), new_folder(out)
    at_least("--steps", steps, 1)
    at_least("--start", start, 2)
    asked = {"steps": steps, "start": start, "sampler": sampler, "weights": weights}
    fields = [(f"distillation.{name}", value) for name, value in asked.items() if value is not None]

    from zoetrope.processes.ranks import Ranks
    from zoetrope.training.loop import Run

    ranks = Ranks.join(place)
    talk = Talk(json and ranks.leads, quiet or not ranks.leads)
    if not ranks.leads:
        ranks.meet()  # the leading process has prepared the folder
        found = _continued(out)
    elif resume:
        _expect_unchanged([source, stage, recipe, data, sets, tensorboard or None, wandb, *asked.values()])
        found = _continued(out)
    else:
        taught = _teacher(source, stage, recipe, data)
        if tensorboard or wandb:
            known = [one.to_json() for one in taught.recipe.train_spec(taught.stage).trackers]
            trackers = trackers_json(known, tensorboard, wandb)
            taught = taught._replace(recipe=taught.recipe.override(f"training.{taught.stage}.trackers", trackers))
        found = _begun(out, taught, fields, changes(sets))
    if ranks.leads:
        ranks.meet()
    for part in found.rounds():
        if not part.finished:
            talk.say(f"{out}: {_title(part)}")
            with naming(out):
                run = Run(part.recipe, part.stage, part.folder, place, ranks=ranks)
                follow(talk, run, "distill", out)
    ranks.leave()
    if not ranks.leads:
        return
    rounds = found.rounds()
    value = {"run": str(out), "stage": found.stage, "rounds": [_summary(part) for part in rounds]}
    message = f"{out}: {_title(rounds[-1])}, from {found.teacher.sampling.steps} steps"
    talk.result(value, "" if quiet else message)


def _teacher(source: str | None, stage: str | None, recipe: str | None, data: str | None) -> "Taught":
    """The teacher. Raises ValueError if there is none that can be distilled."""
    from zoetrope.models.finding import find_run
    from zoetrope.models.opening import contents, open_model
    from zoetrope.models.runs import original_of
    from zoetrope.training.trained import averaged_weights, run_recipe

    if source is None:
        raise ValueError("expected a run or a model to distil, or --resume")
    run = find_run(source)
    if run is not None:
        made, name = run_recipe(source)
        if stage not in (None, name):
            raise ValueError(f"{source}: is a run of stage {name!r}, not of {stage!r}")
        if recipe is not None:
            raise ValueError(f"--recipe: {source} is a run and has its own")
    else:
        made, name = _of_model(source, stage, recipe, data)
    own = made.cascade.stage(name)
    first = None if run is None else original_of(run.folder)
    weights = averaged_weights(source, own)
    codec = contents(run).codec if run is not None else open_model(source).codec_folder
    codec = codec if own.codec.encodes else None
    named = _data_of(made.train_spec(name).data, data, codec)
    made = made.overridden({f"training.{name}.data": named, **codec_json(made, named, None)})
    return Taught(made, name, weights, first, codec)


def _data_of(own: "Source", data: str | None, codec: Path | None) -> dict[str, Any]:
    """The data that a stage is distilled with, as JSON: those that `--data` names, or its `own`.

    Videos are encoded by the codec of the teacher, if it makes latents.
    """
    from zoetrope.data.latents import Latents

    if codec is not None and isinstance(own, Latents):
        own = own.with_(codec=str(codec))
    return data_json(own, data, None, latents=codec is not None)


def _of_model(source: str, stage: str | None, recipe: str | None, data: str | None) -> "tuple[Recipe, str]":
    """A recipe for a model: its stages, with training and distillation from the recipe of its name or from `recipe`."""
    from zoetrope import recipes
    from zoetrope.models.opening import open_model
    from zoetrope.training.spec import Phase, Recipe, TrainSpec

    model = open_model(source)
    shipped = model.spec
    if stage is None:
        raise ValueError(f"--stage: expected one of {', '.join(one.name for one in shipped.stages)}")
    shipped.stage(stage)
    originals = {original.name: original for original in shipped.teachers}  # they are the teachers, where they exist
    stages = tuple(originals.get(one.name, one) for one in shipped.stages)
    spec = shipped.with_(stages=stages, teachers=())
    named = recipe or (spec.name if spec.name in recipes.names() else None)
    known = recipes.load_recipe(named) if named else None
    if known is not None and stage in known.training:
        learning, distilling = known.training[stage], known.distil_spec(stage)
        return Recipe(name=spec.name, cascade=spec, training={stage: learning}, distillation={stage: distilling}), stage
    if data is None:
        raise ValueError(f"--data: expected a folder to learn from; a model does not say what {stage!r} learnt from")
    learnt = source_json(data)
    if shipped.stage(stage).codec.encodes and learnt["type"] not in ("latents", "encoded"):
        learnt = {"type": "latents", "source": learnt, "codec": str(model.codec_folder)}
    learning = TrainSpec.from_json({"data": learnt, "phases": [Phase(examples=1).to_json()]})
    return Recipe(name=spec.name, cascade=spec, training={stage: learning}), stage


def _begun(
    out: Path, teacher: "Taught", own: Sequence[tuple[str, Any]], sets: Sequence[tuple[str, Any]]
) -> "Distillation":
    """A new distillation. Raises ValueError unless `out` is free and all of its rounds are valid."""
    from zoetrope.models.runs import is_distillation
    from zoetrope.processes.ranks import ALONE
    from zoetrope.training.building import expect_trackers
    from zoetrope.training.distil import Distillation, plan
    from zoetrope.training.latents import differs

    recipe, stage, weights, first, codec = teacher
    recipe = located(recipe.overridden({f"{stage}.{path}": value for path, value in own} | dict(sets)))
    data = recipe.train_spec(stage).data
    if codec is not None and differs(recipe.cascade.stage(stage), data, codec):
        raise ValueError(
            f"training.{stage}.data: expected latents of the teacher's codec, {codec}, got those of another one, "
            f"{data.codec_folder}"
        )
    expect_trackers(recipe.train_spec(stage), ALONE)  # of all processes only the leading one is here
    rounds = [made for _, made in plan(recipe, stage)]
    for made in {made.train_spec(stage).phases: made for made in rounds}.values():  # those of most are alike
        expect_data(made, stage)
    if is_distillation(out):
        raise ValueError(f"{out}: already holds a distillation; go on with it by --resume, or choose another --out")
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out}: expected a folder or a new name, got a file")
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out}: holds other files; choose another --out")
    return Distillation.begin(out, recipe, stage, weights, first)


def _continued(out: Path) -> "Distillation":
    from zoetrope.models.runs import is_distillation
    from zoetrope.training.distil import Distillation
    from zoetrope.training.writing import expect_own

    if not is_distillation(out):
        raise ValueError(f"{out}: there is no distillation to resume")
    expect_own(out)
    return Distillation.open(out)


def _expect_unchanged(given: Sequence[object]) -> None:
    if any(value is not None and value != [] for value in given):
        raise ValueError("--resume: goes on as the distillation was begun; leave everything but --out and --device out")


def _title(part: "Round") -> str:
    """A round in words."""
    plan = part.recipe.cascade.stage(part.stage)
    assert plan.distilled is not None
    if plan.distilled.steps is None:
        return f"{part.stage} in one call for each step"
    return f"{part.stage} in {plan.sampling.steps} steps of {plan.sampling.sampler.kind()}"


def _summary(part: "Round") -> dict[str, Any]:
    """The summary of a round: its folder, and its first and last loss."""
    from zoetrope.training.state import read_metrics

    lines = read_metrics(part.folder / "metrics.jsonl")
    losses = [line["loss"] for line in lines if line.get("loss") is not None]
    value: dict[str, Any] = {"name": part.folder.name, "run": str(part.folder), "examples": part.examples}
    return value | ({"first_loss": losses[0], "last_loss": losses[-1]} if losses else {})
