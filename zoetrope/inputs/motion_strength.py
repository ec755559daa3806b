"""How much moves, as a number that is measured from each clip: nobody need write it down.

Stable Video Diffusion tells its network the amount of motion, by optical flow [Blattmann et al. 2023, arXiv:2311.15127,
Sec. 4 and App. C]. Ours is the mean change of pixels, see `zoetrope.video.motion`, which also flicker raises.
"""

import math
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import torch
from pydantic import Field

from zoetrope.conditioning import Conditioning
from zoetrope.config.errors import shown
from zoetrope.inputs import Asked, Examples, Extent, Input
from zoetrope.inputs.picture import frames_of_clips
from zoetrope.shapes import VideoShape
from zoetrope.video.motion import motion_strength

NAME = "motion_strength"
MOST = 100.0
"""All pixels from black to white in a second."""
USUAL = 50.0
"""What networks see as 1; no motion is -1."""


class MotionStrength(Input):
    """The mean change of pixels in a second, in percent of black to white: 0 is a still; toybox's clips have 1 to 10.

    Data may tell it as "motion_strength", as latents do of the clips that they are of; otherwise it is measured in
    training. Networks see its logarithm. It is unknown of pictures.

    Attributes:
        usual_value: in sampling where none is asked for; None: unknown.
        dropout: share of training examples in which it is unknown.
    """

    usual_value: Annotated[float, Field(ge=0, le=MOST)] | None = None
    dropout: Annotated[float, Field(ge=0, le=1)] = 0.1

    @property
    def asked(self) -> Asked:
        """See `Input`."""
        return Asked("number", lo=0.0, hi=MOST)

    def of_examples(self, shape: VideoShape, examples: Examples) -> Conditioning:
        """That of each clip. Raises ValueError that names the clip for one that the data tell and that is none."""
        values = list[float]()
        for row, (samples, frames) in enumerate(zip(examples.samples, frames_of_clips(examples).tolist(), strict=True)):
            if frames < 2:
                values.append(math.nan)
            elif (told := _told_of(samples[0])) is not None:
                values.append(told)
            else:
                clip = examples.pixels(examples.x[row : row + 1, :, :frames])
                rate = shape.fps if examples.rates is None else float(examples.rates[row])
                values.append(float(motion_strength(clip, rate)))
        given = strength_given(torch.tensor(values))
        return given.without(NAME, examples.uniform() < self.dropout)

    def of_told(self, samples: Sequence[Any]) -> Conditioning:
        """That of the samples that tell it."""
        told = (_told_of(one) for one in samples)
        return strength_given(torch.tensor([math.nan if strength is None else strength for strength in told]))

    def usual(self, shape: VideoShape) -> float | None:
        """The usual value."""
        return self.usual_value

    def of_request(self, value: Any, count: int) -> Conditioning:
        """A strength for all videos; None: unknown. Raises ValueError unless it is a number from 0 to 100."""
        if value is None:
            return strength_given(torch.full((count,), math.nan))
        try:
            strength = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            strength = math.nan
        if not 0 <= strength <= MOST:
            wanted = f"a number from 0, nothing moves, to {MOST:g}"
            raise ValueError(f"{NAME}: expected {wanted}, got {shown(value)}")
        return strength_given(torch.full((count,), strength))

    def blank(self, extent: Extent) -> Conditioning:
        """Nothing moves."""
        return strength_given(torch.zeros(extent.videos))


def _told_of(sample: Any) -> float | None:
    """What data tell of a clip; None: nothing. Raises ValueError that names the clip unless it is 0 or more."""
    if NAME not in sample.told:
        return None
    told = sample.told[NAME]
    if isinstance(told, bool) or not isinstance(told, int | float) or not 0 <= told <= sys.float_info.max:
        raise ValueError(f"{sample.name}: {NAME}: expected a number of 0 or more, got {shown(told)}")
    return float(told)


def strength_given(values: torch.Tensor) -> Conditioning:
    """Conditioning by strengths (B,), NaN for unknown ones, as networks see them."""
    return Conditioning(numbers={NAME: 2 * torch.log1p(values.float()) / math.log1p(USUAL) - 1})
