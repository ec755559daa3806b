"""Typed, strict, frozen configuration, shared by recipes, checkpoints and code.

Nothing is guessed: an unknown key, a wrong type or a missing value is an error that names the full path of the field.
A *kind* (schedule, sampler, network, text encoder, data source) is one file in its folder: the file's name is the
kind's name in JSON (`{"type": "ddim"}`), so that adding a kind is adding a file, and nothing needs to be registered.
Kinds of other packages are named in full, `{"type": "my_lab.samplers.Sharp"}`; see `zoetrope.config.foreign`.
"""

import importlib
import pkgutil
import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_serializer, model_validator
from pydantic.functional_validators import ModelWrapValidatorHandler

from zoetrope.config.errors import explain, nearest, otherwise, shown, unknown
from zoetrope.config.foreign import expect_no_clash, find_class, only, trusting
from zoetrope.config.strict_json import parse_json

__all__ = ["Config", "Kind", "explain", "overridden", "override", "parse_json", "shown", "unknown"]

C = TypeVar("C", bound="Config")


class Config(BaseModel):
    """A frozen, validated value."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=False)

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise ValueError(explain(error, type(self))) from None

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Rebuild a config from what `to_json` wrote (or from a JSON string).

        Raises ValueError that names each offending field by its full path.
        """
        try:
            return cls.model_validate(parse_json(value) if isinstance(value, str) else value)
        except ValidationError as error:
            raise ValueError(explain(error, cls)) from None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, complete: every field with its value, every kind with its "type"."""
        return self.model_dump(mode="json")

    def with_(self, **changes: Any) -> Self:
        """A copy with fields changed, validated as a whole like a new one.

        Raises ValueError that names what is wrong, with the nearest name for a misspelt field.
        `override` changes fields deep inside.
        """
        return type(self)(**{name: getattr(self, name) for name in type(self).model_fields} | changes)


class Kind(Config):
    """Base of an interface whose implementations live one per file in the folder of the interface's own package.

    Classes of other packages implement it too, and are named by module and class.
    """

    folder: ClassVar[str]

    @classmethod
    def every(cls) -> list[type[Self]]:
        """Every implementation in the folder, by file name."""
        return [cls.named(name) for name in cls.names()]

    @classmethod
    def names(cls) -> list[str]:
        """The names of the implementations in the folder."""
        package = importlib.import_module(cls.folder)
        return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_"))

    @classmethod
    def named(cls, name: str) -> type[Self]:
        """The implementation in the file `name`.py, or that of another package; see `zoetrope.config.foreign`.

        Raises ValueError, with the nearest name, if there is none, and for a package that is not trusted.
        """
        if name in cls.names():
            expect_no_clash(name, f"{cls.folder}.{name}")
            return only(importlib.import_module(f"{cls.folder}.{name}"), cls)
        found = find_class(name, cls, cls.folder.partition(".")[0]) if isinstance(name, str) else None
        if found is None:
            words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", cls.__name__).lower()
            raise ValueError(unknown(words, name, cls.names()))
        return found

    @classmethod
    def kind(cls) -> str:
        """This implementation's name in JSON: that of its file in the folder, or its module and class."""
        return f"{cls.__module__}.{cls.__qualname__}" if cls.is_foreign() else cls.__module__.rpartition(".")[2]

    @classmethod
    def is_foreign(cls) -> bool:
        """Whether it is of another package, and not a file of the folder."""
        return cls.__module__.rpartition(".")[0] != cls.folder

    @model_serializer(mode="plain")
    def _tagged(self) -> dict[str, Any]:
        # By hand, because pydantic would write the fields of the declared interface, not those of the actual kind.
        return {"type": self.kind(), **{name: _dump(getattr(self, name)) for name in type(self).model_fields}}

    @model_validator(mode="wrap")
    @classmethod
    def _resolved(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if isinstance(value, str) and "folder" in cls.__dict__:
            value = {"type": value}
        if isinstance(value, Mapping):
            value = dict(value)
            tag = value.pop("type", None)
            if "folder" in cls.__dict__:  # the interface itself: the tag selects the implementation
                if tag is None:
                    raise ValueError(f'comes in several kinds; say which with "type": one of {cls.names()}')
                return cls.named(tag).model_validate(value)
            if tag not in (None, cls.kind()):
                raise ValueError(f"expected type {cls.kind()!r}, got {tag!r}")
        return handler(value)


def _dump(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, tuple | list):
        return [_dump(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _dump(item) for key, item in value.items()}
    return value


def kinds_in(value: object, where: str = "") -> Iterator[tuple[str, Kind]]:
    """Every kind in a config, or in a list or mapping of such, by the path of its field below `where`."""
    inside: Mapping[Any, object] = {}
    if isinstance(value, Kind):
        yield where, value
    if isinstance(value, Config):
        inside = {name: getattr(value, name) for name in type(value).model_fields}
    elif isinstance(value, Mapping):
        inside = value
    elif isinstance(value, tuple | list):
        inside = {getattr(item, "name", number): item for number, item in enumerate(value)}
    for key, item in inside.items():
        yield from kinds_in(item, f"{where}.{key}".lstrip("."))


def packages_of(*values: object) -> tuple[str, ...]:
    """The other packages that kinds in configs come from; to read these configs from JSON one must trust them."""
    kinds = (kind for value in values for _, kind in kinds_in(value))
    return tuple(sorted({type(kind).__module__.partition(".")[0] for kind in kinds if kind.is_foreign()}))


def expect_importable(config: object) -> None:
    """Raise ValueError that names the field if a class in a config could not be found again by its name."""
    for where, value in kinds_in(config):
        if not value.is_foreign():
            continue
        package, name = type(value).__module__.partition(".")[0], value.kind()
        try:
            with trusting(package):
                found = None if package == "__main__" else value.named(name)
        except ValueError:
            found = None
        if found is not type(value):
            raise ValueError(
                f"{where}: expected a class that can be imported by its name, to be read again, got {name}; move it "
                "into an importable module, such as my_lab/mine.py"
            )


def override(config: C, path: str, value: Any) -> C:
    """A copy of `config` with one field changed: override(recipe, "stages.base.network.dropout", 0.1).

    See `overridden`, of which this is the case of one change.
    """
    return overridden(config, {path: value})


def overridden(config: C, changes: Mapping[str, Any]) -> C:
    """A copy of `config` with fields changed, path -> value, in this order, and validated once they all are.

    A sequence of configs is entered by position, by the `name` of its members, or by their "type".
    A value is JSON, a config or a plain string. Raises ValueError that names the path, with the nearest field name for
    a misspelt one.
    """
    tree = config.to_json()
    given: list[str] = []
    for path, value in changes.items():
        whole = any(path.startswith(f"{before}.") for before in given)
        _set(tree, path, _dump(value), type(config).__name__, new=whole)
        given.append(path)
    with trusting(*packages_of(config, dict(changes))):  # classes that are already imported
        return type(config).from_json(tree)


def _set(tree: Any, path: str, value: Any, root: str, *, new: bool) -> None:
    """Change one field of a tree; with `new` a missing field may be added, which validation then checks."""
    keys = path.split(".")
    for depth, key in enumerate(keys):
        where, last = ".".join(keys[:depth]) or root, depth == len(keys) - 1
        if new and isinstance(tree, dict) and key not in tree:
            tree[key] = {}
        slot = _slot(tree, key, where)
        if last:
            tree[slot] = value
        tree = tree[slot]


def _slot(node: Any, key: str, where: str) -> Any:
    if isinstance(node, list):
        names = [item.get("name", item.get("type")) if isinstance(item, dict) else None for item in node]
        if key in names:
            return names.index(key)
        if key.isdigit() and int(key) < len(node):
            return int(key)
        raise ValueError(f"{where}: " + unknown("entry", key, [n for n in names if n] or map(str, range(len(node)))))
    if not isinstance(node, dict):
        raise ValueError(f"{where}: is a plain value, it has no field {shown(key)}")
    if key not in node:
        near = _path_to(otherwise(key), node) or nearest(key, list(node)) or _path_to(key, node)
        message = unknown("field", key, node) if near is None else f"unknown field {shown(key)}; did you mean {near!r}?"
        raise ValueError(f"{where}: {message}")
    return key


def _path_to(name: str | None, node: Any) -> str | None:
    """The path to the first field of that name within a node, the least deep."""
    level: list[tuple[list[str], Any]] = [] if name is None else [([], node)]
    while level:
        level = [
            ([*path, str(key)], inner)
            for path, outer in level
            if isinstance(outer, dict | list)
            for key, inner in (outer.items() if isinstance(outer, dict) else enumerate(outer))
        ]
        for path, _ in level:
            if path[-1] == name:
                return ".".join(path)
    return None
