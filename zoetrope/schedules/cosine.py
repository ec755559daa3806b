"""The continuous-time cosine schedule [Nichol & Dhariwal 2021, arXiv:2102.09672; Salimans & Ho 2022]."""

import math
from typing import Self

import torch
from pydantic import model_validator
from torch import Tensor

from zoetrope.diffusion.level import LogSNR, NoiseLevel
from zoetrope.schedules import Schedule


class Cosine(Schedule):
    """Uniform t is uniform angle phi = arctan(sigma / alpha).

    Truncated to [logsnr_min, logsnr_max] [Salimans & Ho 2022, arXiv:2202.00512, Appendix E; Ho et al. 2022,
    arXiv:2210.02303, Sec. 2.1], then moved as a whole by `shift` [Hoogeboom et al. 2023, arXiv:2301.11093, Sec. 3.1].

    Attributes:
        logsnr_min: ln(alpha^2 / sigma^2) at t = 1, the most noise, before the shift; below logsnr_max.
        logsnr_max: the same at t = 0, the least noise.
        shift: added to logsnr. Negative values spend more of t at high noise, where the layout of large, redundant
            videos is decided: averaging n equal pixels raises their logsnr by ln n.
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
        low, high = self._angles()
        phi = low + t.double() * (high - low)
        if self.shift == 0:
            return NoiseLevel(phi.cos(), phi.sin(), -2 * torch.log(torch.tan(phi)))
        return NoiseLevel.variance_preserving(-2 * torch.log(torch.tan(phi)) + self.shift)

    def time(self, logsnr: Tensor) -> Tensor:
        low, high = self._angles()
        return (torch.atan(torch.exp(-0.5 * (logsnr.double() - self.shift))) - low) / (high - low)

    def _angles(self) -> tuple[float, float]:
        """The angles at t = 0 and t = 1."""
        low, high = (math.atan(math.exp(-0.5 * bound)) for bound in (self.logsnr_max, self.logsnr_min))
        return low, high
