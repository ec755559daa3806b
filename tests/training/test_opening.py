"""Models and runs put together: which weights run does not depend on the order in which they are named."""

import json
from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import pytest
import torch

from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.models.cascade import Cascade
from zoetrope.models.finding import FoundModel, FoundRun, find, find_run, shipped
from zoetrope.models.folder import FILE, write_model
from zoetrope.models.opening import OpenModel, open_model
from zoetrope.models.runs import RECIPE
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.training.loop import Run
from zoetrope.training.spec import Recipe

Tiny = Callable[..., Recipe]
Trained = Callable[..., Run]


def saved(folder: Path, spec: CascadeSpec, name: str) -> Path:
    torch.manual_seed(0)
    named = spec.with_(name=name)
    write_model(folder / name, named, {stage.name: stage.network.build() for stage in spec.stages}, f"# {name}\n")
    return folder / name


def in_every_order(names: list[Path]) -> OpenModel:
    """What they are together, which is the same in all orders."""
    first, *others = [open_model(order) for order in permutations(names)]
    assert all(other == first for other in others)
    return first


def test_a_run_takes_the_place_of_a_models_stage(tiny: Tiny, trained: Trained, tmp_path: Path) -> None:
    recipe = tiny()
    run = trained(recipe, "mine", until=8).folder
    model = saved(tmp_path, recipe.cascade, "whole")
    found = in_every_order([model, run])
    used = [stage.name for stage in found.spec.stages]
    assert used == [stage.name for stage in recipe.cascade.stages]
    [stage] = open_model([run]).weights
    assert found.sources == {name: str(run if name == stage else model) for name in used}
    assert found.weights[stage] == open_model([run]).weights[stage] and found.card == "# whole\n"
    assert set(found.spec.name.split(" + ")) == {recipe.cascade.name} | ({"whole"} if len(used) > 1 else set())
    origins = Cascade.of(found).origins
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
                open_model(names)
    assert open_model([runs[0], runs[0]]) == open_model([runs[0]])


def test_python_opens_what_the_command_line_opens(tiny: Tiny, trained: Trained, tmp_path: Path) -> None:
    recipe = tiny(half_life=(2, 9))
    run = trained(recipe, "runs/mine", until=8).folder
    model = saved(tmp_path, recipe.cascade, "whole")
    for names in ([model, run], [f"{run}@9", model], [str(model), str(tmp_path / "runs")]):
        opened, cascade = open_model(names), Cascade.from_pretrained(names)
        assert (cascade.spec, cascade.card, cascade.origins) == (opened.spec, opened.card, opened.origins())
        assert cascade.origins["base"].file.is_relative_to(run)
        assert cascade.origins["tsr1"].file.is_relative_to(model)
    assert cascade.generate("noise").frames.shape == (4, 4, 8, 3)
    assert open_model(run) == open_model([run]) and Cascade.from_pretrained(run).origins["base"].name == str(run)
    with pytest.raises(ValueError, match=r"expected a name, a path, or a list of at least one, got \[\]"):
        Cascade.from_pretrained([])
    with pytest.raises(ValueError, match="no stage is distilled"):
        Cascade.from_pretrained([model, run], teacher=True)


def test_a_name_means_one_thing(tiny: Tiny, trained: Trained, tmp_path: Path) -> None:
    recipe = tiny(half_life=(2, 9))
    model = saved(tmp_path, recipe.cascade, "whole")
    run = trained(recipe, "whole/tuned", until=8).folder
    assert find(run) == (FoundRun(str(run), run, None),) and find(f"{run}@9") == (FoundRun(f"{run}@9", run, 9),)
    assert find(model) == (FoundModel(str(model), model),)  # whatever else is in its folder
    (model / FILE).unlink()
    assert find(f"{model}@9") == (FoundRun(f"{run}@9", run, 9),)  # what is left is a folder of runs
    assert find("mini") == (FoundModel("mini", shipped()["mini"]),)
    assert find_run(model) is None and find_run("mini") is None


def test_opening_a_run_needs_no_more_than_its_cascade(tiny: Tiny, trained: Trained, tmp_path: Path) -> None:
    """Data and objectives that are not installed here are needed to train, and not to sample."""
    run = trained(tiny(), "run", until=8).folder
    known = open_model(run)
    told = json.loads((run / RECIPE).read_text())
    told["training"]["base"]["data"] = {"type": "not_here"}
    (run / RECIPE).write_text(json.dumps(told))
    assert open_model(run) == known
    told["cascade"]["text"]["type"] = "not_here"
    (run / RECIPE).write_text(json.dumps(told))
    with pytest.raises(ValueError, match=r"run: not a run that can be read, .*text: unknown text encoder 'not_here'"):
        open_model(run)


def test_a_damaged_average_is_not_sampled_with(tiny: Tiny, trained: Trained) -> None:
    run = trained(tiny(), "run", until=8).folder
    [file] = open_model(run).weights.values()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    message = r"stage 'base': .*average.safetensors: is not as it was written, by its checksum in state.json"
    with pytest.raises(ValueError, match=message):
        Cascade.from_pretrained(run).generate("noise")


def test_stages_that_are_told_no_text_go_with_those_that_are(tiny: Tiny, trained: Trained, tmp_path: Path) -> None:
    recipe = tiny()
    base = recipe.cascade.stages[0]
    network = VideoUNetConfig(text_width=None, embedding=16, head=8, levels=(Level(width=16),))
    silent = StageSpec(name="base", shape=base.shape, inputs=(), network=network, sampling=base.sampling)
    cascade = CascadeSpec(name="silent", stages=(silent,))
    run = trained(Recipe(name="silent", cascade=cascade, training={"base": recipe.training["base"]}), "run").folder
    model = saved(tmp_path, recipe.cascade, "whole")
    found = in_every_order([model, run])
    assert found.spec.stages == (silent, recipe.cascade.stages[1]) and found.spec.text == recipe.cascade.text
    assert open_model(run).spec.text is None
