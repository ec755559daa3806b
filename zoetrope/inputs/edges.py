"""Edges that a video should have: a control, as ControlNet's of Canny edges [Zhang et al. 2023, arXiv:2302.05543]."""

from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from zoetrope.conditioning import Conditioning
from zoetrope.inputs import ControlClip, Examples, Extent, Input
from zoetrope.inputs._aligned import control_given, dropped, expect_clip, on_grid
from zoetrope.shapes import VideoShape

DRAWN = 0.5  # of a drawing's brightness in [0, 1], where an edge begins


class Edges(Input):
    """A map of one channel, 1 on edges and 0 elsewhere.

    In training it is computed from the clip, frame by frame: the gradient of each colour by Sobel's operator, in units
    where a step from black to white is 1; the largest of the colours; 1 where that exceeds the threshold. In sampling a
    drawing of edges is given, white on black, or a clip to compute them from. Unknown edges leave the network as it was
    without this control.

    Attributes:
        threshold: the step of a colour, from 0 to 1 of its range, from which on there is an edge.
        dropout: share of training examples whose edges are unknown, to learn beside other controls.
    """

    of_pixels: ClassVar[bool] = True

    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.2
    dropout: Annotated[float, Field(ge=0, le=1)] = 0.0

    @property
    def aligned(self) -> bool:
        """True."""
        return True

    def of_clips(self, videos: Tensor) -> Conditioning:
        """The edges of clips."""
        return control_given(self.name, edges_of(videos, self.threshold), videos.new_ones(len(videos)))

    def of_examples(self, shape: VideoShape, examples: Examples) -> Conditioning:
        """The edges of each video, unknown in some."""
        scale = dropped(self.dropout, examples.uniform())
        return control_given(self.name, edges_of(examples.x, self.threshold), scale)

    def fitted(self, value: Any, shape: VideoShape) -> ControlClip:
        """The clip on the stage's grid; of a larger drawing a pixel has an edge where any of those in it has."""
        clip = expect_clip(self.name, value)
        return on_grid(clip, shape, brightest=not clip.derive)

    def of_request(self, value: Any, count: int) -> Conditioning:
        """The edges that a clip shows or has, for all videos. Raises ValueError for anything else."""
        clip = expect_clip(self.name, value)
        video = clip.video[None]
        edges = edges_of(video, self.threshold) if clip.derive else drawn_edges(video)
        scale = torch.full((count,), float(clip.scale), device=video.device)
        return control_given(self.name, edges.expand(count, -1, -1, -1, -1), scale)

    def unknown(self, extent: Extent) -> Conditioning:
        """No edges are known."""
        return self.blank(extent)

    def blank(self, extent: Extent) -> Conditioning:
        """Maps without edges, of no effect."""
        return control_given(self.name, torch.zeros(extent.videos, 1, *extent.grid), torch.zeros(extent.videos))


def edges_of(videos: Tensor, threshold: float) -> Tensor:
    """The edges (B, 1, F, H, W), 0 or 1, of videos (B, C, F, H, W) in [-1, 1], by Sobel's operator; see `Edges`."""
    frames = (videos.float() / 2).transpose(1, 2).flatten(0, 1)
    frames = functional.pad(frames, (1, 1, 1, 1), mode="replicate")
    across = frames[..., :-2] + 2 * frames[..., 1:-1] + frames[..., 2:]
    down = frames[..., :-2, :] + 2 * frames[..., 1:-1, :] + frames[..., 2:, :]
    vertical = across[..., 2:, :] - across[..., :-2, :]
    horizontal = down[..., 2:] - down[..., :-2]
    steepest = torch.hypot(vertical, horizontal).amax(1, keepdim=True) / 4
    return (steepest > threshold).float().unflatten(0, (len(videos), -1)).transpose(1, 2)


def drawn_edges(video: Tensor) -> Tensor:
    """The edges (B, 1, F, H, W) of a drawing (B, C, F, H, W), bright on dark."""
    return ((video.mean(1, keepdim=True) + 1) / 2 > DRAWN).float()
