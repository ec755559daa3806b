"""What controls have in common: a map on the stage's grid, and how strongly it acts."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from zoetrope.conditioning import Conditioning
from zoetrope.inputs import ControlClip
from zoetrope.shapes import VideoShape
from zoetrope.video.decoding import cover
from zoetrope.video.resample import resize
from zoetrope.wording import counted

MOST_SCALE = 10.0


def control_given(name: str, control: Tensor, scale: Tensor) -> Conditioning:
    """Conditioning by a map (B, C', F, H, W) with its strength (B,); at 0 the map is zeros, whatever it was."""
    here = (scale != 0).to(control.dtype)[:, None, None, None, None]
    return Conditioning(maps={name: control * here}, numbers={f"{name}_scale": scale})


def expect_clip(name: str, value: Any) -> ControlClip:
    """The value, if it is a clip. Raises ValueError for anything else, and for a scale out of range."""
    if not isinstance(value, ControlClip):
        raise ValueError(f"{name}: expected a clip (--control, control), got {type(value).__name__}")
    if not 0 <= value.scale <= MOST_SCALE:
        raise ValueError(f"{name}: scale: expected a number from 0 to {MOST_SCALE:g}, got {value.scale:g}")
    return value


def on_grid(clip: ControlClip, shape: VideoShape, *, brightest: bool = False) -> ControlClip:
    """The clip on a stage's grid.

    Of a clip whose sides are the grid's times one number, a pixel is the mean of those that it covers, or with
    `brightest` the largest value, so that thin lines stay. Raises ValueError, with both, for another size or length.
    """
    video = clip.video[None]
    if clip.crop:
        video = video[:, :, : shape.frames]
    if video.shape[2] not in (1, shape.frames):
        wanted = counted(shape.frames, "frame")
        raise ValueError(f"expected {wanted}, or one picture for all, got {counted(video.shape[2], 'frame')}")
    size, own = (shape.height, shape.width), (video.shape[3], video.shape[4])
    if own != size:
        video = _resized(video, size, brightest=brightest, crop=clip.crop)
    return replace(clip, video=video.expand(-1, -1, shape.frames, -1, -1)[0], crop=False)


def _resized(video: Tensor, size: tuple[int, int], *, brightest: bool, crop: bool) -> Tensor:
    """A video (1, C, F, h, w) at another size (height, width)."""
    own = (video.shape[3], video.shape[4])
    height, width = size
    times = max(1, own[0] // height)
    if own == (times * height, times * width):
        pool = functional.max_pool3d if brightest else functional.avg_pool3d
        return pool(video, (1, times, times))
    if not crop:
        raise ValueError(
            f"expected a size of {height}x{width} or a multiple of it, such as {2 * height}x{2 * width}, got "
            f"{own[0]}x{own[1]}; the fit 'crop' (--fit crop) resizes it and cuts out the middle"
        )
    whole = cover(own, size)
    top, left = ((large - small) // 2 for large, small in zip(whole, size, strict=True))
    return resize(video, *whole)[..., top : top + size[0], left : left + size[1]]


def dropped(rate: float, uniform: Tensor) -> Tensor:
    """The scale (b,) of training examples, 0 in a share `rate` of them; takes uniform numbers (b,)."""
    return torch.where(uniform < rate, 0.0, 1.0)
