"""The brightness that a video should have: a control, for colouring and restyling."""

from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from zoetrope.conditioning import Conditioning
from zoetrope.inputs import ControlClip, Examples, Extent, Input
from zoetrope.inputs._aligned import control_given, dropped, expect_clip, on_grid
from zoetrope.shapes import VideoShape

BT709 = (0.2126, 0.7152, 0.0722)  # of red, green and blue


class Luma(Input):
    """A map of one channel: the luma of each pixel, from -1 for black to 1 for white [ITU-R BT.709].

    In training it is computed from the clip. In sampling a clip is given, whose own colours do not count. An unknown
    one leaves the network as it was without this control.

    Attributes:
        dropout: share of training examples in which it is unknown, to learn beside other controls.
    """

    of_pixels: ClassVar[bool] = True

    dropout: Annotated[float, Field(ge=0, le=1)] = 0.0

    @property
    def aligned(self) -> bool:
        """True."""
        return True

    def of_clips(self, videos: Tensor) -> Conditioning:
        """The luma of clips."""
        return control_given(self.name, luma_of(videos), videos.new_ones(len(videos)))

    def of_examples(self, shape: VideoShape, examples: Examples) -> Conditioning:
        """The luma of each video, unknown in some."""
        return control_given(self.name, luma_of(examples.x), dropped(self.dropout, examples.uniform()))

    def fitted(self, value: Any, shape: VideoShape) -> ControlClip:
        """The clip on the stage's grid; of a larger one a pixel is the mean of those in it."""
        return on_grid(expect_clip(self.name, value), shape)

    def of_request(self, value: Any, count: int) -> Conditioning:
        """The luma of a clip, for all videos. Raises ValueError for anything else."""
        clip = expect_clip(self.name, value)
        luma = luma_of(clip.video[None]).expand(count, -1, -1, -1, -1)
        return control_given(self.name, luma, torch.full((count,), float(clip.scale), device=luma.device))

    def unknown(self, extent: Extent) -> Conditioning:
        """It is not known."""
        return self.blank(extent)

    def blank(self, extent: Extent) -> Conditioning:
        """Grey maps of no effect."""
        return control_given(self.name, torch.zeros(extent.videos, 1, *extent.grid), torch.zeros(extent.videos))


def luma_of(videos: Tensor) -> Tensor:
    """The luma (B, 1, F, H, W) of videos (B, C, F, H, W) in [-1, 1]; of other channels than RGB their mean."""
    if videos.shape[1] != len(BT709):
        return videos.mean(1, keepdim=True)
    weights = torch.tensor(BT709, dtype=videos.dtype, device=videos.device)
    return (videos * weights[:, None, None, None]).sum(1, keepdim=True)
