"""Measures of a scene, one per file: a number, and whether it speaks against the scene."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from zoetrope.config import Kind


class SceneMeasure(Kind):
    """A number that tells how good a scene is for training."""

    folder: ClassVar[str] = "zoetrope.curation.measures"
    higher_is_better: ClassVar[bool] = True
    reads_captions: ClassVar[bool] = False

    @abstractmethod
    def of(self, pictures: np.ndarray, texts: Sequence[str]) -> float:
        """The measure of pictures (N, H, W, 3) uint8, N >= 1, taken evenly from a scene with these captions.

        There are no captions unless it `reads_captions`.
        """

    @abstractmethod
    def fault(self, value: float) -> str | None:
        """Why a scene with this value is left out; None if it is kept."""

    def expect_usable(self) -> None:
        """Raise ValueError if a package or weights that it needs are not here."""
        opencv()


def opencv() -> Any:
    """The module cv2. Raises ValueError that names the extra if it is not installed."""
    return imported("cv2", "OpenCV")


def imported(module: str, package: str | None = None) -> Any:
    """A module of a package of the extra. Raises ValueError that names the extra if it cannot be imported."""
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        needed = package or module
        raise ValueError(f"data curate expects {needed} ({error}); try: pip install 'zoetrope[curate]'") from None
