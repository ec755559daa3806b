"""Nine parts of somebody else's package, used together: trained, gone on with, saved, loaded, planned and measured."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from zoetrope.cascade.spec import StageSpec
from zoetrope.config import packages_of
from zoetrope.config.foreign import trusting
from zoetrope.models.cascade import Cascade
from zoetrope.recipes import load_recipe

from .conftest import Cli

TRUST = ("--trust", "my_lab")
SHORT = ("--set", "base.training.phases.0.examples=8")


@pytest.fixture
def run(outside: Path, cli: Cli, tmp_path: Path) -> Path:
    """A training of two steps of the recipe, in a process that has not imported the package since."""
    done = cli("train", outside / "lamp.py", "--out", "run", *SHORT)
    assert done.code == 0, done.err
    forget()
    return Path("run/base")


def forget() -> None:
    """Have the outside package as if nobody had imported it here."""
    for name in [name for name in sys.modules if name.partition(".")[0] in ("my_lab", "lamp")]:
        del sys.modules[name]


def test_every_part_is_found_by_its_dotted_name(run: Path) -> None:
    told = json.loads((run / "recipe.json").read_text())
    [stage], learning = told["cascade"]["stages"], told["training"]["base"]
    sampling = stage["sampling"]
    parts = [stage["inputs"][1], stage["network"], stage["schedule"], learning["data"], learning["objective"]]
    parts += [sampling[name] for name in ("sampler", "guidance", "routine")]
    assert [part["type"] for part in parts] == [
        "my_lab.brightness.Brightness",
        "my_lab.lamps.Lamps",
        "my_lab.schedules.Even",
        "my_lab.data.Greys",
        "my_lab.objectives.Absolute",
        "my_lab.samplers.Anew",
        "my_lab.guidance.Brighter",
        "my_lab.routines.Restart",
    ]
    with pytest.raises(ValueError, match=r"names code of the package 'my_lab'"):
        load_recipe(str(run / "recipe.json"))
    with trusting("my_lab"):
        recipe = load_recipe(str(run / "recipe.json"))
    assert packages_of(recipe) == ("my_lab",) and recipe.to_json() == told


def test_two_steps_are_trained_and_gone_on_with_exactly(run: Path, outside: Path, cli: Cli) -> None:
    assert sorted(path.name for path in (run / "samples").iterdir()) == ["000000004.png", "000000008.png"]
    assert cli("train", outside / "lamp.py", "--out", "halves", "--set", "base.training.phases.0.examples=4").code == 0
    forget()
    assert cli("train", "--out", "halves", "--resume", *SHORT, "--quiet").code == 2
    assert cli("train", "--out", "halves", "--resume", *SHORT, "--quiet", *TRUST) == (0, "", "")
    with trusting("my_lab"):
        once, twice = (weights_of(Cascade.from_pretrained(name)) for name in ("run", "halves"))
    assert once.keys() == twice.keys() and all(torch.equal(once[name], twice[name]) for name in once)


def weights_of(cascade: Cascade) -> dict[str, torch.Tensor]:
    """Those of the only stage."""
    return cascade.spec.stages[0].network.build().state_dict() | cascade._network(cascade.spec.stages[0]).state_dict()


def test_a_value_of_the_input_is_asked_for_by_name(run: Path, cli: Cli) -> None:
    with pytest.raises(ValueError, match="names code of the package 'my_lab'"):
        Cascade.from_pretrained("run")
    cascade = Cascade.from_pretrained("run", trust=("my_lab",))
    cascade.save_pretrained("model")
    forget()
    cascade = Cascade.from_pretrained("model", trust=("my_lab",))
    videos = [cascade.generate("grey 2", given=given).frames for given in ({}, {"brightness": 0.0}, {"brightness": 1})]
    assert all(not np.array_equal(one, other) for one, other in ((videos[0], videos[1]), (videos[1], videos[2])))
    for given, told in (({"brightness": 2}, "expected a number from 0 to 1, got 2"), ({"bright": 1}, "did you mean")):
        with pytest.raises(ValueError, match=told):
            cascade.generate("grey 2", given=given)
    words = ("generate", "grey 2", "--model", "model", "-o", "a.mp4", "--given", "brightness=0.9", "--json")
    assert cli(*words).code == 2
    done = cli(*words, *TRUST)
    assert done.code == 0 and Path("a.mp4").exists(), done.err
    refused = cli("generate", "grey 2", "--model", "model", "-o", "b.mp4", "--given", "brightness=3", *TRUST)
    assert refused.code == 2 and "brightness: expected a number from 0 to 1, got 3" in refused.err


def test_all_of_it_is_planned_and_kept_within_memory(run: Path, cli: Cli) -> None:
    words = ("plan", run / "recipe.json", "--device", "cpu", "--json")
    assert cli(*words).code == 2
    [stage] = json.loads(cli(*words, *TRUST).out)["stages"]
    assert stage["steps"] == 3 + 2 * 2  # twice more from the middle on
    assert stage["flops"] > 0 and stage["training"]["flops"] > 0
    generate = ("generate", "grey 2", "--model", "run", "--quiet", *TRUST)
    assert cli(*generate, "-o", "a.mp4", "--memory", "2GB").code == 0
    little = cli(*generate, "-o", "b.mp4", "--memory", "100MB")
    assert little.code == 2 and "memory: stage 'base'" in little.err


def test_the_routine_decides_how_many_steps_there_are(run: Path) -> None:
    cascade = Cascade.from_pretrained("run", trust=("my_lab",))
    [stage] = cascade.spec.stages
    assert isinstance(stage, StageSpec) and stage.sampling.length == 7
    steps = [(now.step, now.steps) for now in cascade.stream("grey 1")]
    assert steps == [(number, 7) for number in range(1, 8)]


def test_videos_are_measured_by_the_measure(run: Path, cli: Cli) -> None:
    data = make_films(Path("films"))
    words = ("evaluate", "run", "--data", data, "--count", "2", "--out", "report", "--metrics", "my_lab.measures")
    assert cli(*words).code == 2
    done = cli(*words, *TRUST, "--json")
    assert done.code == 0, done.err
    text = Path("report/results.json").read_text()
    assert "my_lab.measures.MeanBrightness" in text and "Mean brightness" in text


def make_films(folder: Path) -> Path:
    """Two captioned films of one grey each."""
    from zoetrope.video import Video

    folder.mkdir()
    for number in range(2):
        frames = np.full((4, 8, 16, 3), 60 + 100 * number, np.uint8)
        Video(frames, 3).save(folder / f"grey {number}.mp4")
        (folder / f"grey {number}.txt").write_text(f"grey {number}")
    return folder
