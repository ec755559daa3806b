"""What made a file: one record of strict JSON in its tags, from which it can be made again.

The record is written by whoever made the file, so it is read as data alone: of bounded size, every field of its type,
and nothing that it names is opened here.
"""

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoetrope.config import parse_json, unknown
from zoetrope.config.errors import shown
from zoetrope.fields import holds_values, tags_in
from zoetrope.files import cache_folder
from zoetrope.files.store import Store
from zoetrope.models.finding import shipped
from zoetrope.models.weights import Origin
from zoetrope.video import read_tags
from zoetrope.video.naming import is_address, sequence_files, sequence_pattern

FORMAT = 1
TAG = "comment"
"""The tag that holds the record."""
LONGEST = 2**22
"""Characters of a record."""
TEXTS = ("prompt", "negative", "caption")
"""Fields and options that hold what a user wrote, which a record may leave out."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_FIELDS: dict[str, type] = {
    "command": str, "zoetrope": str, "torch": str, "model": str, "seed": int, "device": str, "dtype": str,
    "cascade": str, "settings": dict, "weights": dict, "options": dict, "inputs": dict,
}  # fmt: skip
_SCALARS = (str, int, float, bool)


@dataclass(frozen=True)
class Provenance:
    """What made a file.

    Attributes:
        path: the file; value: all of the record.
        stage: the stage that made the file, where it is not the last one.
    """

    path: str
    value: Mapping[str, Any]
    stage: str | None = None

    @classmethod
    def of(cls, path: str, tags: Mapping[str, str]) -> "Provenance":
        """The record in the tags of a file. Raises ValueError, with the path, if there is none that can be read."""
        text = tags.get(TAG, "")
        try:
            value = parse_json(text, longest=LONGEST)
            _expect_record(value)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        return cls(path, value, tags.get("stage"))

    @property
    def command(self) -> str:
        """The verb that wrote the file."""
        return str(self.value["command"])

    @property
    def options(self) -> Mapping[str, Any]:
        """The options that were given, by name without the dashes, but for those of a machine or of an output."""
        return dict(self.value["options"])

    @property
    def inputs(self) -> Mapping[str, str]:
        """The sha256 of each file that was read, by its option, and place: "known 0"."""
        return dict(self.value["inputs"])

    @property
    def left_out(self) -> tuple[str, ...]:
        """Which of `TEXTS` there were and are not told."""
        return tuple(self.value.get("left_out", ()))

    def changes(self, now: Mapping[str, Any]) -> list[str]:
        """How what would be made `now` differs: models, weights, settings; one text each, [] if it does not.

        `now` are the same fields: settings, weights, text, beside, cascade, dtype. Records that tell of nothing beside
        the weights, such as those of earlier versions, are not compared in it.
        """
        now = json.loads(json.dumps(now))  # as it would be read: lists instead of tuples
        found = _weights_changed(self.value["weights"], now["weights"])
        if self.value.get("text") != now.get("text"):
            found.append("the text encoder is another one")
        for name, own in self.value.get("beside", {}).items():
            if own != now.get("beside", {}).get(name):
                found.append("the codec is another one" if name == "codec" else f"the encoder of {name} is another one")
        for stage in dict.fromkeys([*self.value["settings"], *now["settings"]]):
            own, other = (where["settings"].get(stage) for where in (self.value, now))
            if own != other:
                found.append(f"stage {stage!r} {_difference(own, other)}")
        if self.value["cascade"] != now["cascade"] and not found:
            found.append(f"the description of model {now['model']!r} is another one")
        if self.value["dtype"] != now["dtype"]:
            found.append(f"networks computed in {self.value['dtype']}, and would in {now['dtype']}")
        return found


def read_record(path: str) -> Provenance:
    """What a file says that made it. Raises ValueError if it says nothing, or nothing that can be read."""
    try:
        tags = tags_in(path) if holds_values(path) else read_tags(path)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    if TAG not in tags:
        raise ValueError(f"{path}: expected a file that says how it was made, got one that does not")
    return Provenance.of(path, tags)


def of_weights(origin: Origin) -> dict[str, Any]:
    """The sha256 of a stage's weights, and of the style that is mixed in."""
    told: dict[str, Any] = {"sha256": sha256_of(origin.file)}
    if (style := origin.style) is not None:
        told["style"] = {"from": style.name, "weight": style.weight, "sha256": sha256_of(style.file)}
    return told


def sha256_of(path: Path) -> str:
    """The sha256 of a file. Large files are read once, while they stay unchanged: the cache remembers it."""
    return Store(cache_folder("text")).sha256(path)


def of_input(path: str) -> str | None:
    """The sha256 of a file, or for a sequence of pictures that of all of theirs; None if there is none."""
    import hashlib

    if is_address(path):
        return None
    pattern = sequence_pattern(path)
    files = [Path(path)] if pattern is None else sequence_files(pattern)
    if not files or not all(file.is_file() for file in files):
        return None
    sums = [sha256_of(file) for file in files]
    return sums[0] if pattern is None else hashlib.sha256("\n".join(sums).encode()).hexdigest()


def is_here(model: str) -> bool:
    """Whether a model or run of this name comes with the package or lies on this machine, so nothing is downloaded."""
    if is_remote(model):
        return False
    head, sign, tail = model.rpartition("@")
    names = [model, head] if sign and tail.isdigit() else [model]
    return model.replace("-", "_") in shipped() or any(os.path.isdir(os.path.expanduser(name)) for name in names)


def is_remote(path: str) -> bool:
    """Whether opening a path would ask another machine: an address, or a share of a network."""
    return is_address(path) or path.replace("\\", "/").startswith("//")


def _expect_record(value: Any) -> None:
    """Raise ValueError unless a JSON value is a record that this version reads."""
    if not isinstance(value, dict) or "zoetrope" not in value:
        raise ValueError("expected a file that zoetrope wrote, got one with another comment")
    if "format" not in value:
        raise ValueError(f"written by zoetrope {shown(value['zoetrope'])}, which did not record all that made it")
    number = value["format"]
    if type(number) is not int or number < 1:
        raise ValueError(f"format: expected a whole number, got {shown(number)}")
    if number > FORMAT:
        raise ValueError(f"written by a newer version of zoetrope (this one reads format {FORMAT}); upgrade")
    for name, kind in _FIELDS.items():
        if type(value.get(name)) is not kind:
            raise ValueError(f"{name}: expected {kind.__name__}, got {shown(value.get(name))}")
    _expect_each("weights", value["weights"], lambda one: isinstance(one, dict) and _is_sum(one.get("sha256")))
    _expect_each("settings", value["settings"], lambda one: isinstance(one, dict))
    _expect_each("inputs", value["inputs"], _is_sum)
    _expect_each("options", value["options"], _is_plain)
    if not isinstance(others := value.get("beside", {}), dict):
        raise ValueError(f"beside: expected dict, got {shown(others)}")
    _expect_each("beside", others, lambda one: isinstance(one, str))
    if not (value.get("prompt") is None or isinstance(value["prompt"], str)):
        raise ValueError(f"prompt: expected a text, got {shown(value['prompt'])}")
    for name in ("sample", "members"):
        if name in value and (type(value[name]) is not int or value[name] < 0):
            raise ValueError(f"{name}: expected a whole number, got {shown(value[name])}")
    left = value.get("left_out", [])
    if not isinstance(left, list):
        raise ValueError(f"left_out: expected a list, got {shown(left)}")
    for name in left:
        if name not in TEXTS:
            raise ValueError(f"left_out: {unknown('text', name, TEXTS)}")


def _expect_each(field: str, values: dict[str, Any], legal: Callable[[Any], bool]) -> None:
    for name, value in values.items():
        if not legal(value):
            raise ValueError(f"{field}.{name}: got {shown(value)}, which is none")


def _is_sum(value: Any) -> bool:
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def _is_plain(value: Any) -> bool:
    """Whether an option can have this value."""
    values = value if isinstance(value, list) else [value]
    return all(isinstance(one, _SCALARS) for one in values)


def _weights_changed(own: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    found = []
    for stage in dict.fromkeys([*own, *now]):
        one, other = own.get(stage), now.get(stage)
        if one is None or other is None:
            found.append(f"stage {stage!r} has weights in one of them alone")
            continue
        for what, a, b in (("weights", one, other), ("style", one.get("style") or {}, other.get("style") or {})):
            if not isinstance(a, dict) or a.get("sha256") != b.get("sha256"):
                sums = [str(where.get("sha256"))[:12] if isinstance(where, dict) else "?" for where in (a, b)]
                found.append(f"the {what} of stage {stage!r} had sha256 {sums[0]}..., and here {sums[1]}...")
    return found


def _difference(own: Any, now: Any) -> str:
    """The first field in which two settings differ."""
    if own is None or now is None:
        return "ran, and would not now" if now is None else "did not run, and would now"
    names = dict.fromkeys([*own, *now])
    name = next((name for name in names if own.get(name, "") != now.get(name, "")), None)
    if name is None:
        return "had other settings"
    return f"had {name} {shown(own.get(name))}, and would have {shown(now.get(name))}"
