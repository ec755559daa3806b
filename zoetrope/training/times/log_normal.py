"""The log-normal noise levels of EDM and Stable Video Diffusion [Karras et al. 2022, arXiv:2206.00364, Tab. 1]."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from zoetrope.schedules import Schedule
from zoetrope.training.times import Times


class LogNormal(Times):
    """ln(sigma / alpha), which Karras et al. call ln(sigma), is normal, whatever the schedule.

    With the schedule "linear" it is the logit of t: the logit-normal times of Esser et al. 2024 (arXiv:2403.03206,
    Sec. 3.1), whose best mean and std are 0 and 1.

    Levels beyond the ends of the schedule become those at its ends.

    Attributes:
        mean: of ln(sigma / alpha). Stable Video Diffusion has -1.2 for images and 0.5 for video from text.
        std: its standard deviation; 1 and 1.4 there.
    """

    mean: Annotated[float, Field(ge=-30, le=30)] = -1.2
    std: Annotated[float, Field(gt=0, le=30)] = 1.2

    def __call__(self, u: Tensor, schedule: Schedule) -> Tensor:
        log_sigma = self.mean + self.std * 2**0.5 * torch.erfinv(2 * u.double() - 1)
        return schedule.time(-2 * log_sigma).clamp(0, 1)
