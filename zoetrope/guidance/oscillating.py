"""Guidance whose weight oscillates: strong text alignment without saturated colours."""

from typing import Annotated

from pydantic import Field

from zoetrope.conditioning import Conditioning, Weight
from zoetrope.guidance import Guidance, Share
from zoetrope.guidance.text import with_and_without_text


class Oscillating(Guidance):
    """Text guidance whose weight is `high` for the first `constant` steps, then alternates, starting with `low`.

    [Ho et al. 2022, arXiv:2210.02303, Sec. 2.7] gives 15 and 1 as an example; the number of constant steps is not
    published.

    Attributes:
        high: weight of the first steps, and of every other step after them.
        low: weight of the remaining steps.
        constant: number of first steps with the high weight.
    """

    high: Weight = 15.0
    low: Weight = 1.0
    constant: Annotated[int, Field(ge=0, le=100_000)] = 10

    def weights(self, steps: int) -> list[float]:
        """`high` for the first steps, then `low` and `high` alternately."""
        first = self.constant
        return [self.high if step < first or (step - first) % 2 else self.low for step in range(steps)]

    def variants(self, given: Conditioning, negative: Conditioning | None) -> list[Conditioning]:
        """With the text, and with the negative text or none."""
        return with_and_without_text(given, negative)

    def shares(self, step: int, steps: int) -> list[Share]:
        """1 + w and -w, for the w of the step."""
        weight = self.weights(steps)[step]
        return [1 + weight, -weight]
