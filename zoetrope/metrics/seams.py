"""Seams: how much more a video changes where windows end than elsewhere."""

import torch
from torch import Tensor

from zoetrope.cascade.windows import Windows
from zoetrope.shapes import VideoShape, expect_shape


def seam_energy(videos: Tensor, windows: Windows) -> Tensor:
    """The mean squared difference of neighbours across the ends of windows, over that elsewhere, (B,) float64.

    1 where nothing shows of the windows; larger where they do not go together. Neighbours are consecutive frames, or
    rows and columns, of videos (B, C, F, H, W), along the axes that the windows divide. An end is where a window begins
    or stops within the video; with an overlap two windows have two of them. Infinite where a video changes only there,
    and NaN where it changes nowhere.

    Raises ValueError for videos that one window covers, and where every place is next to an end.
    """
    expect_shape("videos", videos, None, None, None, None, None)
    frames, height, width = videos.shape[2:]
    borders = ends(windows, VideoShape(frames=frames, height=height, width=width, fps=1))
    if not any(borders):
        raise ValueError(f"windows: expected several of {frames} frames of {height}x{width}, got one")
    across, elsewhere = list[Tensor](), list[Tensor]()
    for axis, places in enumerate(borders, start=2):
        if not places:
            continue
        squares = videos.double().diff(dim=axis).square().transpose(axis, 1).flatten(2).mean(2)  # (B, places)
        at = torch.zeros(squares.shape[1], dtype=torch.bool, device=videos.device)
        at[[place - 1 for place in places]] = True
        across.append(squares[:, at])
        elsewhere.append(squares[:, ~at])
    inside = torch.cat(elsewhere, 1)
    if not inside.shape[1]:
        raise ValueError("windows: expected neighbours that no window divides, got none")
    return torch.cat(across, 1).mean(1) / inside.mean(1)


def ends(windows: Windows, shape: VideoShape) -> tuple[list[int], list[int], list[int]]:
    """The frames, rows and columns of a video at which a window begins, or the first after it, without its edges."""
    every = windows.of(shape)
    frames, rows, columns = (
        sorted({end for window in every for end in (window[axis].start, window[axis].stop)} - {0, size})
        for axis, size in enumerate(shape.sizes)
    )
    return frames, rows, columns
