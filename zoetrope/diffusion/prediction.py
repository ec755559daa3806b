"""What a network predicts, and how to read clean data out of it.

`v = alpha eps - sigma x` [Salimans & Ho 2022, arXiv:2202.00512, Sec. 4; Ho et al. 2022, arXiv:2210.02303, Sec. 2.4].
Each rule below holds for any alpha and sigma, not only for variance-preserving ones.
"""

from typing import Literal

from torch import Tensor

from zoetrope.diffusion.schedule import NoiseLevel
from zoetrope.shapes import blend

Prediction = Literal["x", "eps", "v"]


def target(kind: Prediction, x: Tensor, eps: Tensor, level: NoiseLevel) -> Tensor:
    """What a network that predicts `kind` should have answered, (B, ...)."""
    if kind == "x":
        return x
    return eps if kind == "eps" else v_from(x, eps, level)


def v_from(x: Tensor, eps: Tensor, level: NoiseLevel) -> Tensor:
    """v = alpha eps - sigma x, (B, ...)."""
    return blend(level.alpha, eps, -level.sigma, x)


def x_from(kind: Prediction, output: Tensor, z: Tensor, level: NoiseLevel) -> Tensor:
    """The clean estimate x_hat (B, ...) that a network's output implies at z."""
    if kind == "x":
        return output
    if kind == "eps":
        return blend(1 / level.alpha, z, -level.sigma / level.alpha, output)
    norm = level.alpha**2 + level.sigma**2
    return blend(level.alpha / norm, z, -level.sigma / norm, output)


def eps_from_x(x_hat: Tensor, z: Tensor, level: NoiseLevel) -> Tensor:
    """The noise estimate consistent with x_hat: z = alpha x_hat + sigma eps_hat, (B, ...)."""
    return blend(1 / level.sigma, z, -level.alpha / level.sigma, x_hat)


def v_from_x(x_hat: Tensor, z: Tensor, level: NoiseLevel) -> Tensor:
    """The v consistent with x_hat at z: v = (alpha z - (alpha^2 + sigma^2) x_hat) / sigma, (B, ...)."""
    norm = level.alpha**2 + level.sigma**2
    return blend(level.alpha / level.sigma, z, -norm / level.sigma, x_hat)
