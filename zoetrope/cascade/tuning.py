"""Other sampling for a cascade: a changed copy of its spec, for the same weights."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from zoetrope.cascade.framewise import with_routine
from zoetrope.cascade.migration import cascade_path_of_today, path_of_today
from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.cascade.windows import Windows
from zoetrope.config import overridden
from zoetrope.config.errors import shown
from zoetrope.guidance.inputs import InputGuidance
from zoetrope.guidance.text import TextGuidance
from zoetrope.inputs.text import TEXT
from zoetrope.routines import Routine
from zoetrope.samplers import Sampler


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tuning:
    """What to change; None leaves a value as it is.

    Attributes:
        steps: denoising steps of every stage.
        guidance: weight w of the first stage, and of all others that are already guided. To guide an unguided stage
            would double its time, and it was not tuned for that. Of a stage that is told no text it is over its inputs,
            but not over those that training never left out; where weights rise over frames it is that of the last one.
        sampler: the name of every stage's sampler.
        windows: what the network of the first stage that makes videos sees at once; those of later ones see as much, in
            their own frames and pixels.
        routine: of the first stage that makes videos, see `zoetrope.cascade.framewise.with_routine`.
        fields: any other fields, (path, value), as for `override`; they take precedence.
    """

    steps: int | None = None
    guidance: float | None = None
    sampler: str | None = None
    windows: Windows | None = None
    routine: Routine | None = None
    fields: Iterable[tuple[str, Any]] = ()


def tuned(spec: CascadeSpec, tuning: Tuning) -> CascadeSpec:
    """The cascade with these changes. Raises ValueError that names the field, and the nearest for an unknown one."""
    if tuning.routine is not None:
        spec = with_routine(spec, tuning.routine)
    sampler = None if tuning.sampler is None else Sampler.named(tuning.sampler)()
    changes: dict[str, Any] = {}
    for number, stage in enumerate(spec.stages):
        path = f"stages.{stage.name}.sampling"
        if tuning.steps is not None:
            changes[f"{path}.steps"] = tuning.steps
        if tuning.guidance is not None and (number == 0 or stage.sampling.guided):
            changes |= _guided(stage, f"{path}.guidance", tuning.guidance)
        if sampler is not None:
            changes[f"{path}.sampler"] = sampler.to_json()
        windowed = not stage.makes_vectors and (stage.fills is None or stage.sampling.windows is None)
        if tuning.windows is not None and windowed:
            changes[f"{path}.windows"] = tuning.windows.scaled(spec.videos[0].shape, stage.shape).to_json()
    for path, value in tuning.fields:
        full = full_path(spec, path)
        changes.pop(full, None)  # these are applied last
        changes[full] = value
    return overridden(spec, changes)


def _guided(stage: StageSpec, path: str, weight: float) -> dict[str, Any]:
    """The changes that give a stage's guidance a weight."""
    own = stage.sampling.guidance
    over_all = isinstance(own, TextGuidance) and stage.input(TEXT) is None
    over_all |= isinstance(own, InputGuidance) and not own.over
    if over_all and any(each.source is None for each in stage.inputs):
        return {path: InputGuidance(weight=weight, over=_left_out(stage)).to_json()}
    field = next((f".{name}" for name in ("weight", "last") if name in type(own).model_fields), "")
    return {f"{path}{field}": weight}


def _left_out(stage: StageSpec) -> tuple[str, ...]:
    """The names of text and the inputs that training sometimes leaves out, if it never does so with others; else ()."""
    asked = [each for each in stage.inputs if each.source is None and each.name != TEXT]
    never = [each.name for each in asked if getattr(each, "dropout", None) == 0]
    some = tuple(each.name for each in stage.inputs if each.source is None and each.name not in never)
    return some if never else ()


def routine_told(value: Any) -> Routine | None:
    """A routine by name, as JSON or its text with its fields, such as {"type": "zero_shot", "motion": [0, 2]}, or one.

    None is none. Raises ValueError for anything else, with the nearest name or field.
    """
    if value is None or isinstance(value, Routine):
        return value
    try:
        if isinstance(value, str) and not value.lstrip().startswith("{"):
            return Routine.from_json({"type": value})
        if isinstance(value, str | Mapping):
            return Routine.from_json(value)
    except ValueError as error:
        raise ValueError(f"routine: {str(error).removeprefix('Routine: ')}") from None
    raise ValueError(f"routine: expected a name such as zero_shot, or a routine with its fields, got {shown(value)}")


def full_path(spec: CascadeSpec, path: str) -> str:
    """The path of a field from the cascade; `path` may begin with a stage's name: "ssr1.sampling.steps".

    Raises ValueError, with the nearest name, if there is neither such a field nor such a stage.
    """
    head = path.partition(".")[0]
    if head in CascadeSpec.model_fields:
        return cascade_path_of_today(path)
    spec.stage(head)
    return f"stages.{head}.{path_of_today(path.partition('.')[2])}"
