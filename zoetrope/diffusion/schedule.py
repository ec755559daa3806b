"""Noise schedules: diffusion time t in [0, 1] -> noise level. t = 0 is data, t = 1 is noise.

The forward process is q(z_t | x) = N(alpha_t x, sigma_t^2 I) and logsnr = log(alpha^2 / sigma^2)
[Kingma et al. 2021, arXiv:2107.00630, Eq. 1-3].
"""

import math
from typing import Annotated, NamedTuple, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from zoetrope.config import Config

LogSNR = Annotated[float, Field(ge=-60, le=60)]


class NoiseLevel(NamedTuple):
    """A point of the forward process for each example of a batch; all three have shape (B,) and are float64.

    float32 would be off by 1e-3 in logsnr and by 0.05 % in alpha at t = 1.
    """

    alpha: Tensor
    sigma: Tensor
    logsnr: Tensor

    @classmethod
    def variance_preserving(cls, logsnr: Tensor) -> Self:
        """The level with this logsnr (B,) and alpha^2 + sigma^2 = 1, computed without cancellation."""
        logsnr = logsnr.double()
        return cls(torch.sigmoid(logsnr).sqrt(), torch.sigmoid(-logsnr).sqrt(), logsnr)


class Cosine(Config):
    """Continuous-time cosine schedule: uniform t is uniform angle phi = arctan(sigma / alpha).

    Truncated to [logsnr_min, logsnr_max] [Salimans & Ho 2022, arXiv:2202.00512, Appendix E; Ho et al. 2022,
    arXiv:2210.02303, Sec. 2.1], then moved as a whole by `shift` [Hoogeboom et al. 2023, arXiv:2301.11093, Sec. 3.1].

    Attributes:
        logsnr_min: ln(alpha^2 / sigma^2) at t = 1, where there is most noise, before the shift; below logsnr_max.
        logsnr_max: the same at t = 0, where there is least.
        shift: added to logsnr. Negative values spend more of t at high noise, which is where the layout of large,
            redundant videos is decided: n equal pixels raise the signal-to-noise ratio of their mean by ln n.
    """

    logsnr_min: LogSNR = -20.0
    logsnr_max: LogSNR = 20.0
    shift: LogSNR = 0.0

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.logsnr_min < self.logsnr_max:
            raise ValueError(
                f"logsnr_min: expected a number below logsnr_max = {self.logsnr_max:g}, got {self.logsnr_min:g}"
            )
        return self

    def __call__(self, t: Tensor) -> NoiseLevel:
        """The noise level at diffusion time t (B,), each in [0, 1]."""
        low, high = (math.atan(math.exp(-0.5 * bound)) for bound in (self.logsnr_max, self.logsnr_min))
        phi = low + t.double() * (high - low)
        if self.shift == 0:
            return NoiseLevel(phi.cos(), phi.sin(), -2 * torch.log(torch.tan(phi)))
        return NoiseLevel.variance_preserving(-2 * torch.log(torch.tan(phi)) + self.shift)

    def time(self, logsnr: Tensor) -> Tensor:
        """The diffusion time t (B,) at which the schedule has this logsnr (B,): the inverse of the schedule."""
        low, high = (math.atan(math.exp(-0.5 * bound)) for bound in (self.logsnr_max, self.logsnr_min))
        return (torch.atan(torch.exp(-0.5 * (logsnr.double() - self.shift))) - low) / (high - low)
