"""Error messages about invalid values: one line with the field's path, the legal values, and the nearest name."""

import difflib
import os
import re
import reprlib
from collections.abc import Iterable, Iterator, Sequence
from types import UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

LIKE = 0.7  # least similarity of a misspelt name: 'lr' is not 'lora'
MOST = 3  # problems in one message
LISTED = 100  # known names in one message
COMPARED = 100_000  # letters of known names, up to which the nearest is sought by likeness: a second's work
MOVED = {  # fields that went to another part of a description
    "augment": "inputs.low_res.augment",
    "fill": "inputs.low_res.fill",
    "low_res_logsnr": "inputs.low_res.logsnr",
    "source": "inputs.low_res.shape",
    "text_dropout": "inputs.text.dropout",
}
ELSEWHERE = {  # what a field is called in other libraries
    "batch_size": "batch",
    "ema_decay": "half_life",
    "every": "stride",
    "guidance_scale": "guidance",
    "learning_rate": "peak",
    "lr": "peak",
    "num_frames": "frames",
    "num_inference_steps": "steps",
}
PLAIN = {  # pydantic's words, and ours
    "Input should be": "expected",
    "Tuple should have": "expected",
    "String should have": "expected",
    "String should match pattern": "expected text like the pattern",
    " after validation": "",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "greater than": "above",
    "less than": "below",
    "a valid integer": "an integer",
    "a valid number": "a number",
    "a valid string": "text",
    "a valid boolean, unable to interpret input": "true or false",
    "a valid boolean": "true or false",
    "expected callable": "expected a function",
    "a valid tuple": "a list",
    "a valid dictionary": "an object",
    "a valid list": "a list",
}
WRONG_SORT = ("_type", "_parsing", "literal_error", "int_from_float", "_attributes_type")  # ends of pydantic's names


class _Shown(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 60
        self.maxlong, self.maxlevel = 40, 2
        self.maxdict = self.maxlist = self.maxtuple = 3

    def repr_int(self, x: int, level: int) -> str:
        return super().repr_int(x, level) if x.bit_length() < 1000 else f"a number of {x.bit_length()} bits"


def shown(value: object) -> str:
    """A value as an error shows it: `repr`, shortened."""
    text = _Shown().repr(value)
    return text if len(text) <= 100 else text[:97] + "..."


def expect_path(what: str, value: object, wanted: str = "a path") -> None:
    """Raise ValueError unless a value is text or a path."""
    if not isinstance(value, str | os.PathLike):
        raise ValueError(f"{what}: expected {wanted}, got {shown(value)}")


def reason(error: Exception, told: object = "") -> str:
    """Why something could not be read, without the path in `told`, which the message already has."""
    if isinstance(error, KeyError):
        return f"{error.args[0]!r} is missing"
    if isinstance(error, TypeError | AttributeError):
        return "its parts are of other types"
    text = str(getattr(error, "strerror", None) or error or type(error).__name__)
    return text.removeprefix(f"{told}: ").removeprefix(f"{told}{os.sep}")


def unknown(what: str, got: object, known: Iterable[str]) -> str:
    """The text of an error about a name that does not exist, with the nearest that does."""
    known = sorted(known)
    if what == "field" and got in MOVED:
        return f"unknown field {shown(got)}; it is {MOVED[str(got)]} of the stage"
    near = nearest(str(got), known)
    if near is not None:
        return f"unknown {what} {shown(got)}; did you mean {near!r}?"
    more = f" and {len(known) - LISTED:,} more" if len(known) > LISTED else ""
    listed = f"known: {', '.join(known[:LISTED])}{more}" if known else "there are none"
    return f"unknown {what} {shown(got)}; {listed}"


def nearest(got: str, known: Sequence[str]) -> str | None:
    """The known name most similar to `got`; None if none is similar."""
    if (other := otherwise(got)) in known:
        return other
    few = known if sum(map(len, known)) <= COMPARED else ()
    if near := difflib.get_close_matches(got[:100], few, 1, LIKE):
        return near[0]
    if swapped := [name for name in few if sorted(name) == sorted(got[:100])]:  # 'fdv' is 'fvd'
        return swapped[0]
    parts = [name for name in known if len(got) > 2 and (got in name or (len(name) > 2 and name in got.split("_")))]
    return parts[0] if len(parts) == 1 else None


def otherwise(name: str) -> str | None:
    """Our name for a field that other libraries call `name`, if known."""
    return ELSEWHERE.get(name)


def explain(error: ValidationError, cls: type[BaseModel]) -> str:
    """The problems of a config, each with its path, on one line."""
    problems = list(_explanations(error.errors(), cls))
    more = f"; and {len(problems) - MOST} more" if len(problems) > MOST else ""
    return "; ".join(problems[:MOST]) + more


class _Problem(NamedTuple):
    """A problem of a value.

    Attributes:
        path: to the field, without the names that pydantic gives to the branches of a union.
        fork: how much of the path leads to the first such union; None if there is none.
        bounds: of a number there.
    """

    path: tuple[str, ...]
    fork: int | None
    bounds: dict[str, Any]
    details: ErrorDetails

    @property
    def wrong_sort(self) -> bool:
        """Whether the value is of another sort than this branch is for."""
        return self.details["type"].endswith(WRONG_SORT)

    @property
    def is_unknown(self) -> bool:
        """Whether there is no such field."""
        return self.details["type"] == "extra_forbidden"


def _explanations(errors: Iterable[ErrorDetails], cls: type[BaseModel]) -> Iterator[str]:
    groups: dict[tuple[str, ...], list[_Problem]] = {}
    located = [_located(details, cls) for details in errors]
    misspelt = {(*p.path[:-1], nearest(p.path[-1], list(cls.model_fields))) for p in located if p.is_unknown}
    located = [p for p in located if not (p.details["type"] == "missing" and p.path in misspelt)]
    inside = {problem.path[:length] for problem in located for length in range(len(problem.path))}
    for problem in located:
        if problem.details["type"] == "too_short" and problem.path in inside:
            continue  # pydantic counts the items without those that are wrong
        groups.setdefault(problem.path[: problem.fork], []).append(problem)
    for path, problems in groups.items():
        if problems[0].fork is None:
            yield from (_explained(problem, cls) for problem in problems)
            continue
        if fitting := [problem for problem in problems if not problem.wrong_sort]:
            yield from (_explained(problem, cls) for problem in fitting)
            continue
        wanted = " or ".join(_message(problem).removeprefix("expected ") for problem in problems)
        yield f"{'.'.join(path)}: expected {wanted}, got {shown(problems[0].details['input'])}"


def _explained(problem: _Problem, cls: type[BaseModel]) -> str:
    details, path = problem.details, ".".join(problem.path)
    where = path or cls.__name__
    if problem.is_unknown:
        return f"{'.'.join(problem.path[:-1]) or cls.__name__}: {unknown('field', problem.path[-1], cls.model_fields)}"
    if details["type"] == "missing":
        return f"{where}: is missing"
    message = _message(problem).removeprefix(f"{where}: ")  # of its constructor
    return f"{where}: {message}" + ("" if details["type"] == "value_error" else f", got {shown(details['input'])}")


def _message(problem: _Problem) -> str:
    details, bounds = problem.details, problem.bounds
    if details["type"].startswith(("greater_than", "less_than")) and len(bounds) == 2:
        low, high = sorted(bounds, key=["gt", "ge", "lt", "le"].index)
        return f"expected {'above' if low == 'gt' else 'at least'} {bounds[low]} and " + (
            f"{'below' if high == 'lt' else 'at most'} {bounds[high]}"
        )
    if details["type"] in ("model_type", "model_attributes_type"):
        return "expected an object with the fields of " + str(details["ctx"]["class_name"])
    message = re.sub("^Value error, |, unable to parse string as an? [a-z]+$", "", details["msg"])
    for theirs, ours in PLAIN.items():
        message = message.replace(theirs, ours)
    return message


def _located(details: ErrorDetails, cls: type[BaseModel]) -> _Problem:
    """Follow pydantic's path through the annotations, where the branches of unions have names as well."""
    path: list[str] = []
    fork: int | None = None
    annotation, bounds = cls, dict[str, Any]()
    for part in details["loc"]:
        annotation, own = _unwrapped(annotation)
        branches = _branches(annotation)
        if len(branches) > 1:
            fork = len(path) if fork is None else fork
            label = str(part).lower()
            annotation, own = _unwrapped(next((b for b in branches if _name(b) in label), None))
            bounds = own
            continue
        path.append(str(part))
        annotation, bounds = _entered(branches[0] if branches else None, part)
        annotation, own = _unwrapped(annotation)
        bounds = {**bounds, **own}
    if len(_branches(annotation)) == 1:
        bounds = {**bounds, **_unwrapped(_branches(annotation)[0])[1]}
    return _Problem(tuple(path), fork, bounds, details)


def _entered(annotation: Any, part: str | int) -> tuple[Any, dict[str, Any]]:
    """The annotation and bounds of a field, or of an item of a list or mapping; None if that is not known."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and part in annotation.model_fields:
        field = annotation.model_fields[str(part)]
        return field.annotation, _bounds(field.metadata)
    items = [item for item in get_args(annotation) if item is not Ellipsis]
    if not items:
        return None, {}
    return items[part if isinstance(part, int) and part < len(items) else -1], {}


def _branches(annotation: Any) -> list[Any]:
    if get_origin(annotation) in (Union, UnionType):
        return [branch for branch in get_args(annotation) if branch is not type(None)]
    return [annotation]


def _unwrapped(annotation: Any) -> tuple[Any, dict[str, Any]]:
    if get_origin(annotation) is not Annotated:
        return annotation, {}
    inner, *metadata = get_args(annotation)
    return inner, _bounds(metadata)


def _bounds(metadata: Iterable[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in metadata:
        if isinstance(one, FieldInfo):
            found |= _bounds(one.metadata)
        found |= {name: getattr(one, name) for name in ("gt", "ge", "lt", "le") if hasattr(one, name)}
    return found


def _name(annotation: Any) -> str:
    """A part of what pydantic calls this branch of a union."""
    inner, _ = _unwrapped(annotation)
    return str(getattr(get_origin(inner) or inner, "__name__", None) or getattr(inner, "_name", inner)).lower()
