"""Guidance that rises linearly over frames, for image to video: the first frames need hardly any."""

import torch

from zoetrope.conditioning import Conditioning, Weight
from zoetrope.guidance import Guidance, Share
from zoetrope.guidance.picture import PICTURE
from zoetrope.guidance.text import TEXT, with_and_without_text

FIRST_FRAME = "first_frame"
TOLD = (TEXT, PICTURE, FIRST_FRAME)


class OverFrames(Guidance):
    """(1 + w) f(z, text, picture, first frame) - w f(z), whose w rises linearly from the first frame to the last.

    Stable Video Diffusion [Blattmann et al. 2023, arXiv:2311.15127, Sec. 4.3]: with one weight for all frames, a small
    one leaves the picture, and a large one saturates colours. Its scale, 1 + w, rises from 1 to 3.

    Attributes:
        first: w of the first frame.
        last: w of the last frame; equal to `first` it is guidance with one weight.
    """

    first: Weight = 0.0
    last: Weight = 0.0

    @property
    def varies(self) -> bool:
        """Unless both ends are equal."""
        return self.first != self.last

    def weights(self, steps: int) -> list[float]:
        """The larger of the two, for each step."""
        return [max(self.first, self.last)] * steps

    def variants(self, given: Conditioning, negative: Conditioning | None) -> list[Conditioning]:
        """With all that is told, and with no picture, no first frame, and the negative text or none."""
        if given.names.isdisjoint(TOLD):
            return [given]
        return [given, with_and_without_text(given, negative)[-1].without(PICTURE).without(FIRST_FRAME)]

    def shares(self, step: int, steps: int) -> list[Share]:
        """1 + w and -w of the last frame."""
        return [1 + self.last, -self.last]

    def shares_of_frames(self, step: int, steps: int, frames: int) -> list[Share]:
        """1 + w and -w of each frame, (F,)."""
        if not self.varies:
            return self.shares(step, steps)
        weight = torch.linspace(self.first, self.last, frames, dtype=torch.float64, device="cpu")
        return [1 + weight, -weight]
