"""Guidance towards the brightness that is asked for, away from one that is unknown."""

import torch

from zoetrope.conditioning import Conditioning
from zoetrope.guidance import Guidance, Share


class Brighter(Guidance):
    """(1 + w) f(z, brightness) - w f(z), the text being the same."""

    weight: float = 1.0

    def weights(self, steps: int) -> list[float]:
        return [self.weight] * steps

    def variants(self, given: Conditioning, negative: Conditioning | None) -> list[Conditioning]:
        unknown = torch.full_like(given.numbers["brightness"], torch.nan)
        return [given, given | Conditioning(numbers={"brightness": unknown})]

    def shares(self, step: int, steps: int) -> list[Share]:
        return [1 + self.weight, -self.weight]
