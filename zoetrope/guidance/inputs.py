"""Classifier-free guidance over any inputs: numbers, labels, actions, maps, pictures, text, or all of them."""

from collections.abc import Collection
from typing import Annotated

from pydantic import Field

from zoetrope.conditioning import Conditioning, Weight
from zoetrope.config import unknown
from zoetrope.guidance import Guidance, Share
from zoetrope.guidance.text import TEXT, with_and_without_text


class InputGuidance(Guidance):
    """(1 + w) f(z, inputs) - w f(z), where those inputs that it is `over` are unknown [Ho & Salimans 2022,
    arXiv:2207.12598, Sec. 3.2].

    Attributes:
        weight: w; 0 is no guidance.
        over: the names of these inputs, which the others leave as they are; (): every one that can be unknown.
    """

    weight: Weight = 0.0
    over: Annotated[tuple[str, ...], Field(max_length=64)] = ()

    def check(self, where: str, names: Collection[str]) -> None:
        """Raise ValueError, with the nearest name, for one that it is over and that is not among these."""
        for name in self.over:
            if name not in names:
                raise ValueError(f"{where}.over: {unknown('input', name, names)}")

    def weights(self, steps: int) -> list[float]:
        """The same for each step."""
        return [self.weight] * steps

    def variants(self, given: Conditioning, negative: Conditioning | None) -> list[Conditioning]:
        """With the inputs, and without those that guidance is over; text is then the negative text or none."""
        names = [name for name in self.over or _every(given) if name in given.names]
        if not names:
            return [given]
        other = with_and_without_text(given, negative)[-1] if TEXT in names else given
        for name in names:
            other = other if name == TEXT else other.without(name)
        return [given, other]

    def shares(self, step: int, steps: int) -> list[Share]:
        """1 + w and -w."""
        return [1 + self.weight, -self.weight]


def _every(given: Conditioning) -> list[str]:
    """The names of all inputs that can be unknown: not those that belong to other stages' videos or to known frames."""
    own = given.names - {"low_res", "low_res_logsnr", "guidance", "region", "region_mask", "first_frame_logsnr"}
    return sorted(name for name in own if not (name.endswith("_scale") and name.removesuffix("_scale") in given.maps))
