"""Distributions of diffusion times in training, one per file."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from zoetrope.config import Kind
from zoetrope.schedules import Schedule


class Times(Kind, ABC):
    """A distribution of training times, given by its quantile function.

    A batch draws stratified numbers, one from each of equal parts of [0, 1), which have less variance than independent
    draws; the quantile function preserves the strata.
    """

    folder: ClassVar[str] = "zoetrope.training.times"

    @abstractmethod
    def __call__(self, u: Tensor, schedule: Schedule) -> Tensor:
        """The quantiles of the distribution: times t in [0, 1] for probabilities u in [0, 1), shaped like u."""
