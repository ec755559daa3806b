"""Errors of forecasts against how far ahead they look: mean absolute and root mean squared, of every frame."""

import torch
from torch import Tensor

from zoetrope.metrics.psnr import expect_pair


def mae(made: Tensor, truth: Tensor, present: Tensor | None = None) -> Tensor:
    """The mean absolute error (C, F), in units, of each channel and frame of videos (B, C, F, H, W).

    The mean is over videos and pixels, where `present`, like them, bool, says that there are values; NaN where there
    are none. Raises ValueError for different shapes.
    """
    expect_pair(made, truth)
    return mean_of((made.double() - truth.double()).abs(), present)


def rmse(made: Tensor, truth: Tensor, present: Tensor | None = None) -> Tensor:
    """The root of the mean squared error (C, F), in units; see `mae`."""
    expect_pair(made, truth)
    return mean_of((made.double() - truth.double()).square(), present).sqrt()


def mean_of(values: Tensor, present: Tensor | None = None) -> Tensor:
    """The mean (C, F) of values (B, C, F, H, W) over videos and pixels that are present; NaN where none is.

    Raises ValueError for a mask of another shape.
    """
    if present is None:
        return values.mean((0, 3, 4))
    if present.shape != values.shape or present.dtype != torch.bool:
        got = f"{tuple(present.shape)} {present.dtype}"
        raise ValueError(f"present: expected a mask of the shape {tuple(values.shape)}, bool, got {got}")
    return torch.where(present, values, 0).sum((0, 3, 4)) / present.sum((0, 3, 4))
