"""The schedule of EDM and Stable Video Diffusion [Karras et al. 2022, arXiv:2206.00364, Eq. 5]."""

import math
from typing import Annotated, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from zoetrope.diffusion.level import NoiseLevel
from zoetrope.schedules import Schedule

NOTHING = 1e-13
"""Sigma / alpha of no noise."""
NoiseToSignal = Annotated[float, Field(ge=1e-13, le=1e13)]  # a logsnr of -60 to 60


class Karras(Schedule):
    """Uniform t is uniform (sigma / alpha)^(1 / rho).

    Karras et al. write x + sigma_EDM n for noised data, where we write alpha x + sigma n with alpha^2 + sigma^2 = 1:
    sigma_EDM = sigma / alpha and alpha = 1 / sqrt(1 + sigma_EDM^2), which is their scaling c_in of a network's input
    for data of unit variance.

    Attributes:
        sigma_min: sigma / alpha at t = 0, where there is least noise; below sigma_max.
        sigma_max: the same at t = 1. Stable Video Diffusion has 700.
        rho: larger values spend more of t at low noise; 1 is uniform sigma / alpha.
        reaches_least: whether the last step of a sampler begins at sigma_min, and ends without noise, as in the paper;
            otherwise it ends at sigma_min.
    """

    sigma_min: NoiseToSignal = 0.002
    sigma_max: NoiseToSignal = 80.0
    rho: Annotated[float, Field(ge=1, le=100)] = 7.0
    reaches_least: bool = False

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.sigma_min < self.sigma_max:
            raise ValueError(
                f"sigma_min: expected a number below sigma_max = {self.sigma_max:g}, got {self.sigma_min:g}"
            )
        return self

    def __call__(self, t: Tensor) -> NoiseLevel:
        low, high = self._roots()
        return NoiseLevel.variance_preserving(-2 * self.rho * torch.log(low + t.double() * (high - low)))

    def time(self, logsnr: Tensor) -> Tensor:
        low, high = self._roots()
        return (torch.exp(logsnr.double() / (-2 * self.rho)) - low) / (high - low)

    def times(self, steps: int) -> Tensor:
        """See `Schedule`. With `reaches_least`, steps begin from t = 1 to t = 0, a single one at t = 1.

        The last one ends below t = 0, where noise is negligible [Karras et al. 2022, Eq. 5].
        """
        if not self.reaches_least:
            return super().times(steps)
        end = self.time(torch.tensor([-2 * math.log(NOTHING)], dtype=torch.float64))
        return torch.cat([torch.linspace(1, 0, steps, dtype=torch.float64), end])

    def _roots(self) -> tuple[float, float]:
        """(sigma / alpha)^(1 / rho) at t = 0 and t = 1."""
        return self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
