"""The differences between two recipes in the training of one stage."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from zoetrope.config import Config
from zoetrope.training.spec import Recipe


class Change(NamedTuple):
    """A field, by its path for `--set`, with its old and new value as JSON."""

    path: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.path}: {_short(self.old)} -> {_short(self.new)}"


def changes_between(old: Recipe, new: Recipe, stage: str) -> list[Change]:
    """Every field of a stage and its training whose value differs in the new recipe.

    Raises ValueError if one of the recipes does not train that stage.
    """
    return [
        *_walk("cascade.text", _json(old.cascade.text), _json(new.cascade.text)),
        *_walk(stage, old.cascade.stage(stage).to_json(), new.cascade.stage(stage).to_json()),
        *_walk(f"{stage}.training", old.train_spec(stage).to_json(), new.train_spec(stage).to_json()),
    ]


def _json(value: Config | None) -> Any:
    return None if value is None else value.to_json()


def _walk(path: str, old: Any, new: Any) -> Iterator[Change]:
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        for key in old:
            yield from _walk(f"{path}.{key}", old[key], new[key])
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new) and isinstance(old[0], dict):
        for place, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _walk(f"{path}.{place}", one, other)
    else:
        yield Change(path, old, new)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
