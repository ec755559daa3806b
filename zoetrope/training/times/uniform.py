"""Uniformly distributed times [Ho et al. 2022, arXiv:2210.02303, Sec. 2.1]."""

from torch import Tensor

from zoetrope.schedules import Schedule
from zoetrope.training.times import Times


class Uniform(Times):
    """t is uniform in [0, 1]; the schedule decides which noise levels are frequent."""

    def __call__(self, u: Tensor, schedule: Schedule) -> Tensor:
        return u
