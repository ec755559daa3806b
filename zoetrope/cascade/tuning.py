"""A cascade with other sampling: a changed copy of its spec, the weights stay what they are."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from zoetrope.cascade.migration import cascade_path_of_today, path_of_today
from zoetrope.cascade.spec import CascadeSpec
from zoetrope.config import overridden
from zoetrope.samplers import Sampler


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tuning:
    """What to change; None leaves things as they are.

    Attributes:
        steps: denoising steps of every stage.
        guidance: weight w of the first stage, and of every other stage that is guided as it is: guiding one that is
            not would double its time for nothing that it was tuned for.
        sampler: the kind of every stage's sampler.
        fields: any other fields, (path, value), as `override` takes them; they have the last word.
    """

    steps: int | None = None
    guidance: float | None = None
    sampler: str | None = None
    fields: Iterable[tuple[str, Any]] = ()


def tuned(spec: CascadeSpec, tuning: Tuning) -> CascadeSpec:
    """The cascade with these changes. Raises ValueError that names the field, with the nearest name for a wrong one."""
    sampler = None if tuning.sampler is None else Sampler.named(tuning.sampler)()
    changes: dict[str, Any] = {}
    for number, stage in enumerate(spec.stages):
        path = f"stages.{stage.name}.sampling"
        if tuning.steps is not None:
            changes[f"{path}.steps"] = tuning.steps
        if tuning.guidance is not None and (number == 0 or stage.sampling.guided):
            own = "weight" in type(stage.sampling.guidance).model_fields
            changes[f"{path}.guidance.weight" if own else f"{path}.guidance"] = tuning.guidance
        if sampler is not None:
            changes[f"{path}.sampler"] = sampler.to_json()
    for path, value in tuning.fields:
        full = full_path(spec, path)
        changes.pop(full, None)  # the last word comes last
        changes[full] = value
    return overridden(spec, changes)


def full_path(spec: CascadeSpec, path: str) -> str:
    """The path from the cascade of a field that may begin with the name of a stage: "ssr1.sampling.steps".

    Raises ValueError, with a nearest name, if there is neither such a field nor such a stage.
    """
    head = path.partition(".")[0]
    if head in CascadeSpec.model_fields:
        return cascade_path_of_today(path)
    spec.stage(head)
    return f"stages.{head}.{path_of_today(path.partition('.')[2])}"
