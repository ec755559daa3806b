"""Every time as often as any other [Ho et al. 2022, arXiv:2210.02303, Sec. 2.1]."""

from torch import Tensor

from zoetrope.schedules import Schedule
from zoetrope.training.times import Times


class Uniform(Times):
    """t is uniform in [0, 1]; which noise levels that makes frequent is the schedule's choice."""

    def __call__(self, u: Tensor, schedule: Schedule) -> Tensor:
        return u
