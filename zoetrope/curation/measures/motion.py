"""Motion: the mean length of the dense optical flow (Farneback) between pictures half a second apart."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from zoetrope.curation.measures import SceneMeasure, opencv

_SIDE = 96  # the flow is computed on pictures of this height, in pixels


class Motion(SceneMeasure):
    """Optical flow at 2 fps, in hundredths of the picture's height per picture; static scenes are left out.

    Attributes:
        least: a scene with less motion is static.
    """

    least: float = 0.015

    def of(self, pictures: np.ndarray, texts: Sequence[str]) -> float:
        """See `SceneMeasure`; 0 for one picture."""
        cv2 = opencv()
        width = max(16, round(pictures.shape[2] * _SIDE / pictures.shape[1]))
        grey = [
            cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (width, _SIDE), interpolation=cv2.INTER_AREA)
            for picture in pictures
        ]
        flows = [cv2.calcOpticalFlowFarneback(a, b, None, 0.5, 3, 15, 3, 5, 1.2, 0) for a, b in pairwise(grey)]
        return float(np.mean([np.hypot(f[..., 0], f[..., 1]).mean() * 100 / _SIDE for f in flows])) if flows else 0.0

    def fault(self, value: float) -> str | None:
        """See `SceneMeasure`."""
        return f"static: motion {value:.3f}, expected at least {self.least:g}" if value < self.least else None
