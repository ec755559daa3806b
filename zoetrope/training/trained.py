"""What a training made, ready to generate: runs of stages put together to a cascade, alone or with a saved model."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import torch

from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.config import unknown
from zoetrope.models.cascade import Cascade
from zoetrope.models.folder import TEACHER_WEIGHTS, WEIGHTS, locate, read_spec
from zoetrope.models.runs import RUN, average_file, named, within
from zoetrope.models.weights import check_weights, read_weights
from zoetrope.networks import Network
from zoetrope.text import TextEncoder
from zoetrope.training.distil import Distillation, is_distillation
from zoetrope.training.spec import Recipe


class Gathered(NamedTuple):
    """A cascade's description, and the file with the weights of each stage."""

    spec: CascadeSpec
    weights: Mapping[str, Path]
    card: str
    teacher_weights: Mapping[str, Path] = MappingProxyType({})

    def originals(self) -> "Gathered":
        """The same with teachers in the places of distilled stages. Raises ValueError where there are none."""
        weights = {**self.weights, **self.teacher_weights}
        return Gathered(self.spec.originals(), weights, self.card)

    def check(self, stages: Sequence[StageSpec]) -> None:
        """Raise ValueError if weights of these stages are missing, damaged, or those of another network.

        It also does so for a distilled stage that is sampled in a way that it was not distilled for.
        Only the files' headers are read: what a late stage lacks is known before the first one runs.
        """
        for stage in stages:
            stage.check_sampling()
            network = stage.network.bare()
            check_weights(network, self.weights[stage.name])

    def cascade(self, device: torch.device, dtype: torch.dtype) -> Cascade:
        """The cascade, ready to run."""

        def load(stage: StageSpec) -> Network:
            network = stage.network.bare()
            original = stage.distilled is None and stage.name in self.teacher_weights
            read_weights(network, (self.teacher_weights if original else self.weights)[stage.name])
            return network.eval().requires_grad_(False)

        return Cascade(self.spec, load, card=self.card, device=device, dtype=dtype)


class _Part(NamedTuple):
    name: str
    text: TextEncoder
    stages: tuple[StageSpec, ...]
    weights: Mapping[str, Path]
    card: str = ""
    teachers: tuple[StageSpec, ...] = ()
    teacher_weights: Mapping[str, Path] = MappingProxyType({})
    default_until: str | None = None


def is_run(path: str | Path) -> bool:
    """Whether this is the folder of a training or of a distillation, or RUN@HALF_LIFE."""
    folder, _ = named(path)
    return (folder / RUN).is_file() or is_distillation(folder)


def gather(names: Sequence[str | Path]) -> Gathered:
    """One cascade from models (folder, shipped name or hub id) and run folders, each in the place of its stage.

    A folder with runs in it stands for these, in the order of their cascade; RUN@HALF_LIFE for the run, with another
    than the first of its moving averages.
    A stage of a later one replaces the stage of the same name of an earlier one, or follows the others. A distillation
    stands for its newest finished round.
    Raises ValueError if one is not there, if they read text differently, or if the stages do not fit each other.
    """
    names = [own for name in names for own in _runs_of(name) or [name]]
    parts = [_run(name) if is_run(name) else _model(name) for name in names]
    stages: dict[str, StageSpec] = {}
    weights: dict[str, Path] = {}
    teachers: dict[str, StageSpec] = {}
    teacher_weights: dict[str, Path] = {}
    for name, part in zip(names, parts, strict=True):
        if part.text != parts[0].text:
            raise ValueError(f"{name}: reads text with another encoder than {names[0]}")
        stages.update((stage.name, stage) for stage in part.stages)
        weights.update(part.weights)
        for stage in part.stages:  # the teacher of a stage that is replaced goes with it
            teachers.pop(stage.name, None)
            teacher_weights.pop(stage.name, None)
        teachers.update((stage.name, stage) for stage in part.teachers)
        teacher_weights.update(part.teacher_weights)
    first = next(iter(stages.values()))
    if first.source is not None:
        raise ValueError(
            f"{names[0]}: stage {first.name!r} needs a video of {first.source}; "
            "name the model or the runs of the stages before it first"
        )
    originals = tuple(teachers.values())
    spec = CascadeSpec(
        name=parts[0].name,
        text=parts[0].text,
        stages=tuple(stages.values()),
        teachers=originals,
        default_until=parts[0].default_until if parts[0].default_until in stages else None,
    )
    return Gathered(spec, weights, parts[0].card, teacher_weights)


def _runs_of(name: str | Path) -> list[str | Path]:
    """The runs in a folder of runs, [] for anything else."""
    return [] if is_run(name) else list(within(name))


def weights_of(name: str | Path, stage: str) -> Path:
    """The file with a stage's weights to train on, of a model, a run or a folder of runs.

    It is the original's where the stage was distilled: a distilled network is another one.
    Raises ValueError if there is no such stage.
    """
    parts = [_run(run) for run in ([name] if is_run(name) else _runs_of(name))] or [_model(name)]
    weights = {own: path for part in parts for own, path in {**part.weights, **part.teacher_weights}.items()}
    if stage not in weights:
        raise ValueError(f"{name}: " + unknown("stage", stage, weights))
    return weights[stage]


def averaged_weights(name: str | Path, stage: StageSpec) -> Path:
    """The file of the weights that a stage samples with, of a run or a model: their moving average in training.

    Raises ValueError if there is none, or if it is not that of the stage's network.
    """
    part = _run(name) if is_run(name) else _model(name)
    path = (part.teacher_weights if stage in part.teachers else part.weights)[stage.name]
    if is_run(name) and not path.is_file():
        raise ValueError(
            f"{path}: expected the moving average (EMA) of the weights, which is what is sampled with and distilled; "
            "this checkpoint has none"
        )
    network = stage.network.bare()
    check_weights(network, path)
    return path


def original_of(run: str | Path) -> tuple[StageSpec, Path] | None:
    """What a run's stage was distilled from, and the file of its weights; None if it was not, or if they are lost."""
    part = _run(run)
    return next(((stage, part.teacher_weights[stage.name]) for stage in part.teachers), None)


def run_recipe(run: str | Path) -> tuple[Recipe, str]:
    """The recipe of a run and the stage that it trains. Raises ValueError if the folder is not that of a run."""
    run = newest_run(named(run)[0])
    try:
        stage = json.loads((run / "run.json").read_text())["stage"]
        recipe = Recipe.from_json((run / "recipe.json").read_text())
    except (FileNotFoundError, KeyError, TypeError) as error:
        raise ValueError(f"{run}: not a run, it has no recipe.json and run.json ({error})") from None
    except ValueError as error:
        raise ValueError(f"{run}: its recipe.json or run.json cannot be read ({error})") from None
    recipe.train_spec(stage)
    return recipe, stage


def begun_recipe(run: Path) -> Recipe:
    """The recipe that a run was last begun or gone on with, whatever has been written into its recipe.json since.

    Raises ValueError if the folder is not that of a run.
    """
    recipe, _ = run_recipe(run)
    known = json.loads((run / "run.json").read_text()).get("recipe")  # runs of older versions have none
    return recipe if known is None else Recipe.from_json(known)


def newest_run(folder: Path) -> Path:
    """The run in a folder: the folder itself, or the newest finished round of a distillation.

    Raises ValueError if no round is finished.
    """
    return Distillation.open(folder).newest().folder if is_distillation(folder) else folder


def _run(run: str | Path) -> _Part:
    folder, half_life = named(run)
    folder = newest_run(folder)
    recipe, name = run_recipe(folder)
    cascade, average = recipe.cascade, {name: average_file(folder, half_life)}
    made = _Part(cascade.name, cascade.text, (cascade.stage(name),), average, default_until=cascade.default_until)
    home = folder.resolve().parent
    original = Distillation.open(home).original if is_distillation(home) else None
    if original is None:
        return made
    return made._replace(teachers=(original[0],), teacher_weights={name: original[1]})


def _model(name: str | Path) -> _Part:
    folder = locate(name)
    spec = read_spec(folder)
    card = folder / "README.md"
    weights = {stage.name: folder / stage.name / WEIGHTS for stage in spec.stages}
    teacher_weights = {stage.name: folder / stage.name / TEACHER_WEIGHTS for stage in spec.teachers}
    told = card.read_text() if card.is_file() else ""
    return _Part(spec.name, spec.text, spec.stages, weights, told, spec.teachers, teacher_weights, spec.default_until)
