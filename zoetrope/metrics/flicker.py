"""Flicker: how far a video's changes from frame to frame are from those that it should have."""

import torch
from torch import Tensor

from zoetrope.metrics.psnr import RANGE, expect_pair


def flicker(made: Tensor, truth: Tensor, data_range: float = RANGE) -> Tensor:
    """The mean absolute error (B,) of the differences of neighbouring frames of two videos (B, C, F, H, W).

    A share of the range: 0 if the video changes exactly as the truth does, even where it is wrong and stays so; 0.01 if
    what changes from one frame to the next is off by a hundredth of the way from black to white. A video that
    repeats frames where the truth moves has this error too. Raises ValueError for videos of different shapes and for
    fewer than two frames.
    """
    return flicker_of_changes(made, truth, data_range).mean(1)


def flicker_of_changes(made: Tensor, truth: Tensor, data_range: float = RANGE) -> Tensor:
    """The error of each difference of neighbouring frames by itself, (B, F - 1) float64; see `flicker`."""
    expect_pair(made, truth)
    if made.shape[2] < 2:
        raise ValueError("flicker: expected at least two frames, got one")
    errors = [
        ((made[:, :, k + 1] - made[:, :, k]) - (truth[:, :, k + 1] - truth[:, :, k])).abs().mean((1, 2, 3))
        for k in range(made.shape[2] - 1)
    ]
    return torch.stack(errors, 1).double() / data_range
