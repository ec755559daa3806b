"""What a page needs to know of a model: its stages, and what it can be told."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoetrope.cascade.spec import CascadeSpec, StageSpec
    from zoetrope.shapes import VideoShape


def describe(name: str) -> dict[str, Any]:
    """A model by name, as plain values. Raises ValueError as `zoetrope.models.opening.open_model` does.

    `stages` are those that make videos, in their order, and `until` is the one after which the model stops by default.
    A distilled one has `ways`: the steps of each sampler that it was distilled for. `text` says whether the model reads
    a prompt. `inputs` are those that take a value, see `asked`, and `controls` those that take clips. `known` says
    whether a stage, or a teacher, has learnt known frames, and `masks` whether the first takes parts of them. `grids`
    are those of the first stage in training, `samplers` the names of all, and `channels` and `colours` how videos of
    other channels than red, green and blue can be shown. `teachers` says whether stages are distilled from others.
    """
    from zoetrope.channels import are_rgb
    from zoetrope.fields.colours import TABLES
    from zoetrope.inputs.region import REGION
    from zoetrope.models.opening import open_model
    from zoetrope.samplers import Sampler

    spec = open_model(name).spec
    stages, rgb = spec.videos, are_rgb(spec.channels)
    region = any(stage.input(REGION) is not None for stage in stages[:1])
    own = next((stage.sampling.known for stage in stages), None)
    return {
        "name": spec.name,
        "text": spec.text is not None,
        "rgb": rgb,
        "trained_on": spec.trained_on,
        "until": spec.until(spec.default_until)[-1].name,
        "stages": [_stage(stage) for stage in stages],
        "grids": [_size(grid) for stage in stages[:1] for grid in _grids(stage)],
        "inputs": asked(spec),
        "controls": sorted({each.name for stage in spec.stages for each in stage.inputs if each.aligned}),
        "known": region or any(stage.sampling.known is not None for stage in (*stages, *spec.teachers)),
        "masks": region or (own is not None and own.in_part),
        "samplers": Sampler.names(),
        "channels": [] if rgb else [{"name": one.name, "unit": one.unit} for one in spec.channels],
        "colours": [] if rgb else sorted(TABLES),
        "teachers": bool(spec.teachers),
        "upscales": any(stage.kind in ("ssr", "tsr") for stage in stages),
    }


def asked(spec: "CascadeSpec") -> list[dict[str, Any]]:
    """The inputs that take a value, each by the first stage that reads it.

    Their name, kind, and what belongs to it, see `zoetrope.inputs.Asked`; `usual`, where none is given; of actions and
    maps the `frames`, and of maps the `height` and `width`. `stage` is the first one of videos whose making takes it.
    """
    found = dict[str, dict[str, Any]]()
    for number, stage in enumerate(spec.stages):
        for each in stage.inputs:
            value = each.asked
            if value is None or each.name in found:
                continue
            shown = next((later.name for later in spec.stages[number:] if not later.makes_vectors), stage.name)
            told = {"name": each.name, "stage": shown, **value._asdict(), "usual": None}
            if value.kind == "number":
                told["usual"] = each.usual(stage.shape)
            elif value.kind in ("action", "map"):
                told |= {"frames": stage.shape.frames, "height": stage.shape.height, "width": stage.shape.width}
            found[each.name] = told
    return list(found.values())


def _stage(stage: "StageSpec") -> dict[str, Any]:
    weights = [weight for weight in stage.sampling.weights() if weight]
    told = {
        "steps": stage.sampling.steps,
        "sampler": stage.sampling.sampler.kind(),
        "guidance": max(weights, default=0.0),
        "distilled": stage.distilled is not None,
        "ways": {} if stage.distilled is None else stage.distilled.ways,
    }
    return {"name": stage.name, "kind": stage.kind, **_size(stage.made), **told}


def _grids(stage: "StageSpec") -> list["VideoShape"]:
    """The grids of a stage's videos in training, its own first."""
    return list(dict.fromkeys([stage.made, *(stage.codec.pixels(grid) for grid in stage.grids)]))


def _size(shape: "VideoShape") -> dict[str, Any]:
    return {"frames": shape.frames, "height": shape.height, "width": shape.width, "fps": shape.fps}
