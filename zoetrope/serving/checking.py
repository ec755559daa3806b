"""Whether a model takes what a client asks of it.

A value that the command line would read as a file is never let through: text is a label, and only where the model has
labels, one of these.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from zoetrope.config import unknown
from zoetrope.config.errors import shown
from zoetrope.serving.requests import JobRequest
from zoetrope.wording import counted

SLACK = 1e-6
"""Of the range of a number, for numbers that were rounded."""
ASKING = (
    "given", "map", "picture", "sampler", "control", "control_from", "channel", "colours", "range", "until", "negative",
    "known", "mask", "teacher",
)  # fmt: skip
"""The fields that are checked against what the model tells of itself."""


def asks(request: JobRequest) -> bool:
    """Whether there is something to check."""
    return any(getattr(request, name) for name in ASKING)


def expect_taken(request: JobRequest, told: Mapping[str, Any]) -> None:
    """Raise ValueError for what a model does not take, of which `zoetrope.serving.describing.describe` told this."""
    if "inputs" not in told:
        raise ValueError(f"model: {told.get('error') or 'is not offered'}")
    _expect_stages(request, told)
    inputs = {each["name"]: each for each in told["inputs"] if _is_read(each, told, request.until)}
    _expect_name("sampler", "sampler", request.sampler, told["samplers"])
    for field in ("control", "control_from"):
        for name in getattr(request, field):
            _expect_name(field, "control", name, told["controls"])
    given = [each for each in inputs.values() if each["kind"] in ("number", "label", "action")]
    maps = [each["name"] for each in inputs.values() if each["kind"] == "map"]
    for name, value in request.given.items():
        if name in maps:
            raise ValueError(f"given: {name}: expected in map, as a file")
        _expect_name("given", "input", name, [each["name"] for each in given])
        _expect_value(f"given: {name}", value, inputs[name], frames=request.frames is None)
    for name in request.map:
        _expect_name("map", "map", name, maps)
    if request.picture is not None and not any(each["kind"] == "picture" for each in inputs.values()):
        raise ValueError("picture: expected none, for the model reads no picture")
    _expect_look(request, told)


def _expect_stages(request: JobRequest, told: Mapping[str, Any]) -> None:
    """Raise ValueError for what no stage of the model has learnt."""
    _expect_name("until", "stage", request.until, [stage["name"] for stage in told["stages"]])
    if request.teacher and not told["teachers"]:
        raise ValueError("teacher: expected false, for no stage of the model is distilled")
    if request.known and not told["known"]:
        raise ValueError("known: expected none, for the model has not learnt known frames")
    if request.mask is not None and not (told["masks"] or request.teacher):
        raise ValueError("mask: expected none, for the model has not learnt parts of known frames")
    texts = ("prompt", "negative") if request.kind == "generate" and not told["text"] else ()
    if name := next((each for each in texts if getattr(request, each)), None):
        raise ValueError(f"{name}: expected none, for the model reads no text")


def _is_read(each: Mapping[str, Any], told: Mapping[str, Any], until: str | None) -> bool:
    """Whether one of the stages that run reads an input."""
    names = [stage["name"] for stage in told["stages"]]
    last = until or told["until"]
    return last not in names or each["stage"] not in names or names.index(each["stage"]) <= names.index(last)


def _expect_name(field: str, what: str, name: str | None, known: Sequence[str]) -> None:
    if name is not None and name not in known:
        raise ValueError(f"{field}: {unknown(what, name, known)}")


def _expect_value(where: str, value: Any, each: Mapping[str, Any], *, frames: bool) -> None:
    """Raise ValueError for a value that an input refuses; with `frames` also for another number of them."""
    if each["kind"] == "number":
        lo, hi = each["lo"], each["hi"]
        slack = SLACK * (hi - lo)
        if not isinstance(value, int | float) or not lo - slack <= value <= hi + slack:
            raise ValueError(f"{where}: expected a number from {lo:g} to {hi:g}, got {shown(value)}")
    elif each["kind"] == "label":
        if not isinstance(value, str | int) or str(value) not in each["classes"]:
            raise ValueError(f"{where}: {unknown('label', value, each['classes'])}")
    else:
        wanted = f"{counted(each['frames'], 'row')} of {counted(each['size'], 'number')}"
        if not isinstance(value, tuple) or len(value[0]) != each["size"] or (frames and len(value) != each["frames"]):
            got = f"{len(value)} of {len(value[0])}" if isinstance(value, tuple) else shown(value)
            raise ValueError(f"{where}: expected {wanted}, got {got}")
        if all(one is None for row in value for one in row):
            raise ValueError(f"{where}: expected numbers, got null alone; leave it out where it is unknown")


def _expect_look(request: JobRequest, told: Mapping[str, Any]) -> None:
    if told["rgb"]:
        if given := next((name for name in ("channel", "colours", "range") if getattr(request, name)), None):
            raise ValueError(f"{given}: expected none, for the model makes pictures in red, green and blue")
        return
    _expect_name("channel", "channel", request.channel, [one["name"] for one in told["channels"]])
    _expect_name("colours", "colour map", request.colours, told["colours"])
