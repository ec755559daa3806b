"""Black pictures: those with hardly a bright pixel."""

from collections.abc import Sequence

import numpy as np

from zoetrope.curation.measures import SceneMeasure


class Black(SceneMeasure):
    """The share, 0 to 1, of pictures of which 99 % of the pixels are no brighter than `level`.

    Attributes:
        most: a scene with a larger share is left out.
        level: the most, 0 to 255, that any channel of a black pixel may have.
    """

    higher_is_better = False
    most: float = 0.5
    level: float = 20.0

    def of(self, pictures: np.ndarray, texts: Sequence[str]) -> float:
        """See `SceneMeasure`."""
        return float((np.percentile(pictures.max(-1), 99, axis=(1, 2)) <= self.level).mean())

    def fault(self, value: float) -> str | None:
        """See `SceneMeasure`."""
        return f"black: {value:.0%} of its pictures, expected at most {self.most:.0%}" if value > self.most else None
