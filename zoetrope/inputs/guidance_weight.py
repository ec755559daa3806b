"""The guidance weight as an input of a distilled network [Meng et al. 2023, arXiv:2210.03142, Sec. 3.1]."""

from typing import Any

import torch

from zoetrope.conditioning import Conditioning, Weight
from zoetrope.inputs import Examples, Extent, Input
from zoetrope.shapes import VideoShape

NUMBER = "guidance"


class GuidanceWeight(Input):
    """A weight w, uniformly distributed in training.

    Attributes:
        low, high: the range of w.
    """

    low: Weight = 0.0
    high: Weight = 0.0

    @property
    def name(self) -> str:
        """ "guidance"."""
        return NUMBER

    def of_examples(self, shape: VideoShape, examples: Examples) -> Conditioning:
        """A random weight for each video."""
        return weight_given(self.low + (self.high - self.low) * examples.uniform())

    def of_request(self, value: Any, count: int) -> Conditioning:
        """One weight for all videos, or one for each of their frames, (B, F)."""
        return weight_given(value if isinstance(value, torch.Tensor) else torch.full((count,), float(value)))

    def blank(self, extent: Extent) -> Conditioning:
        """No guidance."""
        return weight_given(torch.zeros(extent.videos))


def weight_given(weight: torch.Tensor) -> Conditioning:
    """Conditioning that is a guidance weight (B,) alone."""
    return Conditioning(numbers={NUMBER: weight})


def weight_of(given: Conditioning) -> torch.Tensor:
    """The guidance weight (B,) in a conditioning."""
    return given.numbers[NUMBER]
