"""`zoetrope train`: train the stages of a recipe, one or all of them, or resume."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from zoetrope.commands._following import follow, naming
from zoetrope.commands._options import Device, Json, Quiet, Sets, Trust, changes, device_named, new_folder
from zoetrope.commands._sources import codec_json, data_json
from zoetrope.commands._stages import (
    FILE,
    GridOptions,
    StageTraining,
    Whole,
    expect_free,
    holds_stages,
    is_finished,
    located,
    run_summary,
    stages_named,
    summary,
)
from zoetrope.commands._talk import Talk
from zoetrope.config import packages_of
from zoetrope.config.foreign import trusting

if TYPE_CHECKING:
    import torch

    from zoetrope.processes.ranks import Ranks
    from zoetrope.training.spec import Recipe
    from zoetrope.training.trained import InitialWeights

RecipeName = Annotated[
    str | None, typer.Argument(metavar="RECIPE", help="A shipped name, a recipe.json, or a .py file with recipe().")
]
Stage = Annotated[
    str | None, typer.Option(metavar="NAME", help="Train this stage alone, with its run in the folder itself.")
]
Stages = Annotated[
    str | None, typer.Option(metavar="A,B", help="Train these one after another, each in RUN/<stage>. [all]")
]
Out = Annotated[
    Path, typer.Option("--out", "-o", metavar="RUN", help="Folder of the run, or of the runs of several stages.")
]
Data = Annotated[
    str | None,
    typer.Option(metavar="DIR", help="A folder of captioned videos and images, shards, or toybox. [the recipe's]"),
]
CodecName = Annotated[
    str | None,
    typer.Option(
        "--codec",
        metavar="CODEC",
        help="The codec of stages of latents: a run that trained one, or a model with one. [the recipe's]",
    ),
]
Init = Annotated[
    str | None,
    typer.Option(metavar="MODEL", help="Start from the weights of a model, a run or a .safetensors file."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run exactly where its last checkpoint is.")]
Accept = Annotated[
    bool, typer.Option("--accept-changes", help="Go on although the recipe is not what the run was begun with.")
]
TensorBoard = Annotated[bool, typer.Option("--tensorboard", help="Write event files for TensorBoard into the run.")]
Wandb = Annotated[str | None, typer.Option(metavar="PROJECT", help="Tell Weights & Biases how the training goes.")]
Size = Annotated[
    str | None,
    typer.Option(metavar="HxW", help="Size of the first stage's videos; the others grow with it. [the recipe's]"),
]
Frames = Annotated[int | None, typer.Option(help="Frames of the first stage's videos, likewise.", show_default=False)]
Fps = Annotated[float | None, typer.Option(help="Frames a second of them, likewise.", show_default=False)]
"""Ctrl-C, schedulers, a closed terminal, SLURM's --signal, and Ctrl-Break on Windows; no system has all of them."""


class TrainingOptions(NamedTuple):
    """The options of what to train, as given."""

    out: Path
    recipe: str | None
    stage: str | None
    stages: str | None
    data: str | None
    fields: list[tuple[str, Any]]
    init: str | None
    resume: bool
    accept: bool
    tensorboard: bool
    wandb: str | None
    grid: GridOptions = GridOptions()
    codec: str | None = None

    def applied(self, recipe: "Recipe", stage: str) -> "Recipe":
        """The recipe with all changes that the options make for a stage. Raises ValueError if it is then invalid."""
        recipe = self.grid.of(recipe)
        found, at = dict[str, Any](), f"training.{stage}"
        if self.data is not None or self.codec is not None:
            own, latents = recipe.train_spec(stage).data, recipe.cascade.codec is not None
            found[f"{at}.data"] = data_json(own, self.data, self.codec, latents=latents)
            found |= codec_json(recipe, found[f"{at}.data"], self.codec)
        if self.tensorboard or self.wandb:
            known = [one.to_json() for one in recipe.train_spec(stage).trackers]
            found[f"{at}.trackers"] = trackers_json(known, self.tensorboard, self.wandb)
        return recipe.overridden({**found, **dict(self.fields)})


def train(
    out: Out,
    recipe: RecipeName = None,
    stage: Stage = None,
    stages: Stages = None,
    data: Data = None,
    size: Size = None,
    frames: Frames = None,
    fps: Fps = None,
    sets: Sets = None,
    codec: CodecName = None,
    init: Init = None,
    resume: Resume = False,
    accept_changes: Accept = False,
    tensorboard: TensorBoard = False,
    wandb: Wandb = None,
    device: Device = None,
    trust: Trust = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train the stages of a recipe, one alone or one after another."""
    out = new_folder(out)
    fields = changes(sets)
    if stage is not None and stages is not None:
        raise ValueError("--stages: expected either this or --stage, got both")
    grid = GridOptions(size, frames, fps)
    asked = TrainingOptions(
        out, recipe, stage, stages, data, fields, init, resume, accept_changes, tensorboard, wandb, grid, codec
    )
    place = device_named(device)

    from zoetrope.processes.ranks import Ranks
    from zoetrope.training.loop import Run

    ranks = Ranks.join(place)
    talk = Talk(json and ranks.leads, quiet or not ranks.leads)
    together = holds_stages(out) if resume and stage is None else stage is None
    parts = _all_trainings(talk, asked, ranks) if together else [_one_training(talk, asked, ranks)]
    _prepare(asked, parts, together, ranks)
    results = list[dict[str, Any]]()
    for part in parts:
        if part.finished and together:
            talk.say(f"{part.folder}: finished, {part.recipe.train_spec(part.stage).examples} examples")
        else:
            with naming(part.folder):
                with talk.logged("zoetrope.training.inflation"), talk.logged("zoetrope.training.latents"):
                    run = Run(part.recipe, part.stage, part.folder, place, part.init, ranks)
                last = follow(talk, run, "train", out)
            results.append(run_summary(part.folder, part.stage, run.state.examples, last))
            del run  # its network makes room for the next
        if ranks.leads and is_finished(part.folder, part.recipe, part.stage):
            _end(talk, part, place)
    ranks.leave()
    if ranks.leads:
        value = {"runs": str(out), "stages": results} if together else results[0]
        talk.result(value, "" if quiet else summary(results))


def trackers_json(known: Sequence[dict[str, Any]], tensorboard: bool, wandb: str | None) -> list[dict[str, Any]]:
    """The trackers of a recipe, and those that `--tensorboard` and `--wandb` name, as JSON."""
    new = [{"type": "tensorboard"}] if tensorboard else list[dict[str, Any]]()
    if wandb:
        new.append({"type": "wandb", "project": wandb})
    types = {one["type"] for one in new}
    return [*(one for one in known if one["type"] not in types), *new]


def _end(talk: Talk, part: StageTraining, place: "torch.device") -> None:
    """Do what is left once a training has seen all of its examples: a codec is written."""
    from zoetrope.training.codecs import write_codec

    if (codec := write_codec(part.recipe, part.stage, part.folder, place)) is not None:
        talk.say(str(codec))


def _one_training(talk: Talk, asked: TrainingOptions, ranks: "Ranks") -> StageTraining:
    """The training of one stage, in the folder itself, new or resumed."""
    out = asked.out
    if asked.resume:
        return _continued(talk, asked, out, asked.stage, asked.init)
    made = _loaded(asked.recipe)
    assert asked.stage is not None
    made.train_spec(asked.stage)
    return _begun(talk, asked, made, asked.stage, out, asked.init, ranks)


def _all_trainings(talk: Talk, asked: TrainingOptions, ranks: "Ranks") -> list[StageTraining]:
    """The trainings of several stages, each in a folder inside, new or resumed."""
    out = asked.out
    if not asked.resume:
        if (out / "run.json").is_file():
            raise ValueError(f"{out}: is the run of one stage; go on with it by --resume, or choose another --out")
        if strays := [name for name in _files_in(out) if name != FILE]:
            raise ValueError(f"{out}: holds other files, such as {strays[0]}; choose another --out")
        made = _loaded(asked.recipe)
        names = stages_named(made, asked.stages)
        return [_begun(talk, asked, made, name, out / name, asked.init, ranks) for name in names]

    from zoetrope.models.checkpoints import find_checkpoints
    from zoetrope.training.trained import run_recipe

    known = Whole.read(out)
    there = sorted(path.parent for path in out.glob("*/run.json"))
    if asked.recipe is None and not there:
        raise ValueError(f"{out}: no stage has been begun, so there is no recipe in it; name the RECIPE")
    made = _loaded(asked.recipe) if asked.recipe is not None else run_recipe(there[0])[0]
    begun = ",".join(known.stages if known else [path.name for path in there])
    names = stages_named(made, asked.stages or begun)
    init = asked.init or (known.init if known else None)
    parts = []
    for name in names:
        if (out / name / "run.json").is_file():
            first = None if find_checkpoints(out / name / "checkpoints") else init
            parts.append(_continued(talk, asked, out / name, name, first, together=True))
        else:
            parts.append(_begun(talk, asked, made, name, out / name, init, ranks))
    return parts


def _files_in(folder: Path) -> list[str]:
    """The names of the files in a folder, which need not exist, without hidden ones."""
    there = folder.iterdir() if folder.is_dir() else ()
    return sorted(path.name for path in there if path.is_file() and not path.name.startswith("."))


def _begun(
    talk: Talk,
    asked: TrainingOptions,
    recipe: "Recipe",
    stage: str,
    folder: Path,
    init: str | None,
    ranks: "Ranks",
) -> StageTraining:
    """A new run. Raises ValueError unless its recipe, trackers, data and initial weights can be used."""
    from zoetrope.training.building import expect_trackers

    recipe = located(asked.applied(recipe, stage))
    expect_trackers(recipe.train_spec(stage), ranks)  # first, as data may take long to look at
    expect_data(recipe, stage)
    weights = None if init is None else _weights(talk, init, recipe, stage)
    if (remark := recipe.train_spec(stage).objective.remark(recipe.cascade.stage(stage))) is not None:
        talk.say(f"{stage}: {remark}")
    return StageTraining(stage, folder, recipe, weights, False)


def _continued(
    talk: Talk, asked: TrainingOptions, folder: Path, stage: str | None, init: str | None, *, together: bool = False
) -> StageTraining:
    """A run to resume, with `init` until it has a checkpoint; `together` with others, of which finished ones stay.

    Raises ValueError if there is none, or one of another recipe or stage. Likewise if the recipe, in the folder or
    named by an option, differs from the one of the run so far, unless the options state the changes. A run may come
    from anyone, so packages whose classes it names need --trust, unless they belong to the named recipe.
    """
    from zoetrope.training.changes import changes_between
    from zoetrope.training.trained import begun_recipe, run_recipe

    if not (folder / "run.json").is_file():
        there = folder.is_dir() and any(folder.iterdir())
        raise ValueError(
            f"{folder}: there is no run to resume" + (": the folder has no run.json, it is not a run" if there else "")
        )
    given = None if asked.recipe is None else _loaded(asked.recipe)
    with trusting(*packages_of(given)):
        made, name = run_recipe(folder)
        begun = begun_recipe(folder)
    if stage not in (None, name):
        raise ValueError(f"{folder}: is a run of stage {name!r}, not of {stage!r}")
    if given is not None:
        if given.name != made.name:
            raise ValueError(f"{folder}: is a run of recipe {made.name!r}, not of {asked.recipe!r}")
        made = given
    before = located(begun)
    made, expected = (located(asked.applied(located(one), name)) for one in (made, before))
    untold = changes_between(expected, made, name)
    if untold and not asked.accept:
        raise ValueError(
            f"{folder}: the recipe is not what this run was begun with: {'; '.join(map(str, untold))}. "
            "Give --accept-changes to go on with it, or --set what is meant to change"
        )
    finished = is_finished(folder, made, name)
    left = f"; is finished and stays without it, unless --out {folder} names it alone" if finished and together else ""
    for change in changes_between(before, made, name):
        talk.say(f"{folder}: {change}{left}")
    expect_data(made, name)
    weights = None if init is None else _weights(talk, init, made, name)
    return StageTraining(name, folder, made, weights, finished)


def _prepare(asked: TrainingOptions, parts: Sequence[StageTraining], together: bool, ranks: "Ranks") -> None:
    """Prepare the folders, once nothing is known that a training would refuse. Raises ValueError otherwise."""
    from zoetrope.training.building import expect_trainable
    from zoetrope.training.latents import expect_same_latents

    specs = ((part.recipe.cascade.stage(part.stage), part.recipe.train_spec(part.stage).data, part) for part in parts)
    beside = {path.parent for path in asked.out.glob("*/run.json")} - {part.folder for part in parts}
    trainings = [(stage, data, part.folder if _resumes(asked, part) else None) for stage, data, part in specs]
    expect_same_latents(trainings, beside if together else ())
    for part in parts:
        if not part.finished:
            stage, spec = part.recipe.cascade.stage(part.stage), part.recipe.train_spec(part.stage)
            expect_trainable(stage, spec, part.folder, ranks)
    ranks.meet()  # nothing is written before all processes have read the folder
    if ranks.leads:
        _make_room(asked, parts, together)
    ranks.meet()  # and nothing is read of what the leading one removes


def _resumes(asked: TrainingOptions, part: StageTraining) -> bool:
    """Whether a run goes on, instead of what is left of one that had not learnt anything making room for a new one."""
    return asked.resume and (part.folder / "run.json").is_file()


def _make_room(asked: TrainingOptions, parts: Sequence[StageTraining], together: bool) -> None:
    """Prepare the folders. Raises ValueError if a new run's folder is not free."""
    for part in parts:
        if not _resumes(asked, part):
            expect_free(part.folder, "--out")
    if together:
        known = Whole.read(asked.out)
        names = [part.stage for part in parts]
        if known is not None:
            order = [stage.name for stage in parts[0].recipe.cascade.stages]
            names = sorted({*names, *known.stages}, key=order.index)
        init = asked.init or (known.init if known is not None else None)
        Whole(tuple(names), init).write(asked.out)


def _loaded(recipe: str | None) -> "Recipe":
    """The recipe of that name. Raises ValueError, with the known ones, if none was named."""
    from zoetrope.recipes import load_recipe, names

    if recipe is None:
        raise ValueError(f"expected a recipe: {', '.join(names())}, a recipe.json, or a .py file with recipe()")
    return load_recipe(recipe)


def _weights(talk: Talk, init: str, recipe: "Recipe", stage: str) -> "InitialWeights | None":
    """The weights that `--init` names; None where they are of other stages of the recipe alone.

    Raises ValueError unless they fit the stage's network.
    """
    from zoetrope.training.trained import begins_fresh, initial_weights

    if begins_fresh(init, recipe, stage):
        talk.say(f"{stage}: begins with random weights, for {init} has no such stage")
        return None
    weights = initial_weights(init, stage, recipe.train_spec(stage).begins_as)
    weights.check(recipe, stage)
    if (remark := weights.remark(recipe, stage)) is not None:
        talk.say(remark)
    return weights


def expect_data(recipe: "Recipe", stage: str) -> None:
    """Raise ValueError if the data have no examples for some phase, before the run's folder is created."""
    from zoetrope.shapes import Window
    from zoetrope.training.opened_data import grids_of, open_data

    own, dataset = recipe.cascade.stage(stage), open_data(recipe, stage)
    channels = own.network.channels
    for shape in grids_of(own, recipe.train_spec(stage), dataset):
        first = dataset.part(0, shape, Window.whole(shape)._replace(frames=range(1)))
        if len(first.video) != channels:
            raise ValueError(f"{stage}.network.channels: expected {len(first.video)}, as the data have, got {channels}")
