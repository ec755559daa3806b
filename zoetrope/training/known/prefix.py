"""The first frames are known, and those after them are to be made: continuation, and image to video for one frame."""

from typing import Annotated

import torch
from pydantic import Field

from zoetrope.training.known import KnownFrames, Shown, drawn_below, in_a_row


class Prefix(KnownFrames):
    """Consecutive frames, of which the first 1 to `most` are known, all numbers equally likely.

    Attributes:
        most: the most known frames; None: all but the last.
    """

    most: Annotated[int, Field(ge=1)] | None = None

    def shown(self, room: int, whole: int, draw: torch.Generator) -> Shown:
        """See `KnownFrames`. A single frame is not known."""
        most = min(room - 1, self.most or room - 1)
        count = 1 + drawn_below(most, draw) if most else 0
        return in_a_row(torch.arange(room) < count, whole)

    def check(self, whole: int, source: bool) -> None:
        """See `KnownFrames`."""
        if self.most is not None and self.most >= whole:
            raise ValueError(f"most: expected fewer than the clip's {whole} frames, got {self.most}")
