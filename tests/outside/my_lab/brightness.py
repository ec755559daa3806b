"""How bright a video is: a number that a network is told."""

from typing import Annotated, Any

import torch
from pydantic import Field

from zoetrope.conditioning import Conditioning
from zoetrope.inputs import Examples, Extent, Input
from zoetrope.shapes import VideoShape


class Brightness(Input):
    """The mean of all values, from 0 (black) to 1 (white); NaN: unknown.

    Attributes:
        dropout: share of the examples of training whose brightness is not told.
    """

    dropout: Annotated[float, Field(ge=0, le=1)] = 0.1

    def of_examples(self, shape: VideoShape, examples: Examples) -> Conditioning:
        mean = (examples.x.mean((1, 2, 3, 4)) + 1) / 2
        return Conditioning(numbers={self.name: mean.where(examples.uniform() >= self.dropout, torch.nan)})

    def of_request(self, value: Any, count: int) -> Conditioning:
        if value is not None and not (isinstance(value, int | float) and 0 <= value <= 1):
            raise ValueError(f"{self.name}: expected a number from 0 to 1, got {value!r}")
        return Conditioning(numbers={self.name: torch.full((count,), torch.nan if value is None else float(value))})

    def blank(self, extent: Extent) -> Conditioning:
        return Conditioning(numbers={self.name: torch.zeros(extent.videos)})
