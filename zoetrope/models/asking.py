"""What somebody asks of a model beside the prompt: values for the inputs that its stages have."""

from collections.abc import Mapping, Sequence
from typing import Any

from zoetrope.cascade.spec import StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.config import unknown
from zoetrope.inputs import Input
from zoetrope.inputs.text import TEXT


def askable(stages: Sequence[StageSpec]) -> dict[str, Input]:
    """The inputs of these stages that values can be given for, by name: all but the text and other stages' videos."""
    every = (each for stage in stages for each in stage.inputs)
    return {each.name: each for each in every if each.name != TEXT and each.source is None}


def expect_askable(stages: Sequence[StageSpec], values: Mapping[str, Any]) -> None:
    """Raise ValueError, with the nearest name, for a value that no stage has an input for."""
    known = askable(stages)
    for name in values:
        if name not in known:
            raise ValueError("given: " + unknown("input", name, known))


def conditioning_of(stage: StageSpec, values: Mapping[str, Any], count: int) -> Conditioning:
    """What a stage's network is told of these values in `count` videos; inputs without a value are unknown.

    Raises ValueError that names the input for a value that makes no sense.
    """
    given = Conditioning()
    for name, each in askable([stage]).items():
        given = given | each.of_request(values.get(name), count)
    return given
