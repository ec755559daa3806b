"""Classifier-free guidance with one weight for all steps, away from no text or from a negative prompt."""

from dataclasses import replace

from zoetrope.conditioning import Conditioning, Tokens, Weight
from zoetrope.guidance import Guidance, Share

TEXT = "text"


class TextGuidance(Guidance):
    """(1 + w) f(z, text) - w f(z) [Ho et al. 2022, arXiv:2210.02303, Sec. 2.7].

    Attributes:
        weight: w; 0 is no guidance.
    """

    weight: Weight = 0.0

    def weights(self, steps: int) -> list[float]:
        """The same for each step."""
        return [self.weight] * steps

    def variants(self, given: Conditioning, negative: Conditioning | None) -> list[Conditioning]:
        """With the text, and with the negative text or none."""
        return with_and_without_text(given, negative)

    def shares(self, step: int, steps: int) -> list[Share]:
        """1 + w and -w."""
        return [1 + self.weight, -self.weight]


def with_and_without_text(given: Conditioning, negative: Conditioning | None) -> list[Conditioning]:
    """The conditioning itself, and the same with the text of `negative` or none; itself alone if it has no text."""
    if TEXT not in given.tokens:
        return [given]
    if negative is None or TEXT not in negative.tokens:
        return [given, given.without(TEXT)]
    own, other = given.tokens[TEXT], negative.tokens[TEXT]
    text = Tokens(other.values.expand_as(own.values), other.mask.expand_as(own.mask))
    return [given, replace(given, tokens={**given.tokens, TEXT: text})]
