"""Noise schedules, one per file: diffusion time t in [0, 1] -> noise level. t = 0 is data, t = 1 is noise."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from zoetrope.config import Kind
from zoetrope.diffusion.level import NoiseLevel


class Schedule(Kind, ABC):
    """The noise level as a function of time: logsnr falls from t = 0 to t = 1.

    Attributes:
        preserves_variance: whether alpha^2 + sigma^2 is 1 at all times.
    """

    folder: ClassVar[str] = "zoetrope.schedules"
    preserves_variance: ClassVar[bool] = True

    @abstractmethod
    def __call__(self, t: Tensor) -> NoiseLevel:
        """The noise level at diffusion times in [0, 1], (B,) or (B, F), in float64 and in the shape of t."""

    @abstractmethod
    def time(self, logsnr: Tensor) -> Tensor:
        """The times at which the schedule has these logsnr, of any shape, in float64: its inverse.

        Below 0 or above 1 for a logsnr beyond the ends of the schedule.
        """

    def times(self, steps: int) -> Tensor:
        """The times at which a sampler's steps begin and end, (steps + 1,), in float64, from noise to data.

        From 1 to 0 in equal steps, unless a schedule has a spacing of its own.
        """
        return torch.linspace(1, 0, steps + 1, dtype=torch.float64)


def with_type(schedule: Any) -> Any:
    """The JSON of a schedule with a "type": without one it is the cosine, once the only schedule."""
    return {"type": "cosine", **schedule} if isinstance(schedule, dict) else schedule
