"""Migration of descriptions that older versions wrote: the one place that knows how the format has changed.

The format is 4 today. Before it, a stage had a source, a fill and a level of augmentation instead of inputs; guidance
was a number or the fields of an oscillation; and trainings held fields that inputs hold now. Before format 3, noise was
always drawn by "mersenne".
"""

from collections.abc import Mapping
from typing import Any

MOVED = {
    "fill": "inputs.low_res.fill",
    "source": "inputs.low_res.shape",
    "sampling.low_res_logsnr": "inputs.low_res.logsnr",
    "training.augment": "inputs.low_res.augment",
    "training.text_dropout": "inputs.text.dropout",
}
"""Old path of a field that moved -> its path today, both from the stage."""


def path_of_today(path: str) -> str:
    """Today's path of a stage's field, from its path today or in older versions."""
    for old, new in MOVED.items():
        if path == old or path.startswith(f"{old}."):
            return new + path.removeprefix(old)
    return path


def cascade_path_of_today(path: str) -> str:
    """Today's path from the cascade of a stage's field, such as "stages.ssr1.fill", from a path old or new."""
    section, _, rest = path.partition(".")
    name, _, field = rest.partition(".")
    return f"stages.{name}.{path_of_today(field)}" if section == "stages" and field else path


def recipe_path_of_today(path: str) -> str:
    """Today's path from the recipe of a field of a stage or its training, from a path old or new."""
    section, _, rest = path.partition(".")
    if section == "cascade":
        return f"cascade.{cascade_path_of_today(rest)}"
    name, _, field = rest.partition(".")
    moved = path_of_today(f"training.{field}")
    return f"cascade.stages.{name}.{moved}" if section == "training" and moved.startswith("inputs.") else path


def cascade_of_today(cascade: Any) -> Any:
    """The JSON of a cascade with a "noise", which cascades from before there was a choice lack."""
    return {"noise": "mersenne", **cascade} if isinstance(cascade, dict) else cascade


def stage_of_today(stage: Any) -> Any:
    """The fields of a stage with inputs instead of a source."""
    if not isinstance(stage, Mapping):
        return stage
    stage = dict(stage)
    sampling = stage.get("sampling")
    old = {"source", "fill"} & stage.keys() or (isinstance(sampling, Mapping) and "low_res_logsnr" in sampling)
    if not old or "inputs" in stage:
        return stage
    source, fill, level = stage.pop("source", None), stage.pop("fill", None), None
    if isinstance(sampling, Mapping):
        stage["sampling"] = {name: value for name, value in sampling.items() if name != "low_res_logsnr"}
        level = sampling.get("low_res_logsnr")
    inputs: list[Any] = [{"type": "text"}]
    if source is not None:
        inputs.append({"type": "low_res", "shape": source, "logsnr": level, **({} if fill is None else {"fill": fill})})
    return {**stage, "inputs": inputs}


def guidance_of(value: Any) -> Any:
    """A number as text guidance of that weight; the fields of an oscillation with their "type"."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {"type": "text", "weight": value}
    if isinstance(value, Mapping) and "type" not in value and {"high", "low", "constant"} & value.keys():
        return {"type": "oscillating", **value}
    return value


def recipe_of_today(recipe: Any) -> Any:
    """The JSON of a recipe, with fields that belonged to trainings moved to the inputs of their stages."""
    if not isinstance(recipe, dict) or not isinstance(recipe.get("cascade"), dict):
        return recipe
    cascade, training = cascade_of_today(recipe["cascade"]), recipe.get("training")
    if not isinstance(training, dict) or not isinstance(cascade.get("stages"), list):
        return {**recipe, "cascade": cascade}
    moved: dict[str, dict[tuple[str, str], Any]] = {}
    left: dict[str, Any] = {}
    for name, spec in training.items():
        left[name] = dict(spec) if isinstance(spec, dict) else spec
        if not isinstance(spec, dict):
            continue
        for field, place in (("text_dropout", ("text", "dropout")), ("augment", ("low_res", "augment"))):
            if field in spec:
                moved.setdefault(name, {})[place] = left[name].pop(field)
    stages = [_with_inputs(stage, moved) for stage in cascade["stages"]]
    return {**recipe, "cascade": {**cascade, "stages": stages}, "training": left}


def _with_inputs(stage: Any, moved: Mapping[str, Mapping[tuple[str, str], Any]]) -> Any:
    """A stage whose inputs have the fields that moved there from its training."""
    own = moved.get(str(stage.get("name")), {}) if isinstance(stage, dict) else {}
    if not own:
        return stage
    stage = stage_of_today({"fill": None, **stage} if "inputs" not in stage else stage)
    if not isinstance(stage["inputs"], list):
        return stage
    inputs = [dict(each) if isinstance(each, dict) else each for each in stage["inputs"]]
    for (kind, field), value in own.items():
        for each in inputs:
            if isinstance(each, dict) and each.get("type") == kind:
                each[field] = value
    return {**stage, "inputs": inputs}
