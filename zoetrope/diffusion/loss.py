"""The training loss: a squared error of x_hat, weighted by noise level in one of five ways."""

from typing import Literal

import torch
from torch import Tensor

from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.prediction import TABLE, Prediction

LossWeight = Literal["eps", "v", "snr_trunc", "x", "flow"]


def loss_weight(kind: LossWeight, level: NoiseLevel) -> Tensor:
    """The factor, (B,) or (B, F) like the level, that turns the squared error of x_hat into the named loss.

    eps: SNR, the error of eps, the loss of Ho et al. 2022 (arXiv:2210.02303, Sec. 2.4).
    v: SNR + 1, the error of v. snr_trunc: max(SNR, 1), the larger of the errors of x and eps
    [both Salimans & Ho 2022, arXiv:2202.00512, Sec. 4]. x: 1. flow: (sqrt(SNR) + 1)^2, the error of eps - x
    [Lipman et al. 2023, arXiv:2210.02747].
    """
    if kind == "flow":
        return (torch.exp(level.logsnr / 2) + 1) ** 2
    snr = torch.exp(level.logsnr)
    if kind == "eps":
        return snr
    if kind == "v":
        return snr + 1
    return snr.clamp(min=1) if kind == "snr_trunc" else torch.ones_like(snr)


def output_weight(kind: LossWeight, prediction: Prediction, level: NoiseLevel) -> Tensor:
    """The factor, like the level, that turns the squared error of a network's output into the named loss.

    With x_hat = p z + q output it is q^2 times `loss_weight`. The error is taken on the output itself, because x_hat
    would lose it to rounding at low noise, where `loss_weight` reaches e^20.
    """
    _, of_output = TABLE[prediction].reading(level)
    return loss_weight(kind, level) * of_output**2


def squared_error(
    output: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    counted: Tensor | None = None,
    present: Tensor | None = None,
) -> Tensor:
    """Mean squared error of each example, (B,), in float32.

    Args:
        output: of a network, (B, ...), or (B, C, F, ...) with a weight or mask per frame.
        target: of the same shape.
        weight: of each example's error, (B,), or of each frame's, (B, F); None is 1.
        counted: frames that have a loss, (B, F) bool; None: all. The mean is over these, and 0 if there are none.
        present: values that have a loss, (B, C, F, H, W) bool; None: all. The mean is over those of counted frames.
    """
    if counted is None and present is None and (weight is None or weight.ndim == 1):
        errors = (output.float() - target.float()).square().flatten(1).mean(1)
        return errors if weight is None else weight.float() * errors
    return mean_over_frames(frame_errors(output, target, weight, counted, present), counted)


def frame_errors(
    output: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    counted: Tensor | None = None,
    present: Tensor | None = None,
) -> Tensor:
    """Mean squared error of each frame, (B, F), in float32; see `squared_error` for the arguments.

    Frames that do not count, and values that are not present, have the error 0 and no gradient, even where their target
    is not finite. With values that are not present, a frame's error is the sum over its present ones, divided by how
    many these are in the mean over the frames that count: so `mean_over_frames` is the mean over the values.
    """
    differences = output.float() - target.float()
    if counted is not None:
        differences = torch.where(counted[:, None, :, None, None], differences, 0)
    if present is None:
        errors = differences.square().transpose(1, 2).flatten(2).mean(2)
    else:
        squares = torch.where(present, differences, 0).square().transpose(1, 2).flatten(2)
        values = present.transpose(1, 2).flatten(2).sum(2).float()
        usual = mean_over_frames(values, counted).clamp(min=torch.finfo(torch.float32).tiny)
        errors = squares.sum(2) / usual[:, None]
    if weight is None:
        return errors
    shares = weight.float() if weight.ndim == 2 else weight.float()[:, None]
    return errors * (shares if counted is None else torch.where(counted, shares, 0))


def mean_over_frames(errors: Tensor, counted: Tensor | None = None) -> Tensor:
    """The mean (B,) of errors (B, F) over the frames that count, (B, F) bool; 0 if there are none."""
    if counted is None:
        return errors.mean(1)
    return torch.where(counted, errors, 0).sum(1) / counted.sum(1).clamp(min=1)
