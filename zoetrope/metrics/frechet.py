"""The Fréchet distance of two sets of features, each as a Gaussian [Dowson and Landau 1982; Heusel et al. 2017].

    d^2 = |m - n|^2 + tr(A) + tr(B) - 2 tr((A^1/2 B A^1/2)^1/2)

No root of a covariance is taken. With A = X'X and B = Y'Y the last trace is the sum of the singular values of X Y', for
any factors X and Y. So sets with fewer samples than features, whose covariances are singular, are as good as others.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

_LEAST = 2


@dataclass(frozen=True)
class Gaussian:
    """A set of features by its moments.

    Attributes:
        count: how many samples it has; mean: (D,).
        factor: (K, D) with factor' factor the sum of squared deviations, `count` - 1 times the covariance.
    """

    count: int
    mean: Tensor
    factor: Tensor

    @classmethod
    def of(cls, features: Tensor) -> Self:
        """The moments of features (N, D), N at least 1, in float64. Raises ValueError for others and for NaN."""
        if features.ndim != 2 or 0 in features.shape:
            raise ValueError(f"features: expected shape (N, D), got {tuple(features.shape)}")
        values = features.double()
        if not torch.isfinite(values).all():
            raise ValueError("features: expected finite values, got NaN or infinity")
        mean = values.mean(0)
        return cls(len(values), mean, _reduced(values - mean))

    @classmethod
    def of_moments(cls, mean: Tensor, covariance: Tensor, count: int = 2) -> Self:
        """The Gaussian of a mean (D,) and a covariance (D, D), as if from `count` samples."""
        values, vectors = torch.linalg.eigh(covariance.double())
        factor = (values.clamp(min=0) * (count - 1)).sqrt()[:, None] * vectors.T
        return cls(count, mean.double(), factor)

    @classmethod
    def joined(cls, parts: Iterable[Self]) -> Self:
        """The moments of several sets put together."""
        first, *others = parts
        for other in others:
            count = first.count + other.count
            apart = other.mean - first.mean
            between = apart * (first.count * other.count / count) ** 0.5
            factor = _reduced(torch.cat([first.factor, other.factor, between[None]]))
            first = cls(count, first.mean + apart * (other.count / count), factor)
        return first

    @property
    def variance(self) -> float:
        """The trace of the covariance. Raises ValueError for a single sample, which has none."""
        if self.count < _LEAST:
            raise ValueError(f"features: expected at least {_LEAST} samples for a variance, got {self.count}")
        return float(self.factor.square().sum()) / (self.count - 1)


def frechet_distance(made: Gaussian, real: Gaussian) -> float:
    """The squared distance of two Gaussians, at least 0. Raises ValueError for fewer than two samples, or another D."""
    if min(made.count, real.count) < _LEAST:
        raise ValueError(f"frechet: expected at least {_LEAST} samples in each set, got {made.count} and {real.count}")
    if made.mean.shape != real.mean.shape:
        raise ValueError(f"frechet: expected features of one width, got {len(made.mean)} and {len(real.mean)}")
    scale = ((made.count - 1) * (real.count - 1)) ** 0.5
    common = float(torch.linalg.svdvals(made.factor @ real.factor.T).sum()) / scale
    between = float((made.mean - real.mean).square().sum())
    return max(0.0, between + made.variance + real.variance - 2 * common)


def _reduced(rows: Tensor) -> Tensor:
    """At most D rows with the same sum of squares as `rows` (K, D)."""
    return rows if len(rows) <= rows.shape[1] else torch.linalg.qr(rows, mode="r").R
