"""Whether stages make videos of the channels that their cascade says, and are guided as they can be."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zoetrope.channels import Channel, are_rgb, listed
from zoetrope.guidance import Guidance
from zoetrope.guidance.inputs import InputGuidance
from zoetrope.guidance.text import TEXT

if TYPE_CHECKING:
    from zoetrope.cascade.spec import StageSpec


def expect_channels(stage: "StageSpec", channels: Sequence[Channel]) -> None:
    """Raise ValueError if a stage makes videos of another number of channels, or bounds such as have no bounds."""
    if stage.makes_vectors:
        return
    at = f"stages.{stage.name}"
    if stage.codec.encodes:
        if not are_rgb(channels):
            raise ValueError(f"{at}.codec: expected none, for codecs are of RGB pictures, not of {listed(channels)}")
        return
    if stage.network.channels != (count := len(channels)):
        why = "videos are RGB pictures" if are_rgb(channels) else f"the channels are {listed(channels)}"
        raise ValueError(f"{at}.network.channels: expected {count}, for {why}, got {stage.network.channels}")
    free = [channel for channel in channels if not channel.scale.bounded]
    if free and stage.sampling.threshold is not None:
        got = stage.sampling.threshold
        raise ValueError(f"{at}.sampling.threshold: expected null, for {listed(free)} has no bounds, got {got!r}")
    if not are_rgb(channels) and any(each.vector is not None for each in stage.inputs):
        raise ValueError(f"{at}.inputs: expected no picture, for the videos are of other channels")


def expect_one_weight(where: str, most: float, guidance: Guidance) -> None:
    """Raise ValueError for guidance by more than a weight, where a network is distilled for weights up to `most`."""
    if most and not guidance.one_weight:
        got = guidance.to_json()
        raise ValueError(f"{where}: guidance: expected one weight for all frames, which a network can learn, got {got}")


def expect_guided_over(stage: "StageSpec") -> None:
    """Raise ValueError for guidance over inputs that a stage lacks, or that training never leaves out.

    That one of these is unknown means nothing to a network.
    """
    guidance, where = stage.sampling.guidance, f"stage {stage.name!r}: sampling.guidance"
    guidance.check(where, [each.name for each in stage.inputs])
    if not isinstance(guidance, InputGuidance) or not guidance.weight or stage.network.guided:
        return
    inputs = [each for each in stage.inputs if each.source is None and each.name != TEXT]
    asked = {each.name: getattr(each, "dropout", None) for each in inputs}
    wrong = [name for name in guidance.over or asked if asked.get(name) == 0]
    if wrong:
        known = ", ".join(name for name, dropout in asked.items() if dropout != 0) or "there are none"
        raise ValueError(
            f"{where}.over: expected inputs that training sometimes leaves out ({known}), got {wrong[0]!r}, which has "
            "the dropout 0"
        )
