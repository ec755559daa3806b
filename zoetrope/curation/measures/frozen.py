"""Frozen pictures: those that repeat the picture half a second before."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from zoetrope.curation.measures import SceneMeasure


class FrozenShare(SceneMeasure):
    """The share, 0 to 1, of pictures at 2 fps that differ from the one before by less than `step` anywhere but noise.

    Attributes:
        most: a scene with a larger share is left out.
        step: the difference, 0 to 255, that 99.9 % of the pixels stay under.
    """

    higher_is_better = False
    most: float = 0.5
    step: float = 4.0

    def of(self, pictures: np.ndarray, texts: Sequence[str]) -> float:
        """See `SceneMeasure`; 1 for one picture."""
        if len(pictures) < 2:
            return 1.0
        pairs = pairwise(pictures)
        steps = [np.percentile(np.abs(a.astype(np.int16) - b).max(-1), 99.9) for a, b in pairs]
        return float(np.mean(np.asarray(steps) < self.step))

    def fault(self, value: float) -> str | None:
        """See `SceneMeasure`."""
        return f"frozen: {value:.0%} of its pictures, expected at most {self.most:.0%}" if value > self.most else None
