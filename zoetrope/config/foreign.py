"""Kinds from other packages: found by dotted name or entry point, and imported only from packages that are trusted.

JSON is data, whoever wrote it: a model from the hub must not decide which code runs here. So the name of a class in it
is looked up only where `trusting` allows its package; installing a package does not make it trusted. A recipe in Python
is the user's own program: names in it are trusted like its imports.
"""

import functools
import importlib
import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any, TypeVar

from zoetrope.config.errors import shown

T = TypeVar("T")

GROUP = "zoetrope.kinds"
"""Entry points of this group give classes of other packages short names: sharp = "my_lab.samplers:Sharp"."""

_trusted: ContextVar[frozenset[str] | None] = ContextVar("trusted", default=frozenset())  # None: every package


@contextmanager
def trusting(*packages: str) -> Iterator[None]:
    """Inside this block, and only in this thread or task, JSON may also name classes of these packages.

    Raises ValueError for what is not the name of a top-level package.
    """
    for package in packages:
        if not isinstance(package, str) or not package.isidentifier():
            raise ValueError(f"trust: expected the name of a package such as my_lab, got {shown(package)}")
    token = _trusted.set((_trusted.get() or frozenset()) | set(packages))
    try:
        yield
    finally:
        _trusted.reset(token)


@contextmanager
def running_a_program() -> Iterator[None]:
    """Inside this block names come from the user's own program: any package is trusted, up to an inner `trusting`."""
    token = _trusted.set(None)
    try:
        yield
    finally:
        _trusted.reset(token)


def find_class(name: str, base: type[T], root: str) -> type[T] | None:
    """The implementation of `base` with a dotted name or entry point; None if `name` is neither.

    A dotted name is that of a class, or of a module with a single implementation. `root` is the package that names its
    own kinds by file. Raises ValueError for a package that is not trusted, before anything is imported, and for a name
    that does not exist or is not an implementation.
    """
    target = _target(name)
    package = target.partition(".")[0]
    if "." not in target or package == root or not all(part.isidentifier() for part in target.split(".")):
        return None
    trusted = _trusted.get()
    if trusted is not None and package not in trusted:
        raise ValueError(
            f"names code of the package {shown(package)} ({shown(name)}), which would run; to allow it: "
            f"--trust {package}, or in Python trust=({package!r},)"
        )
    value = _imported(target)
    if isinstance(value, ModuleType):
        return only(value, base)
    if not (isinstance(value, type) and issubclass(value, base)):
        raise ValueError(f"{target}: expected a class that is a {base.__name__}, got {shown(value)}")
    return value


def only(module: ModuleType, base: type[T]) -> type[T]:
    """The one implementation of `base` that a module defines. Raises ValueError unless there is exactly one."""
    found = {
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, base) and value.__module__ == module.__name__
    }
    concrete = [value for value in found if not inspect.isabstract(value) and "folder" not in vars(value)]
    if len(concrete) != 1:
        got = " and ".join(sorted(value.__name__ for value in concrete)) or "none"
        raise ValueError(f"{module.__name__}: expected one class in it that is a {base.__name__}, got {got}")
    return concrete[0]


def expect_no_clash(name: str, module: str) -> None:
    """Raise ValueError if an installed package has taken the name of a kind that comes with this one."""
    for entry in _entries(tuple(sys.path)).get(name, ()):
        raise ValueError(
            f"{name!r} is both {module} and {_origin(entry)}; the entry point of group {GROUP} needs another name"
        )


def _target(name: str) -> str:
    """The dotted name of what `name` means. Raises ValueError if two entry points have it."""
    entries = _entries(tuple(sys.path)).get(name, []) if "." not in name else []
    if len(entries) > 1:
        origins = " and ".join(map(_origin, entries))
        raise ValueError(f"{name!r} is both {origins}; name the class in full")
    return entries[0].value.partition("[")[0].strip().replace(":", ".") if entries else name


def _origin(entry: EntryPoint) -> str:
    return entry.value + (f" of {entry.dist.name}" if entry.dist is not None else "")


@functools.lru_cache(maxsize=1)
def _entries(path: tuple[str, ...]) -> dict[str, list[EntryPoint]]:
    """The entry points of our group by name, for one `sys.path`. Only the metadata of packages are read."""
    found: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=GROUP):
        found.setdefault(entry.name, []).append(entry)
    return found


def _imported(target: str) -> Any:
    """The object of a dotted name; its parts are attributes or modules."""
    first, *rest = target.split(".")
    name, value = first, _module(first, target)
    for part in rest:
        name, inner = f"{name}.{part}", getattr(value, part, None)
        value = _module(name, target) if inner is None or isinstance(inner, ModuleType) else inner
    return value


def _module(name: str, target: str) -> Any:
    try:
        return importlib.import_module(name)
    except Exception as error:
        if not isinstance(error, ModuleNotFoundError) or not f"{name}.".startswith(f"{error.name}."):
            raise ValueError(f"{target}: {name} cannot be imported ({type(error).__name__}: {error})") from error
        above, _, last = name.rpartition(".")
        message = f"{above} has no {last!r}" if above else f"no module {name!r} is found; install it or set PYTHONPATH"
        raise ValueError(f"{target}: {message}") from None
