"""The frame rate as a number, so that one network makes videos of many rates.

Make-A-Video [Singer et al. 2022, arXiv:2209.14792, Sec. 3.2] trains on random rates from 1 to 30 frames per second.
"""

import math
from typing import Annotated, Any

import torch
from pydantic import Field

from zoetrope.conditioning import Conditioning
from zoetrope.config.errors import shown
from zoetrope.inputs import Examples, Extent, Input
from zoetrope.shapes import VideoShape

NUMBER = "fps"


class FrameRate(Input):
    """Frames per second: in training those of the example, in sampling those of the stage's videos.

    `--fps` changes the latter, and `--given fps=N` says another number than the video has.

    Attributes:
        dropout: share of training examples whose rate is unknown.
    """

    dropout: Annotated[float, Field(ge=0, le=1)] = 0.0

    def of_examples(self, shape: VideoShape, examples: Examples) -> Conditioning:
        """The rate of each video: its own, where training shows clips at several, else that of the grid."""
        told = examples.rates
        rates = torch.full((len(examples.x),), float(shape.fps)) if told is None else told.float()
        return Conditioning(numbers={NUMBER: rates.masked_fill(examples.uniform() < self.dropout, math.nan)})

    def usual(self, shape: VideoShape) -> float:
        """The rate of the stage's videos."""
        return shape.fps

    def of_request(self, value: Any, count: int) -> Conditioning:
        """One rate for all videos; None: unknown. Raises ValueError unless it is a positive number."""
        try:
            if isinstance(value, bool):
                raise TypeError
            rate = math.nan if value is None else float(value)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"{NUMBER}: expected frames per second, such as 8, got {shown(value)}") from None
        if value is not None and not 0 < rate < math.inf:
            raise ValueError(f"{NUMBER}: expected a positive number of frames per second, got {rate:g}")
        return Conditioning(numbers={NUMBER: torch.full((count,), rate)})

    def blank(self, extent: Extent) -> Conditioning:
        """One frame per second."""
        return Conditioning(numbers={NUMBER: torch.ones(extent.videos)})
