"""From one stage's grid to the next one's and back: `degrade` makes training pairs, `upsample` conditions a stage."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from zoetrope.diffusion.process import diffuse
from zoetrope.diffusion.schedule import NoiseLevel
from zoetrope.shapes import VideoShape


def degrade(video: Tensor, source: VideoShape) -> Tensor:
    """What the previous stage would have made of a video (B, C, F, H, W): frames skipped, sizes reduced.

    Low-rate frame k is high-rate frame k F / f; space is resized bilinearly with antialiasing
    [Ho et al. 2022, arXiv:2210.02303].
    """
    video = video[:, :, :: video.shape[2] // source.frames]
    return resize(video, source.height, source.width)


def upsample(video: Tensor, shape: VideoShape, fill: Literal["repeat", "blank"] = "repeat") -> Tensor:
    """Bring a video (B, C, f, h, w) to a stage's grid (B, C, F, H, W): frames repeated or blanks between, bilinear.

    Blank frames are zeros, mid-grey [Ho et al. 2022, arXiv:2210.02303, names both ways].
    """
    factor = shape.frames // video.shape[2]
    if fill == "repeat" or factor == 1:
        return resize(video.repeat_interleave(factor, dim=2), shape.height, shape.width)
    blank = video.new_zeros(*video.shape[:2], shape.frames, *video.shape[3:])
    blank[:, :, ::factor] = video
    return resize(blank, shape.height, shape.width)


def resize(video: Tensor, height: int, width: int) -> Tensor:
    """Every frame of (B, C, F, h, w) resized bilinearly, antialiased where it shrinks: (B, C, F, height, width)."""
    if video.shape[3:] == (height, width):
        return video
    frames = video.transpose(1, 2).flatten(0, 1)
    shrinks = height < video.shape[3] or width < video.shape[4]
    frames = interpolate(frames, (height, width), mode="bilinear", align_corners=False, antialias=shrinks)
    return frames.unflatten(0, (len(video), -1)).transpose(1, 2)


def augment(low_res: Tensor, eps: Tensor, logsnr: Tensor) -> Tensor:
    """Noise-conditioning augmentation, after upsampling: the conditioning video at noise level logsnr (B,).

    [Ho et al. 2022, arXiv:2210.02303, Sec. 2.5; Ho et al. 2021, arXiv:2106.15282, Sec. 4]
    """
    return diffuse(low_res, eps, NoiseLevel.variance_preserving(logsnr))


def augmentation_logsnr(u: Tensor) -> Tensor:
    """The level (B,) of augmentation in training for uniform u (B,): time on the cosine schedule, kept off its ends."""
    angle = (0.005 + 0.99 * u.double()) * (torch.pi / 2)
    return -2 * torch.log(torch.tan(angle))
