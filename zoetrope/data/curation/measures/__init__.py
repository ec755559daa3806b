"""Measures of a scene, one per file: a number, and whether it speaks against the scene."""

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np

from zoetrope.config import Kind


class SceneMeasure(Kind):
    """A number that tells how good a scene is for training."""

    folder: ClassVar[str] = "zoetrope.data.curation.measures"
    higher_is_better: ClassVar[bool] = True

    @abstractmethod
    def of(self, pictures: np.ndarray) -> float:
        """The measure of pictures (N, H, W, 3) uint8, N >= 1, taken evenly from a scene."""

    @abstractmethod
    def fault(self, value: float) -> str | None:
        """Why a scene with this value is left out; None if it is kept."""


def opencv() -> Any:
    """The module cv2. Raises ValueError that names the extra if it is not installed."""
    try:
        import cv2  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise ValueError(missing("OpenCV", error)) from None
    return cv2


def missing(package: str, error: ImportError) -> str:
    """The message for a package of the extra that cannot be imported."""
    return f"data curate expects {package} ({error}); try: pip install 'zoetrope[curate]'"
