"""Learning rates between warm-up and cool-down, one kind per file."""

from abc import ABC, abstractmethod
from typing import ClassVar

from zoetrope.config import Kind


class Rate(Kind, ABC):
    """The learning rate as a share of its peak; warm-up, cool-down and each phase's peak multiply it."""

    folder: ClassVar[str] = "zoetrope.training.rates"

    @abstractmethod
    def share(self, examples: int, total: int) -> float:
        """The share, in (0, 1], after `examples` of a training that lasts `total`."""
