"""The training loss: one squared error on x_hat, weighted by noise level in one of four ways."""

from typing import Literal

import torch
from torch import Tensor

from zoetrope.diffusion.prediction import Prediction
from zoetrope.diffusion.schedule import NoiseLevel

LossWeight = Literal["eps", "v", "snr_trunc", "x"]


def loss_weight(kind: LossWeight, level: NoiseLevel) -> Tensor:
    """The factor (B,) that turns the squared error of x_hat into the named loss.

    eps: SNR, the error of eps, the loss of Ho et al. 2022 (arXiv:2210.02303, Sec. 2.4).
    v: SNR + 1, the error of v. snr_trunc: max(SNR, 1), the larger of the errors of x and eps
    [both Salimans & Ho 2022, arXiv:2202.00512, Sec. 4]. x: 1.
    """
    snr = torch.exp(level.logsnr)
    if kind == "eps":
        return snr
    if kind == "v":
        return snr + 1
    return snr.clamp(min=1) if kind == "snr_trunc" else torch.ones_like(snr)


def output_weight(kind: LossWeight, prediction: Prediction, level: NoiseLevel) -> Tensor:
    """The factor (B,) that turns the squared error of a network's output into the named loss.

    The error is measured on the output itself, because x_hat would lose it to rounding at low noise, where the factor
    of `loss_weight` is e^20. An error of v is 1 / sigma^2 times that of x_hat, one of eps is SNR times it.
    """
    if prediction == "v":
        of_x = level.sigma**2 / (level.alpha**2 + level.sigma**2) ** 2
    else:
        of_x = torch.exp(-level.logsnr) if prediction == "eps" else torch.ones_like(level.logsnr)
    return loss_weight(kind, level) * of_x


def squared_error(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of each example, (B,), in float32."""
    return (output.float() - target.float()).square().flatten(1).mean(1)
