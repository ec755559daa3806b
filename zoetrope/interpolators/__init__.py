"""Interpolators of frames, one per file: the frame halfway between two others.

To add one, add a file with a frozen value that subclasses `Interpolator`.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from zoetrope.config import Kind


class Interpolator(Kind, ABC):
    """How a frame between two others is made; its parameters are its fields."""

    folder: ClassVar[str] = "zoetrope.interpolators"

    @abstractmethod
    def __call__(self, before: Tensor, after: Tensor) -> Tensor:
        """The frames halfway between `before` and `after`, pair by pair; all are (B, C, n, H, W)."""
