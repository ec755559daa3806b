"""What a network predicts, and how to compute x_hat from it.

Each prediction is a weighted sum of the clean video x and the noise eps, one row of a table:

| prediction | output |
|---|---|
| x | x |
| eps | eps [Ho et al. 2020, arXiv:2006.11239] |
| v | alpha eps - sigma x [Salimans & Ho 2022, arXiv:2202.00512, Sec. 4; Ho et al. 2022, arXiv:2210.02303, Sec. 2.4] |
| flow | eps - x [Lipman et al. 2023, arXiv:2210.02747; Liu et al. 2023, arXiv:2209.03003] |

With z = alpha x + sigma eps any two of z, x, eps and the output give the others. All rules hold for any alpha and
sigma, not only for variance-preserving ones, and for levels (B,) or (B, F).
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.tensors import blend

Prediction = Literal["x", "eps", "v", "flow"]

Coefficient = Tensor | Literal[0, 1]
"""A coefficient, like the levels; a plain 1 beside a plain 0 means that one term is the whole sum."""
Coefficients = Callable[[NoiseLevel], tuple[Coefficient, Coefficient]]


class Relations(NamedTuple):
    """One prediction, as coefficients.

    Attributes:
        target: of x and eps in the output.
        reading: of z and the output in x_hat.
        answer: of z and x_hat in the output.
    """

    target: Coefficients
    reading: Coefficients
    answer: Coefficients


def _power(level: NoiseLevel) -> Tensor:
    """alpha^2 + sigma^2."""
    return level.alpha**2 + level.sigma**2


def _minus_one(level: NoiseLevel) -> Tensor:
    return torch.full_like(level.alpha, -1)


TABLE: dict[Prediction, Relations] = {
    "x": Relations(
        target=lambda level: (1, 0),
        reading=lambda level: (0, 1),
        answer=lambda level: (0, 1),
    ),
    "eps": Relations(
        target=lambda level: (0, 1),
        reading=lambda level: (1 / level.alpha, -level.sigma / level.alpha),
        answer=lambda level: (1 / level.sigma, -level.alpha / level.sigma),
    ),
    "v": Relations(
        target=lambda level: (-level.sigma, level.alpha),
        reading=lambda level: (level.alpha / _power(level), -level.sigma / _power(level)),
        answer=lambda level: (level.alpha / level.sigma, -_power(level) / level.sigma),
    ),
    "flow": Relations(
        target=lambda level: (_minus_one(level), -_minus_one(level)),
        reading=lambda level: (1 / (level.alpha + level.sigma), -level.sigma / (level.alpha + level.sigma)),
        answer=lambda level: (1 / level.sigma, -(level.alpha + level.sigma) / level.sigma),
    ),
}


def target(prediction: Prediction, x: Tensor, eps: Tensor, level: NoiseLevel) -> Tensor:
    """The target (B, ...) of a network's output."""
    of_x, of_eps = TABLE[prediction].target(level)
    return _sum(of_eps, eps, of_x, x)


def x_from(prediction: Prediction, output: Tensor, z: Tensor, level: NoiseLevel) -> Tensor:
    """The clean estimate x_hat (B, ...) that a network's output implies at z."""
    of_z, of_output = TABLE[prediction].reading(level)
    return _sum(of_z, z, of_output, output)


def output_from_x(prediction: Prediction, x_hat: Tensor, z: Tensor, level: NoiseLevel) -> Tensor:
    """The output (B, ...) that implies x_hat at z, the inverse of `x_from`."""
    of_z, of_x = TABLE[prediction].answer(level)
    return _sum(of_z, z, of_x, x_hat)


def v_from(x: Tensor, eps: Tensor, level: NoiseLevel) -> Tensor:
    """v = alpha eps - sigma x, (B, ...)."""
    return target("v", x, eps, level)


def eps_from_x(x_hat: Tensor, z: Tensor, level: NoiseLevel) -> Tensor:
    """The noise estimate consistent with x_hat: z = alpha x_hat + sigma eps_hat, (B, ...)."""
    return output_from_x("eps", x_hat, z, level)


def v_from_x(x_hat: Tensor, z: Tensor, level: NoiseLevel) -> Tensor:
    """The v consistent with x_hat at z: v = (alpha z - (alpha^2 + sigma^2) x_hat) / sigma, (B, ...)."""
    return output_from_x("v", x_hat, z, level)


def _sum(a: Coefficient, x: Tensor, b: Coefficient, y: Tensor) -> Tensor:
    """a x + b y."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return blend(a, x, b, y)
    return x if b == 0 else y
