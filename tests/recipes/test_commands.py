"""What the docstrings of recipes tell to do: options that exist, stages that exist, and trainings that learn."""

import shlex
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer

from zoetrope import recipes
from zoetrope.commands import application
from zoetrope.commands._options import changes
from zoetrope.recipes import load_recipe

COMMANDS = [
    (name, words)
    for name in recipes.names()
    for line in (import_module(f"zoetrope.recipes.{name}").__doc__ or "")
    .replace("\\\n", " ")
    .replace("torchrun ... ", "")
    .splitlines()
    if line.strip().startswith("zoetrope ")
    for words in [shlex.split(line)[1:]]
]
NAMED = [f"{name} {number}" for number, (name, _) in enumerate(COMMANDS)]


@pytest.mark.parametrize("words", [words for _, words in COMMANDS], ids=NAMED)
def test_commands_have_options_that_exist(words: list[str]) -> None:
    found: Any = typer.main.get_command(application())
    context = found.make_context("zoetrope", list(words), resilient_parsing=True)
    while hasattr(found, "get_command"):
        found, words = found.get_command(context, words[0]), words[1:]
        assert found is not None
    assert found.make_context("zoetrope", list(words)).params


@pytest.mark.parametrize("words", [words for _, words in COMMANDS if words[0] == "train"])
def test_trainings_reach_their_learning_rate(words: list[str]) -> None:
    """With the settings that the command gives: a warm-up of the paper's length would last longer than a small run."""
    options = list(pairwise(words))
    made = load_recipe(words[1]).overridden(dict(changes([value for option, value in options if option == "--set"])))
    for name in [dict(options)["--stage"]] if "--stage" in words else made.training:
        spec = made.train_spec(name)
        assert spec.warm_up + spec.cool_down <= spec.examples, name


def test_every_recipe_tells_how_to_train_it() -> None:
    told = {Path(words[1].partition("@")[0]).name for _, words in COMMANDS if words[0] == "train"}
    assert {name for name in recipes.names() if name not in told} <= {"dit", "tune_a_video"}
