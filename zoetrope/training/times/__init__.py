"""At which diffusion times a network is trained, one distribution per file."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from zoetrope.config import Kind
from zoetrope.schedules import Schedule


class Times(Kind, ABC):
    """A distribution of the times of training, by its quantile function.

    A batch draws one number from each of equal parts of [0, 1), which leaves less to chance than independent draws;
    the quantile function keeps that.
    """

    folder: ClassVar[str] = "zoetrope.training.times"

    @abstractmethod
    def __call__(self, u: Tensor, schedule: Schedule) -> Tensor:
        """The times t in [0, 1] below which a time falls with probabilities u in [0, 1), shaped like u."""
