"""The structure that a video should have, more or less closely: what is where, but not what it looks like.

Gen-1 [Esser et al. 2023, arXiv:2302.03011, Sec. 3.2]: an estimate s of the structure of each frame, blurred and reduced
in t_s steps, is concatenated to z, with four channels that say t_s. The more it is blurred, the less it binds.
"""

import math
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from zoetrope.conditioning import Conditioning
from zoetrope.inputs import ControlClip, Examples, Extent, Input
from zoetrope.inputs._aligned import control_given, dropped, expect_clip, on_grid
from zoetrope.inputs.edges import drawn_edges, edges_of
from zoetrope.inputs.luma import luma_of
from zoetrope.shapes import VideoShape
from zoetrope.video.resample import resize

STEP = 0.75
"""Height and width after a step of blurring, of those before it."""
WAVES = (math.pi / 8, math.pi / 2)
"""Of the embedding of t_s, in radians: sine and cosine of each, four channels."""
CHANNELS = 1 + 2 * len(WAVES)


class Structure(Input):
    """A map of six channels: the blurred estimate, the four of t_s, and 1 where it is known.

    In training it is computed from the clip, frame by frame; t_s is 0 in some examples, and in the others any from 0 to
    `most`, each as likely. In sampling a clip is given that shows it or that it is computed from. Unknown structure is
    zeros in all channels.

    Attributes:
        estimate: what is taken for structure: "edges", as `zoetrope.inputs.edges` finds them, 0 or 1, or "luma", from
            -1 to 1. The paper's are depths of a network; a new kind of input can read them.
        threshold: of edges, a step of a colour, from 0 to 1 of its range.
        most: the largest t_s, 7 in the paper. Each step reduces height and width to three quarters.
        sharp: share of training examples with t_s = 0; the others have any. The paper has 25 of 35 thousand steps with
            t_s = 0, first, and then others.
        blur: t_s in sampling; 0 follows the structure most closely.
        dropout: share of training examples whose structure is unknown, for videos without any; the paper has none.

    Raises ValueError for a blur that training does not have.
    """

    of_pixels: ClassVar[bool] = True

    estimate: Literal["edges", "luma"] = "edges"
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.2
    most: Annotated[int, Field(ge=0, le=15)] = 7
    sharp: Annotated[float, Field(ge=0, le=1)] = 0.7
    blur: Annotated[int, Field(ge=0, le=15)] = 0
    dropout: Annotated[float, Field(ge=0, le=1)] = 0.1

    @model_validator(mode="after")
    def _was_trained(self) -> "Structure":
        if self.blur > self.most:
            raise ValueError(f"blur: expected at most {self.most}, the most that training has, got {self.blur}")
        return self

    @property
    def aligned(self) -> bool:
        """True."""
        return True

    @property
    def size(self) -> int:
        """Five: one of the estimate, and four of t_s."""
        return CHANNELS

    def of_clips(self, videos: Tensor) -> Conditioning:
        """The structure of clips, blurred as in sampling."""
        steps = torch.full((len(videos),), self.blur, device=videos.device)
        return self._given(self._estimated(videos), steps, videos.new_ones(len(videos)))

    def of_examples(self, shape: VideoShape, examples: Examples) -> Conditioning:
        """The structure of each video, sharp or blurred in a random number of steps, unknown in some."""
        sharp = examples.uniform() < self.sharp
        steps = (examples.uniform() * (self.most + 1)).long().masked_fill(sharp, 0)
        return self._given(self._estimated(examples.x), steps, dropped(self.dropout, examples.uniform()))

    def fitted(self, value: Any, shape: VideoShape) -> ControlClip:
        """The clip on the stage's grid; of a larger drawing of edges a pixel has one where any of those in it has.

        Raises ValueError for a scale between 0 and 1, or larger: how closely structure is followed is its `blur`.
        """
        clip = expect_clip(self.name, value)
        if clip.scale not in (0, 1):
            raise ValueError(
                f"{self.name}: scale: expected 1, or 0 for none, got {clip.scale:g}; its field blur (--set "
                f"STAGE.inputs.{self.name}.blur=N) says how loosely it is followed"
            )
        return on_grid(clip, shape, brightest=self.estimate == "edges" and not clip.derive)

    def of_request(self, value: Any, count: int) -> Conditioning:
        """The structure that a clip shows or has, for all videos. Raises ValueError for anything else."""
        clip = expect_clip(self.name, value)
        video = clip.video[None]
        shown = drawn_edges(video) if self.estimate == "edges" and not clip.derive else self._estimated(video)
        steps = torch.full((1,), self.blur, device=video.device)
        scale = torch.full((1,), float(clip.scale), device=video.device)
        return self._given(shown, steps, scale).each(lambda value: value.expand(count, *value.shape[1:]))

    def unknown(self, extent: Extent) -> Conditioning:
        """No structure is known."""
        return self.blank(extent)

    def blank(self, extent: Extent) -> Conditioning:
        """Zeros."""
        grid = torch.zeros(extent.videos, CHANNELS + 1, *extent.grid)
        return control_given(self.name, grid, torch.zeros(extent.videos))

    def _estimated(self, videos: Tensor) -> Tensor:
        """The estimate (B, 1, F, H, W) of videos (B, C, F, H, W) in [-1, 1], sharp."""
        return edges_of(videos, self.threshold) if self.estimate == "edges" else luma_of(videos)

    def _given(self, estimate: Tensor, steps: Tensor, scale: Tensor) -> Conditioning:
        """The conditioning by estimates (B, 1, F, H, W), blurred in so many steps (B,), known where scale (B,) is 1."""
        blurred = torch.cat([blur(one[None], int(n)) for one, n in zip(estimate, steps.tolist(), strict=True)])
        told = steps_told(steps).to(blurred)[..., None, None, None].expand(-1, -1, *blurred.shape[2:])
        return control_given(self.name, torch.cat([blurred, told, torch.ones_like(blurred)], 1), scale)


def blur(maps: Tensor, steps: int) -> Tensor:
    """Maps (B, C, F, H, W), reduced `steps` times to three quarters of their height and width, and enlarged again."""
    height, width = maps.shape[3:]
    small = maps
    for step in range(1, steps + 1):
        small = resize(small, *(max(1, round(size * STEP**step)) for size in (height, width)))
    return resize(small, height, width)


def steps_told(steps: Tensor) -> Tensor:
    """The embedding (B, 4) of numbers of steps (B,): no two of up to 15 are alike, and none is zeros."""
    angles = steps[:, None].double() * torch.tensor(WAVES, dtype=torch.float64, device=steps.device)
    return torch.cat([angles.sin(), angles.cos()], 1)
