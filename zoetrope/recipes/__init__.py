"""Whole systems as data, one per file: each has a `recipe()` that gives a `zoetrope.training.spec.Recipe`."""

import importlib
import importlib.util
import pkgutil
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from zoetrope.config import unknown

if TYPE_CHECKING:
    from zoetrope.training.spec import Recipe


def names() -> list[str]:
    """The recipes that come with the package."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def load_recipe(name_or_path: str) -> "Recipe":
    """A recipe by its shipped name, from a recipe.json, or from a Python file with a function `recipe()`.

    A Python file is run. Raises ValueError, with the nearest name, if there is no such recipe, or says what is wrong
    with it.
    """
    path = Path(name_or_path).expanduser()
    if path.suffix in (".json", ".py") or path.is_file():
        return _from_file(path)
    if name_or_path not in names():
        raise ValueError(unknown("recipe", name_or_path, names()))
    return _called(importlib.import_module(f"{__name__}.{name_or_path}"), name_or_path)


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
