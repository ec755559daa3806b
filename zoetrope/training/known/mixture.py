"""Several kinds, each for a share of the examples."""

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field, PositiveFloat

from zoetrope.config import Config
from zoetrope.training.known import KnownFrames, Shown


class KnownPart(Config):
    """One kind and its weight against the others'.

    Attributes:
        known: which frames are known.
        weight: its share of the examples, relative to the sum of all weights.
    """

    known: KnownFrames
    weight: PositiveFloat = 1.0


class KnownMixture(KnownFrames):
    """Each example is of one of these kinds, with a probability in proportion to its weight.

    Attributes:
        parts: the kinds with their weights.
    """

    parts: Annotated[tuple[KnownPart, ...], Field(min_length=1)]

    def shown(self, room: int, whole: int, draw: torch.Generator) -> Shown:
        """See `KnownFrames`."""
        weights = torch.tensor([part.weight for part in self.parts], dtype=torch.float64)
        chosen = int(torch.multinomial(weights, 1, generator=draw))
        return self.parts[chosen].known.shown(room, whole, draw)

    @property
    def one_level(self) -> bool:
        """See `KnownFrames`."""
        return any(part.known.one_level for part in self.parts)

    def even(self, room: int, whole: int) -> bool:
        """See `KnownFrames`."""
        return all(part.known.even(room, whole) for part in self.parts)

    def lengths(self, whole: int) -> set[int]:
        """See `KnownFrames`."""
        return {length for part in self.parts for length in part.known.lengths(whole)}

    def fitted(self, gives: Callable[[int], bool]) -> "KnownMixture":
        """See `KnownFrames`."""
        return self.with_(parts=tuple(part.with_(known=part.known.fitted(gives)) for part in self.parts))

    def check(self, whole: int, source: bool) -> None:
        """See `KnownFrames`."""
        for part in self.parts:
            part.known.check(whole, source)
