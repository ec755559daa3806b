"""What a training made, ready to generate: runs of stages put together to a cascade, alone or with a saved model."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.config import unknown
from zoetrope.models.cascade import Cascade
from zoetrope.models.folder import locate, read_spec
from zoetrope.models.weights import check_weights, read_weights
from zoetrope.networks import Network
from zoetrope.text import TextEncoder
from zoetrope.training.spec import Recipe
from zoetrope.training.state import find_checkpoints


class Gathered(NamedTuple):
    """A cascade's description, and the file with the weights of each stage."""

    spec: CascadeSpec
    weights: Mapping[str, Path]
    card: str

    def check(self, stages: Sequence[StageSpec]) -> None:
        """Raise ValueError if weights of these stages are missing, damaged, or those of another network.

        Only the files' headers are read: what a late stage lacks is known before the first one runs.
        """
        for stage in stages:
            with torch.device("meta"):
                network = stage.network.build()
            check_weights(network, self.weights[stage.name])

    def cascade(self, device: torch.device, dtype: torch.dtype) -> Cascade:
        """The cascade, ready to run."""

        def load(stage: StageSpec) -> Network:
            network = stage.network.build()
            read_weights(network, self.weights[stage.name])
            return network.eval().requires_grad_(False)

        return Cascade(self.spec, load, card=self.card, device=device, dtype=dtype)


class _Part(NamedTuple):
    name: str
    text: TextEncoder
    stages: tuple[StageSpec, ...]
    weights: Mapping[str, Path]
    card: str = ""


def is_run(path: str | Path) -> bool:
    """Whether this is the folder of a training."""
    return (Path(path).expanduser() / "run.json").is_file()


def gather(names: Sequence[str | Path]) -> Gathered:
    """One cascade from models (folder, shipped name or hub id) and run folders, each in the place of its stage.

    A stage of a later one replaces the stage of the same name of an earlier one, or follows the others.
    Raises ValueError if one is not there, if they read text differently, or if the stages do not fit each other.
    """
    parts = [_run(Path(name).expanduser()) if is_run(name) else _model(name) for name in names]
    stages: dict[str, StageSpec] = {}
    weights: dict[str, Path] = {}
    for name, part in zip(names, parts, strict=True):
        if part.text != parts[0].text:
            raise ValueError(f"{name}: reads text with another encoder than {names[0]}")
        stages.update((stage.name, stage) for stage in part.stages)
        weights.update(part.weights)
    first = next(iter(stages.values()))
    if first.source is not None:
        raise ValueError(
            f"{names[0]}: stage {first.name!r} needs a video of {first.source}; "
            "name the model or the runs of the stages before it first"
        )
    spec = CascadeSpec(name=parts[0].name, text=parts[0].text, stages=tuple(stages.values()))
    return Gathered(spec, weights, parts[0].card)


def weights_of(name: str | Path, stage: str) -> Path:
    """The file with a stage's weights, of a model or a run. Raises ValueError if it has no such stage."""
    part = _run(Path(name).expanduser()) if is_run(name) else _model(name)
    if stage not in part.weights:
        raise ValueError(f"{name}: " + unknown("stage", stage, part.weights))
    return part.weights[stage]


def run_recipe(run: Path) -> tuple[Recipe, str]:
    """The recipe of a run and the stage that it trains. Raises ValueError if the folder is not that of a run."""
    try:
        stage = json.loads((run / "run.json").read_text())["stage"]
        recipe = Recipe.from_json((run / "recipe.json").read_text())
    except (FileNotFoundError, KeyError, TypeError) as error:
        raise ValueError(f"{run}: not a run, it has no recipe.json and run.json ({error})") from None
    except ValueError as error:
        raise ValueError(f"{run}: its recipe.json or run.json cannot be read ({error})") from None
    recipe.train_spec(stage)
    return recipe, stage


def _run(folder: Path) -> _Part:
    recipe, name = run_recipe(folder)
    found = find_checkpoints(folder / "checkpoints")
    if not found:
        raise ValueError(f"{folder}: this run has no checkpoint yet")
    stage = recipe.cascade.stage(name)
    return _Part(recipe.cascade.name, recipe.cascade.text, (stage,), {name: found[-1] / "average.safetensors"})


def _model(name: str | Path) -> _Part:
    folder = locate(name)
    spec = read_spec(folder)
    card = folder / "README.md"
    weights = {stage.name: folder / stage.name / "model.safetensors" for stage in spec.stages}
    return _Part(spec.name, spec.text, spec.stages, weights, card.read_text() if card.is_file() else "")
