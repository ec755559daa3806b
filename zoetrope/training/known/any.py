"""Any frames given any others, from anywhere in a long clip [Harvey et al. 2022, arXiv:2205.11495, Sec. 3, Alg. 2]."""

import math
from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from zoetrope.training.known import KnownFrames, Shown


class AnyFrames(KnownFrames):
    """Sets of evenly spaced frames at random scales, each of them known or to be made.

    The first set is to be made, each of the others with probability `share` known. Sets are added, without frames that
    are already there, until one exceeds the room; frames of another clip fill what is left.

    Attributes:
        length: frames of the clips that they are taken from, at the stage's frame rate; None, and for data without
            clips of this length: as many as the stage makes.
        share: the probability that a set after the first is known.
    """

    length: Annotated[int, Field(ge=2, le=1_000_000)] | None = None
    share: Annotated[float, Field(ge=0, le=1)] = 0.5

    def shown(self, room: int, whole: int, draw: torch.Generator) -> Shown:
        """See `KnownFrames`."""
        length = self.length or whole
        made = spaced(room, length, draw)
        known = made[:0]
        while True:
            given = bool(torch.rand((), generator=draw) < self.share)
            new = spaced(room, length, draw)
            new = new[~torch.isin(new, torch.cat([made, known]))]
            if len(made) + len(known) + len(new) > room or len(made) + len(known) == length:
                break
            made, known = (made, torch.cat([known, new])) if given else (torch.cat([made, new]), known)
        numbers = torch.cat([made, known]).sort().values
        return Shown(numbers, torch.isin(numbers, known), length)

    def even(self, room: int, whole: int) -> bool:
        """See `KnownFrames`."""
        return False

    def lengths(self, whole: int) -> set[int]:
        """See `KnownFrames`."""
        return {self.length or whole}

    def fitted(self, gives: Callable[[int], bool]) -> "AnyFrames":
        """See `KnownFrames`."""
        return self if self.length is None or gives(self.length) else self.with_(length=None)

    def check(self, whole: int, source: bool) -> None:
        """See `KnownFrames`."""
        if source:
            raise ValueError("expected frames in a row for a stage with a source; use prefix or independent")
        if self.length is not None and self.length < whole:
            raise ValueError(f"length: expected the clip's {whole} frames or more, got {self.length}")


def spaced(most: int, length: int, draw: torch.Generator) -> Tensor:
    """1 to `most` evenly spaced frames of `length`, int64, at a scale that is uniform in its logarithm."""
    count = 1 + int(torch.randint(min(most, length), (), generator=draw))
    u, v = torch.rand(2, generator=draw, dtype=torch.float64).tolist()
    scale = math.exp(u * math.log(length / (count - 0.999)))
    start = v * (length - scale * (count - 1))
    return (start + scale * torch.arange(count, dtype=torch.float64)).floor().long().clamp(max=length - 1)
