"""A package of somebody else's: its kinds are trained, saved, gone on with, planned and loaded, if it is trusted."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch

from zoetrope.config.foreign import trusting
from zoetrope.models.cascade import Cascade
from zoetrope.models.folder import FILE, read_spec
from zoetrope.recipes import load_recipe

from .conftest import Cli

TRUST = ("--trust", "my_lab")


@pytest.fixture
def run(outside: Path, cli: Cli, tmp_path: Path) -> Path:
    """A training of one step of the outside recipe, in a process that has not imported the package since."""
    assert cli("train", outside / "recipe.py", "--out", "run", "--set", "base.training.phases.0.examples=4").code == 0
    forget()
    return Path("run/base")


def forget() -> None:
    """Have the outside package as if nobody had imported it here."""
    for name in [name for name in sys.modules if name.partition(".")[0] in ("my_lab", "recipe")]:
        del sys.modules[name]


def imported() -> list[str]:
    """What is imported of it."""
    return [name for name in sys.modules if name.partition(".")[0] == "my_lab"]


def test_what_names_a_package_is_refused_unless_it_is_trusted(run: Path, cli: Cli) -> None:
    Path("plain").mkdir()
    commands = [
        ("generate", "fog", "--model", "run", "-o", "a.mp4"),
        ("generate", "fog", "--model", run, "-o", "a.mp4"),
        ("evaluate", "run", "--data", "toybox", "--out", "report"),
        ("upscale", "missing.mp4", "--model", "run", "-o", "b.mp4"),
        ("show", run),
        ("show", "run"),
        ("status", "run"),
        ("plan", run / "recipe.json"),
        ("distill", run, "--out", "student", "--steps", "2"),
        ("train", "--out", "run", "--resume"),
        ("train", "mini", "--stage", "base", "--out", "other", "--init", "run"),
        ("data", "check", "plain", "--recipe", run / "recipe.json"),
    ]
    for command in commands:
        done = cli(*command)
        assert (done.code, done.out, imported()) == (2, "", []), command
        if command[0] != "upscale":
            told = "names code of the package 'my_lab' ('my_lab.networks.Pixels'), which would run; to allow it: "
            assert f"{told}--trust my_lab" in done.err and "stages.0: network: " in done.err, command
            assert str(run) in done.err and done.err.count("\n") == 1, command
        assert cli(*command, "--trust", "other_lab").code == 2 and imported() == []


def test_trusted_kinds_are_shown_sampled_planned_and_gone_on_with(run: Path, outside: Path, cli: Cli) -> None:
    assert cli("generate", "fog", "--model", "run", "-o", "a.mp4", "--quiet", *TRUST).code == 0
    assert Path("a.mp4").exists()
    assert "my_lab.samplers.Anew 2 steps" in cli("show", run, *TRUST).out
    assert "base" in cli("status", "run", *TRUST).out
    assert json.loads(cli("plan", run / "recipe.json", "--device", "h100", "--json", *TRUST).out)["stages"]
    forget()
    assert json.loads(cli("plan", outside / "recipe.py", "--device", "h100", "--json").out)["stages"]
    forget()
    more = ("--set", "base.training.phases.0.examples=8", "--quiet")
    assert cli("train", "--out", "run", "--resume", *more, *TRUST) == (0, "", "")
    assert (run / "checkpoints/000000008").is_dir()
    forget()
    assert cli("show", run).code == 2  # what one command trusts, the next does not


def test_a_named_recipe_in_python_trusts_what_it_names(run: Path, outside: Path, cli: Cli) -> None:
    words = ("train", outside / "recipe.py", "--out", "run", "--resume", "--set", "base.training.phases.0.examples=8")
    assert cli(*words, "--quiet") == (0, "", "")
    assert (run / "checkpoints/000000008").is_dir()


def test_a_model_is_saved_with_what_it_requires_and_loaded_with_trust(run: Path, tmp_path: Path) -> None:
    cascade = Cascade.from_pretrained("run", trust=("my_lab",))
    cascade.save_pretrained("model")
    told = json.loads(Path("model", FILE).read_text())
    assert told["requires"] == ["my_lab"] and told["stages"][0]["network"]["type"] == "my_lab.networks.Pixels"
    again = Cascade.from_pretrained("model", trust=["my_lab"])
    assert again.spec == cascade.spec
    video = again.generate("fog", seed=1)
    assert video.frames.shape == (2, 4, 8, 3) and (again.tuned(steps=3).generate("fog").frames.shape == (2, 4, 8, 3))
    forget()
    with pytest.raises(
        ValueError, match=r"model/cascade\.json: .*stages\.0: network: names code of the package 'my_lab'"
    ):
        Cascade.from_pretrained("model")
    with pytest.raises(ValueError, match="expected the name of a package"):
        Cascade.from_pretrained("model", trust=("my_lab.networks",))
    assert imported() == []
    with trusting("my_lab"):
        assert read_spec(Path("model")).name == "theirs"


def test_a_network_of_a_recipe_file_is_gone_on_with_and_loaded(
    outside: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("lab").mkdir()
    text = (outside / "recipe.py").read_text().replace("network=Pixels", "network=Wide")
    Path("lab/wide_one.py").write_text(
        text.replace("def recipe", "class Wide(Pixels):\n    width: int = 4\n\n\ndef recipe")
    )
    short = ("--stage", "base", "--out", "run", "--quiet")
    assert cli("train", "lab/wide_one.py", *short, "--set", "base.training.phases.0.examples=4") == (0, "", "")
    assert json.loads(Path("run/recipe.json").read_text())["cascade"]["stages"][0]["network"]["type"] == "wide_one.Wide"
    assert cli("train", "lab/wide_one.py", *short, "--resume", "--accept-changes") == (0, "", "")
    Cascade.from_pretrained("run", trust=("my_lab", "wide_one")).save_pretrained("model")
    del sys.modules["wide_one"]
    monkeypatch.setattr(sys, "path", [path for path in sys.path if not path.endswith("lab")])
    lost = cli("show", "model", *TRUST, "--trust", "wide_one")
    assert lost.code == 2 and "no module 'wide_one' is found; install it or set PYTHONPATH" in lost.err
    monkeypatch.syspath_prepend(Path("lab").absolute())
    assert "wide_one" in cli("show", "model", "--json", *TRUST, "--trust", "wide_one").out

    shutil.copy("lab/wide_one.py", "lab/not-a-name.py")
    shutil.copy("lab/wide_one.py", "lab/json.py")
    for name in ("not-a-name", "json"):
        done = cli("train", f"lab/{name}.py", "--out", "other")
        assert done.code == 2 and "cascade.stages.base.network: expected a class that can be imported" in done.err
        assert "move it into an importable module, such as my_lab/mine.py" in done.err
        assert not Path("other").exists()


def test_a_recipe_that_has_changed_is_run_again(outside: Path, tmp_path: Path) -> None:
    file = tmp_path / "once.py"
    text = (outside / "recipe.py").read_text().replace("def recipe", "class Mine(Pixels):\n    pass\n\n\ndef recipe")
    file.write_text(text.replace("network=Pixels(", "network=Mine("))
    assert load_recipe(str(file)) == load_recipe(str(file))
    file.write_text(file.read_text().replace("theirs", "ours"))
    assert load_recipe(str(file)).name == "ours"
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(file, tmp_path / "elsewhere" / "once.py")
    assert load_recipe(str(tmp_path / "elsewhere" / "once.py")).name == "ours"
    network = load_recipe(str(file)).cascade.stages[0].network
    assert type(network).kind() == "once.Mine" and network.build()(torch.zeros(1, 3, 1, 2, 2), None, None).shape[1] == 3
