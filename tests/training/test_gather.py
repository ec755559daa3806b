"""Models and runs put together: which weights run does not depend on the order in which they are named."""

from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import pytest
import torch

from zoetrope.cascade.spec import CascadeSpec
from zoetrope.models.folder import write_model
from zoetrope.training.loop import Run
from zoetrope.training.spec import Recipe
from zoetrope.training.trained import Gathered, gather

Tiny = Callable[..., Recipe]
Trained = Callable[..., Run]


def saved(folder: Path, spec: CascadeSpec, name: str) -> Path:
    torch.manual_seed(0)
    named = spec.with_(name=name)
    write_model(folder / name, named, {stage.name: stage.network.build() for stage in spec.stages}, f"# {name}\n")
    return folder / name


def in_every_order(names: list[Path]) -> Gathered:
    """What they are together, which is the same in all orders."""
    first, *others = [gather(order) for order in permutations(names)]
    assert all(other == first for other in others)
    return first


def test_a_run_takes_the_place_of_a_models_stage(tiny: Tiny, trained: Trained, tmp_path: Path) -> None:
    recipe = tiny()
    run = trained(recipe, "mine", until=8).folder
    model = saved(tmp_path, recipe.cascade, "whole")
    found = in_every_order([model, run])
    used = [stage.name for stage in found.spec.stages]
    assert used == [stage.name for stage in recipe.cascade.stages]
    [stage] = gather([run]).weights
    assert found.sources == {name: str(run if name == stage else model) for name in used}
    assert found.weights[stage] == gather([run]).weights[stage] and found.card == "# whole\n"
    assert set(found.spec.name.split(" + ")) == {recipe.cascade.name} | ({"whole"} if len(used) > 1 else set())
    origins = found.cascade(torch.device("cpu"), torch.float32).origins
    assert {name: (o.name, o.file) for name, o in origins.items()} == {
        name: (found.sources[name], found.weights[name]) for name in used
    }


def test_two_of_one_stage_are_refused(tiny: Tiny, trained: Trained, tmp_path: Path) -> None:
    recipe = tiny()
    runs = [trained(recipe, name, until=8).folder for name in ("one", "two")]
    models = [saved(tmp_path, recipe.cascade, name) for name in ("first", "second")]
    for pair in (runs, models):
        for names in (pair, pair[::-1]):
            with pytest.raises(ValueError, match=rf"{names[0]} and {names[1]} both have a stage .*; name one of them"):
                gather(names)
    assert gather([runs[0], runs[0]]) == gather([runs[0]])
