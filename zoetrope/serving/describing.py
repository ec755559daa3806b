"""What a page needs to know of a model: its stages, and what it can be told."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoetrope.cascade.spec import StageSpec


def describe(name: str) -> dict[str, Any]:
    """A model by name, as plain values. Raises ValueError as `zoetrope.models.opening.open_model` does.

    `stages` are those that make videos, in their order, and `until` is the one after which the model stops by default.
    `text` says whether it reads a prompt, `controls` are its controls, `known` says whether a
    stage, or a teacher, has learnt known frames, and `teachers` whether stages are distilled from others.
    """
    from zoetrope.channels import are_rgb
    from zoetrope.models.opening import open_model

    spec = open_model(name).spec
    stages = [stage for stage in spec.stages if not stage.makes_vectors]
    return {
        "name": spec.name,
        "text": spec.text is not None,
        "rgb": are_rgb(spec.channels),
        "trained_on": spec.trained_on,
        "until": spec.until(spec.default_until)[-1].name,
        "stages": [_stage(stage) for stage in stages],
        "controls": sorted({each.name for stage in spec.stages for each in stage.inputs if each.aligned}),
        "known": any(stage.sampling.known is not None for stage in (*stages, *spec.teachers)),
        "teachers": bool(spec.teachers),
        "upscales": any(stage.kind in ("ssr", "tsr") for stage in stages),
    }


def _stage(stage: "StageSpec") -> dict[str, Any]:
    made, weights = stage.made, [weight for weight in stage.sampling.weights() if weight]
    size = {"frames": made.frames, "height": made.height, "width": made.width, "fps": made.fps}
    told = {
        "steps": stage.sampling.steps,
        "guidance": max(weights, default=0.0),
        "distilled": stage.distilled is not None,
    }
    return {"name": stage.name, "kind": stage.kind, **size, **told}
