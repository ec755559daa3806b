"""Picture-text score: how near CLIP finds pictures and caption."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from zoetrope.curation.measures import SceneMeasure
from zoetrope.curation.measures._clip import at_ends, expect_clip, features_of_pictures, features_of_texts


class Alignment(SceneMeasure):
    """The cosine, -1 to 1, of CLIP's features of picture and caption: the mean over the first, middle and last picture.

    Of several captions the best counts. Captions longer than CLIP's limit are cut.

    Attributes:
        model: a local folder with a whole CLIP in safetensors, or a hub id.
        least: a scene with less is left out; -1 keeps all.
    """

    reads_captions: ClassVar[bool] = True
    model: str
    least: float = -1.0

    def of(self, pictures: np.ndarray, texts: Sequence[str]) -> float:
        """See `SceneMeasure`. Raises ValueError without a caption."""
        if not texts:
            raise ValueError("alignment: expected a caption, got none")
        seen, read = features_of_pictures(self.model, at_ends(pictures)), features_of_texts(self.model, tuple(texts))
        return float((seen @ read.T).mean(0).max())

    def fault(self, value: float) -> str | None:
        """See `SceneMeasure`."""
        return (
            f"unlike its caption: alignment {value:.3f}, expected at least {self.least:g}"
            if value < self.least
            else None
        )

    def expect_usable(self) -> None:
        """See `SceneMeasure`."""
        expect_clip(self.model)
