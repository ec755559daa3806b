"""How the learning rate goes between its warm-up and its end, one way a file."""

from abc import ABC, abstractmethod
from typing import ClassVar

from zoetrope.config import Kind


class Rate(Kind, ABC):
    """What share of its peak the learning rate has; warm-up, cool-down and each phase's peak multiply it."""

    folder: ClassVar[str] = "zoetrope.training.rates"

    @abstractmethod
    def share(self, examples: int, total: int) -> float:
        """The share, in (0, 1], after so many examples of a training that lasts `total`."""
