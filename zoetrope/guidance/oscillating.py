"""Guidance whose weight oscillates, for more of the text with less saturation."""

from typing import Annotated

from pydantic import Field

from zoetrope.conditioning import Conditioning
from zoetrope.guidance import Guidance, Share
from zoetrope.guidance.text import Weight, with_and_without_text


class Oscillating(Guidance):
    """Guidance of a weight that is `high` for the first `constant` steps and then low and high in turn, low first.

    [Ho et al. 2022, arXiv:2210.02303, Sec. 2.7] gives 15 and 1 as an example; the number of constant steps is not
    published.

    Attributes:
        high: weight of the first steps, and of every second one after them.
        low: weight of the steps between.
        constant: how many steps, from the first on, have the high weight.
    """

    high: Weight = 15.0
    low: Weight = 1.0
    constant: Annotated[int, Field(ge=0, le=100_000)] = 10

    def weights(self, steps: int) -> list[float]:
        """High, then low and high in turn."""
        first = self.constant
        return [self.high if step < first or (step - first) % 2 else self.low for step in range(steps)]

    def variants(self, given: Conditioning, negative: Conditioning | None) -> list[Conditioning]:
        """With the text, and without it or with the negative one."""
        return with_and_without_text(given, negative)

    def shares(self, step: int, steps: int) -> list[Share]:
        """1 + w and -w, w being the step's."""
        weight = self.weights(steps)[step]
        return [1 + weight, -weight]
