"""Reading a number of a video, such as an ejection fraction, by a regression that was fitted to real clips.

The regression is linear, with a ridge [Hoerl & Kennard 1970, Technometrics 12], in a few dozen features of brightness,
motion, places and sizes of structures. Its ridge, and how well it reads, are judged by leaving out each clip in turn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from zoetrope.metrics.spectrum import spectrum
from zoetrope.shapes import expect_shape

LEAST = 8  # clips to fit to
_QUANTILES, _GRID, _RINGS = 9, 4, 8
_RIDGES = torch.logspace(-4, 5, 28, dtype=torch.float64)


def features(video: Tensor) -> Tensor:
    """A few dozen numbers (D,) float64 of a video (C, F, H, W).

    Quantiles over the frames of their means and of their changes, the mean and the deviation over time in a grid of 4 x
    4 cells, and the logarithm of the power at low wavenumbers. The order of frames is not seen.
    """
    expect_shape("video", video, None, None, None, None)
    video = video.double()
    places = torch.linspace(0, 1, _QUANTILES, dtype=torch.float64)
    changes = video.diff(dim=1) if video.shape[1] > 1 else torch.zeros_like(video)
    found = [one.quantile(places, dim=1) for one in (video.mean((2, 3)), changes.abs().mean((2, 3)))]
    found += [adaptive_avg_pool2d(one, _GRID) for one in (video.mean(1), video.std(1, correction=0))]
    found += [(spectrum(video[None]).power[0].mean(1)[:, :_RINGS] + 1e-12).log()]
    return torch.cat([one.flatten() for one in found])


@dataclass(frozen=True, eq=False)
class Regressor:
    """A number of videos, as `fitted` to some.

    Attributes:
        left_out: what it reads in each of the clips that it was fitted to when it is fitted to the others, (N,).
    """

    centre: Tensor
    spread: Tensor
    weights: Tensor
    mean: float
    left_out: Tensor

    @classmethod
    def fitted(cls, clips: Sequence[Tensor], numbers: Sequence[float]) -> Self:
        """Fit to the `features` of clips and their numbers. Raises ValueError for fewer than 8, and for equal ones."""
        y = torch.tensor(numbers, dtype=torch.float64)
        if len(clips) < LEAST or len(clips) != len(numbers):
            raise ValueError(f"clips: expected at least {LEAST}, each with its number, got {len(clips)}")
        if not float(y.std()) > 0:
            raise ValueError(f"numbers: expected different ones, got {numbers[0]:g} alone")
        x = torch.stack(list(clips))
        centre, spread, mean = x.mean(0), x.std(0), float(y.mean())
        spread = torch.where(spread > 1e-9, spread, torch.inf)
        rows = (x - centre) / spread
        # What is orthogonal to a constant: the mean belongs to the fit, and each left-out clip's goes with it.
        apart = torch.linalg.qr(torch.eye(len(y), dtype=torch.float64) - 1 / len(y)).Q[:, :-1]
        values, vectors = torch.linalg.eigh(apart.T @ rows @ rows.T @ apart)
        vectors = apart @ vectors
        best = min((cls._left_out(values, vectors, y - mean, ridge) for ridge in _RIDGES), key=lambda one: one[0])
        _, away, answers = best
        return cls(centre, spread, rows.T @ answers, mean, y - away)

    @staticmethod
    def _left_out(values: Tensor, vectors: Tensor, y: Tensor, ridge: Tensor) -> tuple[float, Tensor, Tensor]:
        """The error of clips left out, their residuals, and the answers of clips, of a ridge."""
        inverse = vectors / (values.clamp(min=0) + ridge) @ vectors.T
        answers = inverse @ y
        away = answers / inverse.diagonal()
        return float(away.square().mean()), away, answers

    def read(self, found: Tensor) -> float:
        """The number of a video with these `features`."""
        return self.mean + float((found - self.centre) / self.spread @ self.weights)
