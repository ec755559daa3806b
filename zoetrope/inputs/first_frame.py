"""The picture that a video begins with, beside z in every frame: image to video.

Stable Video Diffusion [Blattmann et al. 2023, arXiv:2311.15127, Sec. 4.3 and App. D]: the latents of a picture, with a
little noise whose level is told, are concatenated to the latents of each frame. The noise closes the gap between frames
of videos and pictures that are not quite like them. In a stage of pixels it is the picture itself.
"""

import logging
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from zoetrope.conditioning import Conditioning
from zoetrope.inputs import Asked, Examples, Extent, Input, Setting
from zoetrope.inputs.picture import frames_of_clips, picture_told
from zoetrope.shapes import VideoShape
from zoetrope.video.decoding import cover
from zoetrope.video.resample import resize

NAME, LEVEL, PURPOSE = "first_frame", "first_frame_logsnr", "first frame"
AS_LARGE = 0.02
"""The share of a picture that is cut off without saying so."""

log = logging.getLogger(__name__)


class FirstFrame(Input):
    """A map of as many channels as z: x_0 + sigma eps, of the first frame x_0, in each frame; zeros where unknown.

    It is told the logsnr of the noise, -2 ln sigma. `--picture` gives the picture, in any size: it is resized until it
    covers the videos, and its middle is cut out. Pictures of a pack are told none.

    Attributes:
        mean: of ln sigma in training, which is normal.
        std: its standard deviation.
        sigma: of the noise in sampling; 0.02 in Stable Video Diffusion.
        noised: what the noise is added to: "z", the latents, or the "pixels" that are then encoded, as the published
            weights learnt it. Training examples are latents, and have noise of the same level on these.
        dropout: share of training examples whose picture is unknown, for guidance.
    """

    mean: Annotated[float, Field(ge=-20, le=5)] = -3.0
    std: Annotated[float, Field(gt=0, le=5)] = 0.5
    sigma: Annotated[float, Field(ge=1e-6, le=100)] = 0.02
    noised: Literal["z", "pixels"] = "z"
    dropout: Annotated[float, Field(ge=0, le=1)] = 0.1

    @property
    def asked(self) -> Asked:
        """See `Input`."""
        return Asked("picture")

    def of_examples(self, shape: VideoShape, examples: Examples) -> Conditioning:
        """The first frame of each clip, with noise of a random level."""
        x = examples.x
        level = torch.cat([torch.randn(1, generator=draw) for draw in examples.draws])
        sigma = torch.exp(self.mean + self.std * level)
        noise = torch.stack([torch.randn(x[0, :, :1].shape, generator=draw) for draw in examples.draws])
        still = x[:, :, :1] + sigma[:, None, None, None, None] * noise
        of_clip = torch.arange(x.shape[2]) < frames_of_clips(examples)[:, None]
        given = first_frame_given(torch.where(of_clip[:, None, :, None, None], still, 0), self.logsnr(sigma))
        return given.without(NAME, examples.uniform() < self.dropout)

    def of_told(self, samples: Sequence[Any]) -> Conditioning:
        """The first frame of each sample, as in sampling."""
        x = torch.stack([one.video for one in samples])
        noise = torch.randn(x[:, :, :1].shape, generator=torch.Generator().manual_seed(0))
        still = x[:, :, :1] + self.sigma * noise
        return first_frame_given(still.expand_as(x), self._level(len(x)))

    @staticmethod
    def logsnr(sigma: Tensor) -> Tensor:
        """What is told of noise of this deviation."""
        return -2 * torch.log(sigma)

    def answer(self, value: Any, setting: Setting) -> Conditioning:
        """The picture as a `Video` of one frame, an array (H, W, 3) uint8 or a file. Raises ValueError for others."""
        shape, made = setting.shape.with_(frames=1), setting.made.with_(frames=1)
        pixels = _cut(picture_told(value)[:, :, None], (made.height, made.width))
        if self.noised == "pixels":
            noise = setting.noise(PURPOSE, made, pixels.shape[1])
            z = torch.cat([setting.encode(one) for one in (pixels + self.sigma * noise.to(pixels)).split(1)])
        else:
            z = setting.encode(pixels)
            z = z + self.sigma * setting.noise(PURPOSE, shape, z.shape[1]).to(z)
        if z.shape[1:] != (setting.channels, *shape.sizes):
            wanted, got = (setting.channels, *shape.sizes), tuple(z.shape[1:])
            raise ValueError(f"{NAME}: expected a stage that makes pictures of {wanted}, got a picture of {got}")
        return first_frame_given(z.expand(-1, -1, setting.shape.frames, -1, -1), self._level(setting.count))

    def expect(self, value: Any, shape: VideoShape, count: int) -> None:
        """See `Input`."""
        picture_told(value)

    def unknown(self, extent: Extent) -> Conditioning:
        """No picture is known."""
        blank = torch.zeros(extent.videos, extent.channels, *extent.grid)
        return first_frame_given(blank, self._level(extent.videos))

    def _level(self, count: int) -> Tensor:
        return self.logsnr(torch.full((count,), self.sigma))

    def blank(self, extent: Extent) -> Conditioning:
        """A map of zeros, and its level."""
        grid = torch.zeros(extent.videos, extent.channels, *extent.grid)
        return first_frame_given(grid, torch.zeros(extent.videos))


def first_frame_given(video: Tensor, logsnr: Tensor) -> Conditioning:
    """Conditioning by a map (B, C, F, H, W), with noise of level logsnr (B,), and that level."""
    return Conditioning(maps={NAME: video}, numbers={LEVEL: logsnr})


def _cut(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """A picture (1, 3, 1, h, w), resized until it covers (height, width), and its middle."""
    own = (picture.shape[3], picture.shape[4])
    if own == size:
        return picture
    whole = cover(own, size)
    if (lost := 1 - size[0] * size[1] / (whole[0] * whole[1])) > AS_LARGE:
        log.warning("picture: %dx%d is cut to the shape of the videos, %dx%d: %.0f %% of it is lost", *own, *size,
                    100 * lost)  # fmt: skip
    top, left = ((large - small) // 2 for large, small in zip(whole, size, strict=True))
    return resize(picture, *whole)[..., top : top + size[0], left : left + size[1]]
