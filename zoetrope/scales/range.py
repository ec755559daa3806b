"""A range of values: for channels with ends that are never passed, such as brightness, fractions and probabilities."""

from typing import ClassVar, Self

from pydantic import model_validator
from torch import Tensor

from zoetrope.scales import Finite, Scale


class Range(Scale):
    """x = 2 (value - lo) / (hi - lo) - 1: from lo..hi to [-1, 1].

    Attributes:
        lo: the smallest value that there is, in units.
        hi: the largest one, above lo.
    """

    bounded: ClassVar[bool] = True

    lo: Finite
    hi: Finite

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.lo < self.hi:
            raise ValueError(f"lo: expected a number below hi = {self.hi:g}, got {self.lo:g}")
        return self

    def forward(self, values: Tensor) -> Tensor:
        return (values - self.lo) * (2 / (self.hi - self.lo)) - 1

    def inverse(self, x: Tensor) -> Tensor:
        return (x + 1) * ((self.hi - self.lo) / 2) + self.lo
