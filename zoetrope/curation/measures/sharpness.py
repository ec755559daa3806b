"""Sharpness: the variance of the Laplacian."""

from collections.abc import Sequence

import numpy as np

from zoetrope.curation.measures import SceneMeasure, opencv


class Sharpness(SceneMeasure):
    """The median over pictures of the variance of the Laplacian of the grey picture (0 to 255).

    Attributes:
        least: a scene with less is blurred; 0 keeps all.
    """

    least: float = 0.0

    def of(self, pictures: np.ndarray, texts: Sequence[str]) -> float:
        """See `SceneMeasure`."""
        cv2 = opencv()
        greys = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in pictures]
        return float(np.median([cv2.Laplacian(grey, cv2.CV_64F).var() for grey in greys]))

    def fault(self, value: float) -> str | None:
        """See `SceneMeasure`."""
        return f"blurred: sharpness {value:.1f}, expected at least {self.least:g}" if value < self.least else None
