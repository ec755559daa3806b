"""A cascade with other sampling: a changed copy of its spec, the weights stay what they are."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from zoetrope.cascade.spec import CascadeSpec
from zoetrope.config import override
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
    for number, stage in enumerate(spec.stages):
        path = f"stages.{stage.name}.sampling"
        if tuning.steps is not None:
            spec = override(spec, f"{path}.steps", tuning.steps)
        if tuning.guidance is not None and (number == 0 or any(stage.sampling.weights())):
            spec = override(spec, f"{path}.guidance", tuning.guidance)
        if sampler is not None:
            spec = override(spec, f"{path}.sampler", sampler.to_json())
    for path, value in tuning.fields:
        spec = spec_override(spec, path, value)
    return spec


def spec_override(spec: CascadeSpec, path: str, value: Any) -> CascadeSpec:
    """A copy with one field changed: "ssr1.sampling.steps", or any full path such as "text.path".

    Raises ValueError that names the path, with a nearest name for a misspelt part.
    """
    head = path.partition(".")[0]
    if head in CascadeSpec.model_fields:
        return override(spec, path, value)
    spec.stage(head)
    return override(spec, f"stages.{path}", value)
