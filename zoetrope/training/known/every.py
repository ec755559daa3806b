"""Every n-th frame is known, and those between are to be made: interpolation [arXiv:2209.14792, Sec. 3.3]."""

from typing import Annotated

import torch
from pydantic import Field

from zoetrope.training.known import KnownFrames, Shown, drawn_below, in_a_row

Skip = Annotated[int, Field(ge=2, le=10_000)]


class EveryNth(KnownFrames):
    """Consecutive frames, of which the first and every n-th after it are known.

    Attributes:
        skips: the numbers n, all equally likely; Make-A-Video's is 5, and several make it learn any of them.
    """

    skips: Annotated[tuple[Skip, ...], Field(min_length=1, max_length=64)] = (5,)

    def shown(self, room: int, whole: int, draw: torch.Generator) -> Shown:
        """See `KnownFrames`."""
        skip = self.skips[drawn_below(len(self.skips), draw)]
        return in_a_row(torch.arange(room) % skip == 0, whole)

    def check(self, whole: int, source: bool) -> None:
        """See `KnownFrames`."""
        if max(self.skips) >= whole:
            raise ValueError(f"skips: expected fewer than the clip's {whole} frames, got {max(self.skips)}")
