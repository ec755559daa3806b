"""Whole systems as data, one per file: each has a `recipe()` that gives a `zoetrope.training.spec.Recipe`."""

import importlib
import importlib.util
import inspect
import pkgutil
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from zoetrope.config import unknown
from zoetrope.explain import expect_path

if TYPE_CHECKING:
    from zoetrope.training.spec import Recipe


def names() -> list[str]:
    """The recipes that come with the package."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def is_recipe(what: str) -> bool:
    """Whether a name means a recipe where it might mean a model: a .json or .py file, or a shipped name."""
    name = what.partition("@")[0]
    return Path(what).suffix in (".json", ".py") or (name in names() and not Path(name).is_dir())


def load_recipe(name_or_path: str | Path) -> "Recipe":
    """A recipe by its shipped name, from a recipe.json, or from a Python file with a function `recipe()`.

    NAME@WIDTH is a sibling of a shipped one whose function takes a `width`, a factor of those of its networks.
    A Python file is run. Raises ValueError, with the nearest name, if there is no such recipe, or says what is wrong
    with it.
    """
    expect_path("recipe", name_or_path, "a shipped name or a file")
    path, name_or_path = Path(name_or_path).expanduser(), str(name_or_path)
    if path.suffix in (".json", ".py") or path.is_file():
        return _from_file(path)
    name, scaled, width = name_or_path.partition("@")
    if name not in names():
        if path.is_dir():
            raise ValueError(f"{name_or_path}: expected a recipe, got a folder; that of a run is recipe.json in it")
        raise ValueError(unknown("recipe", name, names()))
    module = importlib.import_module(f"{__name__}.{name}")
    return _sibling(module, name_or_path, width) if scaled else _called(module, name)


def _sibling(module: ModuleType, name: str, width: str) -> "Recipe":
    if "width" not in inspect.signature(module.recipe).parameters:
        raise ValueError(f"{name}: this recipe has one width only; leave out '@{width}'")
    try:
        factor = float(width)
    except ValueError:
        raise ValueError(f"{name}: expected a number after '@', got {width!r}") from None
    made: Recipe = module.recipe(width=factor)
    return made


def _from_file(path: Path) -> "Recipe":
    from zoetrope.training.spec import Recipe

    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    if path.suffix == ".py":
        spec = importlib.util.spec_from_file_location("_recipe_of_the_user", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return _called(module, str(path))
    try:
        return Recipe.from_json(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not a recipe ({error})") from None


def _called(module: ModuleType, name: str) -> "Recipe":
    from zoetrope.training.spec import Recipe

    function = getattr(module, "recipe", None)
    if not callable(function):
        raise ValueError(f"{name}: expected a function recipe() in it, got none")
    made = function()
    if not isinstance(made, Recipe):
        raise ValueError(
            f"{name}: expected recipe() to give a zoetrope.training.spec.Recipe, got {type(made).__name__}"
        )
    return made
