"""A logarithm with a floor: for amounts from 0 over many orders of magnitude, such as rain rates and concentrations."""

import math
from typing import ClassVar, Self

import torch
from pydantic import model_validator
from torch import Tensor

from zoetrope.scales import Finite, Scale


class Log(Scale):
    """x = 2 ln(1 + value / floor) / ln(1 + hi / floor) - 1: from 0..hi to [-1, 1].

    The logarithm is that of FourCastNet's precipitation [Pathak et al. 2022, arXiv:2202.11214]: about linear below
    the floor, so that 0 is a value like others, and a logarithm far above it.

    Attributes:
        floor: the amount below which differences hardly matter, in units, above 0.
        hi: the largest amount that there is, in units, above the floor.
    """

    bounded: ClassVar[bool] = True

    floor: Finite
    hi: Finite

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.floor > 0:
            raise ValueError(f"floor: expected a number above 0, got {self.floor:g}")
        if not self.floor < self.hi:
            raise ValueError(f"floor: expected a number below hi = {self.hi:g}, got {self.floor:g}")
        return self

    def forward(self, values: Tensor) -> Tensor:
        """See `Scale.forward`. Raises ValueError for values below 0."""
        if bool((values < 0).any()):
            least = float(values[values < 0].min())
            raise ValueError(f"expected values of at least 0 on a logarithmic scale, got {least:g}")
        return torch.log1p(values / self.floor) * (2 / self._length) - 1

    def inverse(self, x: Tensor) -> Tensor:
        return torch.expm1((x + 1) * (self._length / 2)) * self.floor

    @property
    def _length(self) -> float:
        return math.log1p(self.hi / self.floor)
