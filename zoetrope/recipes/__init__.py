"""Whole systems as data, one per file: each has a `recipe()` that returns a `zoetrope.training.spec.Recipe`."""

import importlib
import importlib.util
import inspect
import os
import pkgutil
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING

from zoetrope.config import expect_importable, unknown
from zoetrope.config.errors import expect_path
from zoetrope.config.foreign import running_a_program

if TYPE_CHECKING:
    from zoetrope.training.spec import Recipe

_run: dict[str, tuple[Path, bytes]] = {}  # the recipes that were run, by the names of their modules


def names() -> list[str]:
    """The recipes shipped with the package."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def is_recipe(what: str) -> bool:
    """Whether a name means a recipe where it might mean a model: a .json or .py file, or a shipped name."""
    name = what.partition("@")[0]
    return Path(what).suffix in (".json", ".py") or (name in names() and not Path(name).is_dir())


def load_recipe(name_or_path: str | Path) -> "Recipe":
    """A recipe by its shipped name, from a recipe.json, or from a Python file with a function `recipe()`.

    NAME@WIDTH is a variant of a shipped one whose function takes a `width`, a factor on its networks' widths, and
    NAME@SIZE one of a recipe whose function takes a `size`, the name of a published size.

    A Python file is run, again only if it has changed, as the module of its name. It can import what lies beside it:
    its folder is put at the end of `sys.path`. What it names is trusted. A recipe.json is data, whoever wrote it, and
    names classes of other packages only where these are trusted, see `zoetrope.config.foreign.trusting`.

    Raises ValueError, with the nearest name, if there is no such recipe, or says what is wrong with it.
    """
    expect_path("recipe", name_or_path, "a shipped name or a file")
    path, name_or_path = Path(os.path.expanduser(name_or_path)), str(name_or_path)
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
    if "size" in inspect.signature(module.recipe).parameters:
        of_size: Recipe = module.recipe(size=width)
        return of_size
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
        with running_a_program():
            made = _called(_module(path.resolve()), str(path))
        try:
            expect_importable(made)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        return made
    try:
        return Recipe.from_json(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not a recipe ({error})") from None


class _Fresh(SourceFileLoader):
    """Reads the source instead of a compiled file, which may be outdated."""

    def get_code(self, fullname: str) -> CodeType:
        """The code of the file as it is."""
        return self.source_to_code(self.get_data(self.path), self.path)


def _module(path: Path) -> ModuleType:
    """What a Python file defines, after it has run."""
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    source, name = path.read_bytes(), _module_name(path)
    if name in sys.modules and _run.get(name, (path, source)) == (path, source):
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path, loader=_Fresh(name, str(path)))
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    _run[name] = (path, source)
    return module


def _module_name(path: Path) -> str:
    """The name by which a Python file can be imported; its path, which nobody imports, if another module has that."""
    name = path.stem
    if name in _run or not name.isidentifier():
        return name if name in _run else str(path)
    importlib.invalidate_caches()
    found = sys.modules[name].__spec__ if name in sys.modules else importlib.util.find_spec(name)
    is_it = found is not None and found.origin is not None and Path(found.origin).resolve() == path
    return name if is_it else str(path)


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
