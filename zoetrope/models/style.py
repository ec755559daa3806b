"""Another style for a video model, by weights between its own and those of one that was fine-tuned to the style."""

import math
from pathlib import Path

from zoetrope.config import unknown
from zoetrope.models.alike import SILENT, expect_alike, other_maps, other_size
from zoetrope.models.finding import find
from zoetrope.models.opening import OpenModel, contents
from zoetrope.models.weights import Style, check_weights


def styled(model: OpenModel, style: str | Path, weight: float = 0.7) -> OpenModel:
    """The model with weights (1 - a) W + a W_style, where a, the `weight`, is from 0 to 1 [arXiv:2401.12945, Sec. 4].

    `style` is a model or a run, of the same network or of the image network that it began as; every stage that both
    have takes its share, as do those that run its network, and layers that the style lacks stay. Lumiere takes a from
    0.5 to 1.

    Raises ValueError for a weight out of range, and for a style without a stage of the model, with tensors of other
    shapes, which are named, of another text encoder, of heads of another size, or that is given other maps.
    """
    if not (math.isfinite(weight) and 0 <= weight <= 1):
        raise ValueError(f"style weight: expected a number from 0 to 1, such as 0.7, got {weight:g}")
    own = [(stage, stage.weights_of or stage.name) for stage in model.spec.stages]
    found, there = dict[str, Style](), list[str]()
    for part in (contents(one) for one in find(style)):
        there += list(part.weights)
        for stage, name in own:
            if name not in part.weights:
                continue
            theirs = part.spec.stage(name)
            if (stage.distilled is None) != (theirs.distilled is None):
                raise ValueError(
                    f"{style}: expected a style and a model that are both distilled, or both not; stage {name!r} is "
                    "distilled in one alone (--teacher takes its original)"
                )
            expect_alike(str(style), part.spec, theirs, model.spec, stage)
            try:
                check_weights(stage.network.bare(), part.weights[name], missing="leave")
                why = other_maps(theirs.network, stage.network) or other_size(theirs.network, stage, SILENT)
                if why is not None:
                    raise ValueError(f"{part.weights[name]}: these are not the weights of this network: {why}")
            except ValueError as error:
                raise ValueError(f"style of stage {name!r}: {error}") from None
            found[stage.name] = Style(str(style), part.weights[name], weight)
    if not found:
        raise ValueError(f"{style}: " + unknown("stage", there[0], [name for _, name in own]))
    return model._replace(styles=found)
