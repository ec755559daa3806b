"""Noise whose logsnr falls evenly in time [Kingma et al. 2021, arXiv:2107.00630]."""

from torch import Tensor

from zoetrope.diffusion.level import NoiseLevel
from zoetrope.schedules import Schedule


class Even(Schedule):
    """From a logsnr of `high` at t = 0 to one of `low` at t = 1."""

    high: float = 12.0
    low: float = -8.0

    def __call__(self, t: Tensor) -> NoiseLevel:
        return NoiseLevel.variance_preserving(self.high + (self.low - self.high) * t.double())

    def time(self, logsnr: Tensor) -> Tensor:
        return (logsnr.double() - self.high) / (self.low - self.high)
