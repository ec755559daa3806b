"""Classifier-free guidance for decoders: towards the embedding of a picture, and the text where there is one."""

from zoetrope.conditioning import Conditioning, Weight
from zoetrope.guidance import Guidance, Share
from zoetrope.guidance.text import TEXT, with_and_without_text

PICTURE = "picture"


class PictureGuidance(Guidance):
    """(1 + w) f(z, picture, text) - w f(z) [Ramesh et al. 2022, arXiv:2204.06125, Sec. 2.1].

    Attributes:
        weight: w; 0 is no guidance.
    """

    weight: Weight = 0.0

    def weights(self, steps: int) -> list[float]:
        """The same for each step."""
        return [self.weight] * steps

    def variants(self, given: Conditioning, negative: Conditioning | None) -> list[Conditioning]:
        """With the picture and the text, and with no picture and the negative text or none."""
        last = with_and_without_text(given, negative)[-1].without(PICTURE)
        return [given] if {PICTURE, TEXT}.isdisjoint(given.tokens) else [given, last]

    def shares(self, step: int, steps: int) -> list[Share]:
        """1 + w and -w."""
        return [1 + self.weight, -self.weight]
