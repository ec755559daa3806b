"""What a caller may get wrong at the first step: a value of another type is one line that says what is accepted."""

from collections.abc import Callable
from typing import Any

import pytest

from zoetrope import Cascade
from zoetrope.metrics.reference import open_reference
from zoetrope.models.finding import find, locate
from zoetrope.models.opening import open_model
from zoetrope.recipes import load_recipe
from zoetrope.training.spec import Recipe
from zoetrope.training.trained import run_recipe
from zoetrope.video import probe, read, read_tags, stream

NAMED = "model: expected a folder, a shipped name or a hub id"
ENTRANCES: dict[str, tuple[Callable[[Any], object], str]] = {
    "from_pretrained": (Cascade.from_pretrained, "model: expected a name, a path, or a list of at least one"),
    "locate": (locate, NAMED),
    "run_recipe": (run_recipe, NAMED),
    "open_model": (open_model, "model: expected a name, a path, or a list of at least one"),
    "open_model, several": (
        lambda name: open_model(["mini", name]),
        "model: expected a folder, a shipped name or a hub id",
    ),
    "find": (find, NAMED),
    "load_recipe": (load_recipe, "recipe: expected a shipped name or a file"),
    "from_json": (Recipe.from_json, "Recipe: expected an object with the fields of Recipe"),
    "open_reference": (open_reference, "data: expected a folder or toybox"),
    "probe": (probe, "video: expected a path"),
    "read": (read, "video: expected a path"),
    "stream": (lambda path: next(stream(path)), "video: expected a path"),
    "read_tags": (read_tags, "video: expected a path"),
}


@pytest.mark.parametrize("value", [3, None, [], True, 2.5], ids=repr)
@pytest.mark.parametrize("name", ENTRANCES)
def test_a_value_of_another_type(name: str, value: object) -> None:
    enter, told = ENTRANCES[name]
    with pytest.raises(ValueError) as caught:
        enter(value)
    assert str(caught.value) == f"{told}, got {value!r}"
