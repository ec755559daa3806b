"""The continuous ranked probability score of ensembles [Gneiting & Raftery 2007, J. Am. Stat. Assoc. 102, Eq. 21]."""

import torch
from torch import Tensor

from zoetrope.metrics.lead_time import mean_of


def crps(members: Tensor, truth: Tensor, fair: bool = True, present: Tensor | None = None) -> Tensor:
    """The mean score (C, F), in units, of each channel and frame: 0 is perfect.

    E|X - y| - E|X - X'| / 2 for members X, X' and the truth y; of one member, not `fair`, the absolute error. The
    expected fair score is that of the distribution that members are drawn from, whatever their number: for members and
    truth from one Gaussian, sigma / sqrt(pi).

    Args:
        members: of an ensemble, (M, B, C, F, H, W).
        truth: (B, C, F, H, W).
        fair: whether E|X - X'| is over pairs of different members [Ferro 2014, Q. J. R. Meteorol. Soc. 140].
        present: where there are values, like the truth, bool; None: everywhere.

    Raises ValueError for shapes that do not fit, and for a fair score of fewer than two members.
    """
    return mean_of(crps_of_pixels(members, truth, fair), present)


def crps_of_pixels(members: Tensor, truth: Tensor, fair: bool = True) -> Tensor:
    """The score of each value of the truth, (B, C, F, H, W) float64; see `crps`."""
    count = expect_ensemble(members, truth, 2 if fair else 1)
    error = (members.double() - truth.double()).abs().mean(0)
    # With sorted members, the sum of |x_i - x_j| over all pairs is 2 sum_i (2 i - M - 1) x_(i).
    weights = 2 * torch.arange(1, count + 1, dtype=torch.float64, device=members.device) - count - 1
    apart = 2 * torch.einsum("m,m...->...", weights, members.double().sort(0).values)
    return error - apart / (2 * count * (count - 1 if fair else count))


def expect_ensemble(members: Tensor, truth: Tensor, least: int = 2) -> int:
    """The number of members (M, B, C, F, H, W). Raises ValueError for fewer, and unless the truth is like each."""
    if truth.ndim != 5 or members.ndim != 6 or members.shape[1:] != truth.shape:
        got = f"{tuple(members.shape)} and {tuple(truth.shape)}"
        raise ValueError(f"members and truth: expected the shapes (M, B, C, F, H, W) and (B, C, F, H, W), got {got}")
    if len(members) < least:
        raise ValueError(f"members: expected at least {least}, got {len(members)}")
    return len(members)
