"""Pictures that a pretrained ControlNet reads, such as edges, depths or poses [Zhang et al. 2023, arXiv:2302.05543]."""

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import pixel_unshuffle

from zoetrope.conditioning import Conditioning
from zoetrope.inputs import ControlClip, Examples, Extent, Input
from zoetrope.inputs._aligned import control_given, expect_clip, on_grid
from zoetrope.shapes import VideoShape

CHANNELS = 3


class HintInput(Input):
    """A clip or a picture in colours, as the control was trained with: white edges on black, say.

    It has the size of the stage's videos in pixels, also where z is latents; the f x f pixels of a latent become
    channels, in [0, 1]. Training examples do not show any, so that it is unknown then.

    Attributes:
        label: its name; several controls have different ones.
        factor: f, pixels per cell of z's grid, along height and along width: those of the stage's codec.
    """

    label: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)] = "hint"
    factor: Annotated[int, Field(ge=1, le=64)] = 8

    @property
    def name(self) -> str:
        """The label."""
        return self.label

    @property
    def aligned(self) -> bool:
        """True."""
        return True

    def of_clips(self, videos: Tensor) -> Conditioning:
        """Nothing is known of what clips would look like to the control."""
        return self.blank(Extent(len(videos), (videos.shape[2], videos.shape[3], videos.shape[4]), 0, 0)).to(
            videos.device, videos.dtype
        )

    def of_examples(self, shape: VideoShape, examples: Examples) -> Conditioning:
        """See `of_clips`."""
        return self.of_clips(examples.x)

    def fitted(self, value: Any, shape: VideoShape) -> ControlClip:
        """The clip on the grid of the stage's pixels. Raises ValueError for one that it would be computed from."""
        clip = expect_clip(self.name, value)
        if clip.derive:
            raise ValueError("expected what the control reads itself (--control, control), for it cannot be computed")
        return on_grid(clip, shape.with_(height=self.factor * shape.height, width=self.factor * shape.width))

    def of_request(self, value: Any, count: int) -> Conditioning:
        """A clip on the grid of pixels, for all videos. Raises ValueError for anything else."""
        clip = expect_clip(self.name, value)
        folded = pixel_unshuffle((clip.video.movedim(1, 0) + 1) / 2, self.factor).movedim(0, 1)
        scale = torch.full((count,), float(clip.scale), device=folded.device)
        return control_given(self.name, folded.expand(count, -1, -1, -1, -1), scale)

    def unknown(self, extent: Extent) -> Conditioning:
        """No picture is known."""
        return self.blank(extent)

    def blank(self, extent: Extent) -> Conditioning:
        """Black pictures of no effect."""
        grid = torch.zeros(extent.videos, CHANNELS * self.factor**2, *extent.grid)
        return control_given(self.name, grid, torch.zeros(extent.videos))
