"""A noise level of its own for each frame: diffusion forcing [Chen et al. 2024, arXiv:2407.01392, Sec. 3]."""

from collections.abc import Callable

import torch

from zoetrope.training.known import KnownFrames, Shown
from zoetrope.training.known.none import NoKnown


class Independent(KnownFrames):
    """Frames as another kind shows them; each frame that is not known has its own diffusion time.

    Attributes:
        of: which frames are shown, and which of them are known.
    """

    of: KnownFrames = NoKnown()

    def shown(self, room: int, whole: int, draw: torch.Generator) -> Shown:
        """See `KnownFrames`."""
        return self.of.shown(room, whole, draw)._replace(independent=True)

    @property
    def one_level(self) -> bool:
        """See `KnownFrames`."""
        return False

    def even(self, room: int, whole: int) -> bool:
        """See `KnownFrames`."""
        return self.of.even(room, whole)

    def lengths(self, whole: int) -> set[int]:
        """See `KnownFrames`."""
        return self.of.lengths(whole)

    def fitted(self, gives: Callable[[int], bool]) -> "Independent":
        """See `KnownFrames`."""
        return self.with_(of=self.of.fitted(gives))

    def check(self, whole: int, source: bool) -> None:
        """See `KnownFrames`."""
        self.of.check(whole, source)
