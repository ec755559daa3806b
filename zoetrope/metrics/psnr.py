"""Peak signal-to-noise ratio, of every frame and of a whole clip."""

import torch
from torch import Tensor

RANGE = 2.0  # of videos in [-1, 1]


def psnr(made: Tensor, truth: Tensor, data_range: float = RANGE) -> Tensor:
    """Decibels (B, F) of every frame of two videos (B, C, F, H, W); infinity where they are equal.

    `data_range` is the distance from black to white. Raises ValueError for videos of different shapes.
    """
    return decibels(squared_error_of_frames(made, truth), data_range)


def squared_error_of_frames(made: Tensor, truth: Tensor) -> Tensor:
    """The mean squared error (B, F) of every frame of two videos (B, C, F, H, W), over channels and pixels, float64.

    A clip's PSNR is `decibels` of the mean over its frames: a mean of decibels would say infinity of a clip as soon
    as one frame of it is exact, as is every frame that frame repetition was given.
    """
    expect_pair(made, truth)
    # Frame by frame: the difference of two of the largest videos is itself one and a half gigabytes.
    errors = [(made[:, :, k].double() - truth[:, :, k].double()).square().mean((1, 2, 3)) for k in range(made.shape[2])]
    return torch.stack(errors, 1)


def decibels(squared: Tensor, data_range: float = RANGE) -> Tensor:
    """The signal-to-noise ratio of mean squared errors, 10 log10(range^2 / error)."""
    if not data_range > 0:
        raise ValueError(f"data_range: expected a positive number, got {data_range}")
    return 10 * torch.log10(data_range**2 / squared)


def expect_pair(made: Tensor, truth: Tensor) -> None:
    """Raise ValueError unless these are two videos (B, C, F, H, W) of one shape."""
    if made.ndim != 5 or made.shape != truth.shape:
        got = f"{tuple(made.shape)} and {tuple(truth.shape)}"
        raise ValueError(f"two videos: expected one shape (B, C, F, H, W), got {got}")
