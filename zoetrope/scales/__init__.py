"""Scales, one per file: the values of a channel, in units of their own, <-> the numbers that networks see.

Networks learn best from numbers of about unit size. A scale is elementwise and invertible, and is kept with the
weights, so that samples come out in the units of the data.
"""

from abc import ABC, abstractmethod
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from zoetrope.config import Kind

LARGEST = 1e30  # float32 ends at 3e38
Finite = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]


class Scale(Kind, ABC):
    """An invertible map of the values of a channel to the numbers that networks see.

    Attributes:
        bounded: whether data lie in [-1, 1] once they are scaled, so that samples may be clipped there.
    """

    folder: ClassVar[str] = "zoetrope.scales"
    bounded: ClassVar[bool]

    @abstractmethod
    def forward(self, values: Tensor) -> Tensor:
        """x of values in units, both float64, of any shape."""

    @abstractmethod
    def inverse(self, x: Tensor) -> Tensor:
        """Values in units of x, both float64, of any shape."""

    def to_model(self, values: Tensor) -> Tensor:
        """The numbers x that networks see, of values in units: elementwise, in any shape and dtype.

        Computed in float64, returned in float32; in float64 for values in float64. NaN stays NaN. Nothing is clipped:
        values beyond the ends of a bounded scale leave [-1, 1].
        """
        return self.forward(values.double()).to(_dtype(values))

    def to_units(self, x: Tensor) -> Tensor:
        """The values in units of x: the inverse of `to_model`, in the same dtypes."""
        return self.inverse(x.double()).to(_dtype(x))


def _dtype(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32
