"""Mean and deviation: for channels without ends, such as temperature, velocity and pressure."""

from typing import ClassVar, Self

from pydantic import model_validator
from torch import Tensor

from zoetrope.scales import Finite, Scale


class Deviation(Scale):
    """x = (value - mean) / deviation: data of mean 0 and deviation 1, without ends.

    Attributes:
        mean: of the channel over the training data, in units.
        deviation: the standard deviation of the channel over the training data, in units, above 0.
    """

    bounded: ClassVar[bool] = False

    mean: Finite = 0.0
    deviation: Finite

    @model_validator(mode="after")
    def _varies(self) -> Self:
        if not self.deviation > 0:
            raise ValueError(
                f"deviation: expected a number above 0, got {self.deviation:g}; a channel that is constant has nothing "
                "to learn: leave it out"
            )
        return self

    def forward(self, values: Tensor) -> Tensor:
        return (values - self.mean) / self.deviation

    def inverse(self, x: Tensor) -> Tensor:
        return x * self.deviation + self.mean
