"""What a training made, ready to generate: runs of stages put together to a cascade, alone or with a saved model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import torch

from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.config import read_json, unknown
from zoetrope.explain import reason, shown
from zoetrope.models.cascade import Cascade
from zoetrope.models.files import read_card
from zoetrope.models.folder import loaded, locate, read_spec, weights_file
from zoetrope.models.runs import RUN, average_file, named, within
from zoetrope.models.weights import Origin, check_weights
from zoetrope.training.distil import Distillation, is_distillation
from zoetrope.training.spec import Recipe


class Gathered(NamedTuple):
    """A cascade's description, and the file with the weights of each stage.

    `sources` is the model or run that each stage comes from, as it was named.
    """

    spec: CascadeSpec
    weights: Mapping[str, Path]
    card: str
    teacher_weights: Mapping[str, Path] = MappingProxyType({})
    sources: Mapping[str, str] = MappingProxyType({})

    def originals(self) -> "Gathered":
        """The same with teachers in the places of distilled stages. Raises ValueError where there are none."""
        weights = {**self.weights, **self.teacher_weights}
        return Gathered(self.spec.originals(), weights, self.card, sources=self.sources)

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

        def file_of(stage: StageSpec) -> Path:
            original = stage.distilled is None and stage.name in self.teacher_weights
            return (self.teacher_weights if original else self.weights)[stage.name]

        return Cascade(
            self.spec,
            lambda stage: loaded(stage, file_of(stage)),
            card=self.card,
            device=device,
            dtype=dtype,
            origins={name: Origin(source, self.weights[name]) for name, source in self.sources.items()},
        )


class _Part(NamedTuple):
    """A model or a run: the cascade that it describes, and what there is of it."""

    spec: CascadeSpec
    stages: tuple[StageSpec, ...]
    weights: Mapping[str, Path]
    card: str = ""
    teachers: tuple[StageSpec, ...] = ()
    teacher_weights: Mapping[str, Path] = MappingProxyType({})


def is_run(path: str | Path) -> bool:
    """Whether this is the folder of a training or of a distillation, or RUN@HALF_LIFE."""
    folder, _ = named(path)
    return (folder / RUN).is_file() or is_distillation(folder)


def gather(names: Sequence[str | Path]) -> Gathered:
    """One cascade from models (folder, shipped name or hub id) and run folders, whatever their order.

    A folder with runs in it stands for these; RUN@HALF_LIFE for the run, with another than the first of its moving
    averages. A distillation stands for its newest finished round.
    Runs take the places of a model's stages of the same name, or follow them.
    Raises ValueError if one is not there, if two runs or two models are of one stage, if they read text differently,
    or if the stages do not fit each other.
    """
    if isinstance(names, str | Path) or not isinstance(names, Sequence) or not names:
        raise ValueError(f"models: expected a list of at least one name or path, got {shown(names)}")
    names = [own for name in names for own in _runs_of(name) or [name]]
    parts = {str(name): _run(name) if is_run(name) else _model(name) for name in names}
    by_stage = {**_by_stage(parts, runs=False), **_by_stage(parts, runs=True)}  # the runs have the last word
    lead = next((name for name in parts if not is_run(name)), str(names[0]))
    text = parts[lead].spec.text
    for name, part in parts.items():
        if part.spec.text != text:
            raise ValueError(f"{name}: reads text with another encoder than {lead}")
    stages = _in_a_row(
        [next(own for own in parts[name].stages if own.name == stage) for stage, name in by_stage.items()]
    )
    if stages[0].source is not None:
        raise ValueError(
            f"{by_stage[stages[0].name]}: stage {stages[0].name!r} needs a video of {stages[0].source}; "
            "name the model or the runs of the stages before it as well"
        )
    used = {stage.name: by_stage[stage.name] for stage in stages}
    taught = {stage.name: stage for name in parts for stage in parts[name].teachers if by_stage[stage.name] == name}
    until = parts[lead].spec.default_until
    seen = {parts[name].spec.trained_on for name in used.values()}
    made = {
        "name": " + ".join(dict.fromkeys(parts[name].spec.name for name in used.values())),
        "stages": stages,
        "teachers": tuple(taught.values()),
        "default_until": until if until in used else None,
        "trained_on": seen.pop() if len(seen) == 1 else None,
    }
    spec = CascadeSpec(**{**{field: getattr(parts[lead].spec, field) for field in CascadeSpec.model_fields}, **made})
    weights = {stage: parts[name].weights[stage] for stage, name in used.items()}
    teacher_weights = {stage: parts[used[stage]].teacher_weights[stage] for stage in taught}
    return Gathered(spec, weights, parts[lead].card, teacher_weights, used)


def _by_stage(parts: Mapping[str, _Part], *, runs: bool) -> dict[str, str]:
    """The run, or the model, that each stage comes from. Raises ValueError if two are of one stage."""
    found: dict[str, str] = {}
    for name, part in parts.items():
        for stage in part.stages if is_run(name) == runs else ():
            if stage.name in found:
                raise ValueError(f"{found[stage.name]} and {name} both have a stage {stage.name!r}; name one of them")
            found[stage.name] = name
    return found


def _in_a_row(stages: list[StageSpec]) -> tuple[StageSpec, ...]:
    """Each stage after the one that makes what it is made from; those that follow none are at the end."""
    row: list[StageSpec] = []
    while fitting := [stage for stage in stages if stage.source == (row[-1].shape if row else None)]:
        row.append(fitting[0])
        stages.remove(fitting[0])
    return (*row, *stages)


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
        about = read_json(run / "run.json")
        recipe = Recipe.from_json(read_json(run / "recipe.json"))
    except FileNotFoundError as error:
        raise ValueError(f"{run}: not a run, it has no {Path(error.filename).name}") from None
    except ValueError as error:
        raise ValueError(f"{run}: its recipe.json or run.json cannot be read ({reason(error, run)})") from None
    stage = about.get("stage") if isinstance(about, dict) else None
    if not isinstance(stage, str):
        raise ValueError(f"{run}: its run.json cannot be read (it names no stage)")
    recipe.train_spec(stage)
    return recipe, stage


def begun_recipe(run: Path) -> Recipe:
    """The recipe that a run was last begun or gone on with, whatever has been written into its recipe.json since.

    Raises ValueError if the folder is not that of a run.
    """
    recipe, _ = run_recipe(run)
    known = read_json(run / "run.json").get("recipe")  # runs of older versions have none
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
    made = _Part(cascade, (cascade.stage(name),), average)
    home = folder.resolve().parent
    original = Distillation.open(home).original if is_distillation(home) else None
    if original is None:
        return made
    return made._replace(teachers=(original[0],), teacher_weights={name: original[1]})


def _model(name: str | Path) -> _Part:
    folder = locate(name)
    spec = read_spec(folder)
    weights = {stage.name: weights_file(folder, stage.name) for stage in spec.stages}
    teacher_weights = {stage.name: weights_file(folder, stage.name, teacher=True) for stage in spec.teachers}
    return _Part(spec, spec.stages, weights, read_card(folder), spec.teachers, teacher_weights)
