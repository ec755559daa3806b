"""Resampling between the grids of consecutive stages: `degrade` makes training pairs, `upsample` conditions a stage."""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from zoetrope.shapes import VideoShape, Window


def degrade(video: Tensor, source: VideoShape) -> Tensor:
    """Downsample a video (B, C, F, H, W) to the previous stage's grid: frames dropped, sizes reduced.

    Low-rate frame k is high-rate frame k F / f; space is resized bilinearly with antialiasing
    [Ho et al. 2022, arXiv:2210.02303].
    """
    video = video[:, :, :: video.shape[2] // source.frames]
    return resize(video, source.height, source.width)


def degrade_present(video: Tensor, source: VideoShape) -> Tensor:
    """`degrade` of the values that are not NaN. A pixel is NaN where less than half of what it is made from has any."""
    kept = video[:, :, :: video.shape[2] // source.frames]
    return torch.stack([resize_present(one, source.height, source.width) for one in kept])


def degrade_masked(video: Tensor, present: Tensor | None, source: VideoShape) -> Tensor:
    """`degrade` of the values that are present, like the video, bool; None: all. Where most are missing it is 0."""
    if present is None:
        return degrade(video, source)
    return degrade_present(torch.where(present, video, torch.nan), source).nan_to_num(0.0)


def upsample(
    video: Tensor, shape: VideoShape, fill: Literal["repeat", "blank"] = "repeat", window: Window | None = None
) -> Tensor:
    """Bring a video (B, C, f, h, w) to a stage's grid (B, C, F, H, W): frames repeated or blanks between, bilinear.

    Blank frames are zeros, mid-grey [Ho et al. 2022, arXiv:2210.02303, names both ways]. With a window, only that part
    of the result, computed from only the necessary part of the video.
    """
    frames, rows, columns = window or Window.whole(shape)
    factor = shape.frames // video.shape[2]
    first = frames.start // factor
    small = video[:, :, first : math.ceil(frames.stop / factor)]
    large = _resized(small, (shape.height, shape.width), rows, columns)
    if factor == 1:
        return large
    if fill == "repeat":
        filled = large.repeat_interleave(factor, dim=2)
    else:
        filled = large.new_zeros(*large.shape[:2], large.shape[2] * factor, *large.shape[3:])
        filled[:, :, ::factor] = large
    return filled[:, :, frames.start - first * factor : frames.stop - first * factor]


def _resized(video: Tensor, size: tuple[int, int], rows: range, columns: range) -> Tensor:
    """These rows and columns of a video resized to `size`; where it grows by whole factors, from what they lie on."""
    cuts, sizes, parts = [], [], []
    for old, new, part in zip(video.shape[3:], size, (rows, columns), strict=True):
        factor, rest = divmod(new, old)
        first, last = 0, old
        if not rest:  # a pixel is made from the nearest old one and its neighbour on either side
            first, last = max(0, part.start // factor - 1), min(old, math.ceil(part.stop / factor) + 1)
        start = part.start - first * factor
        cuts.append(slice(first, last))
        sizes.append(new if rest else (last - first) * factor)
        parts.append(slice(start, start + len(part)))
    return resize(video[:, :, :, cuts[0], cuts[1]], *sizes)[:, :, :, parts[0], parts[1]]


def resize(video: Tensor, height: int, width: int) -> Tensor:
    """Every frame of (B, C, F, h, w) resized bilinearly, antialiased where it shrinks: (B, C, F, height, width)."""
    if video.shape[3:] == (height, width):
        return video
    frames = video.transpose(1, 2).flatten(0, 1)
    shrinks = height < video.shape[3] or width < video.shape[4]
    frames = interpolate(frames, (height, width), mode="bilinear", align_corners=False, antialias=shrinks)
    return frames.unflatten(0, (len(video), -1)).transpose(1, 2)


def proportioned(size: tuple[int, int], grid: tuple[int, int]) -> bool:
    """Whether a height and width are in the proportions of a grid's, up to half a pixel of the coarser one."""
    (height, width), (own_height, own_width) = size, grid
    return 2 * abs(height * own_width - width * own_height) <= max(*size, *grid)


def resize_present(maps: Tensor, height: int, width: int) -> Tensor:
    """Maps (C, F, h, w) at another size, as `resize` does it, of the values that are not NaN.

    A pixel is NaN where less than half of what it is made from has values.
    """
    if maps.shape[2:] == (height, width):
        return maps
    there = ~maps.isnan()
    if bool(there.all()):
        return resize(maps[None], height, width)[0]
    values, weight = (resize(part[None], height, width)[0] for part in (maps.nan_to_num(0.0), there.to(maps)))
    return torch.where(weight >= 0.5, values / weight.clamp(min=0.5), torch.nan)
