"""95 % confidence intervals for proportions and means of clustered samples.

Videos of one prompt resemble each other, and so do frames of one video: such samples are a *cluster*. Clusters are
assumed to be independent, which holds where every video has its own noise. The interval then covers the proportion, or
the mean, over infinitely many further prompts.
"""

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from statistics import NormalDist, fmean
from typing import Self

from zoetrope.config import Config

LEVEL = 0.95
_QUANTILE = (1 + LEVEL) / 2
NORMAL = NormalDist().inv_cdf(_QUANTILE)


class Proportion(Config):
    """A proportion in [0, 1] with its interval.

    Attributes:
        right: number of true samples; samples: of all; clusters: of clusters.
        low, high: the interval.
    """

    right: int
    samples: int
    clusters: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The share itself."""
        return self.right / self.samples

    @classmethod
    def of(cls, hits: Sequence[bool], clusters: Sequence[Hashable] | None = None) -> Self:
        """The proportion of true values; `clusters` names each one's cluster, by default its own.

        Wilson's interval [Wilson 1927] for the effective number of independent samples, with Student's quantile instead
        of the normal one [Korn and Graubard 1998]. Raises ValueError for no samples.
        """
        groups = _grouped([float(hit) for hit in hits], clusters)
        right, count = sum(hits), len(hits)
        effective, quantile = float(count), NORMAL
        if len(groups) < count:
            effective = _effective(groups)
            quantile = student(len(groups) - 1) if len(groups) > 1 else NORMAL
        low, high = wilson(right / count, effective, quantile)
        return cls(right=right, samples=count, clusters=len(groups), low=low, high=high)


class Mean(Config):
    """A mean with the half-width of its interval, None for a single cluster."""

    value: float
    half: float | None
    samples: int
    clusters: int

    @classmethod
    def of(cls, values: Sequence[float], clusters: Sequence[Hashable] | None = None) -> Self:
        """The mean of all values, with Student's interval from the scatter of the clusters' sums.

        Without `clusters`, or with one per value, it is the usual interval of a mean; for differences of pairs, the
        paired one. Raises ValueError for no values.
        """
        groups = _grouped(values, clusters)
        value = fmean(values)
        half = student(len(groups) - 1) * math.sqrt(_variance(groups, value)) if len(groups) > 1 else None
        return cls(value=value, half=half, samples=len(values), clusters=len(groups))


def wilson(share: float, count: float, quantile: float = NORMAL) -> tuple[float, float]:
    """Wilson's interval of a share among `count` independent samples, which need not be a whole number."""
    squared = quantile**2 / count
    middle = (share + squared / 2) / (1 + squared)
    half = quantile * math.sqrt(share * (1 - share) / count + squared / (4 * count)) / (1 + squared)
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))  # rounding aside


def jackknife(without: Sequence[float]) -> float | None:
    """The half-width of the interval of a number of several independent samples, such as a root or a ratio of means.

    `without` is the same number of all samples but each one [Efron & Stein 1981, Ann. Stat. 9], times Student's
    quantile; of a mean it is the usual interval. None for a single sample, and where a number is not finite.
    """
    count = len(without)
    if count < 2 or not all(map(math.isfinite, without)):
        return None
    middle = fmean(without)
    variance = (count - 1) / count * sum((value - middle) ** 2 for value in without)
    return student(count - 1) * math.sqrt(variance)


def student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t, right to 0.2 % [Abramowitz and Stegun, 26.7.5; exact for 1 and 2]."""
    if freedom < 1:
        raise ValueError(f"degrees of freedom: expected 1 or more, got {freedom}")
    if freedom == 1:
        return math.tan(math.pi * (_QUANTILE - 0.5))
    if freedom == 2:
        return (2 * _QUANTILE - 1) / math.sqrt(2 * _QUANTILE * (1 - _QUANTILE))
    z = NORMAL
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, start=1))


def _grouped(values: Sequence[float], clusters: Sequence[Hashable] | None) -> list[list[float]]:
    if not values:
        raise ValueError("interval: expected at least one sample, got none")
    names = range(len(values)) if clusters is None else clusters
    groups: dict[Hashable, list[float]] = defaultdict(list)
    for value, name in zip(values, names, strict=True):
        groups[name].append(value)
    return list(groups.values())


def _effective(groups: Sequence[Sequence[float]]) -> float:
    """The effective number of independent samples: at most all, at least as if each cluster held only copies.

    One cluster of true and one of false samples are added: near 0 and 1 the scatter of a few clusters is too uncertain.
    """
    count = sum(map(len, groups))
    size = max(1, round(count / len(groups)))
    more = [*groups, [1.0] * size, [0.0] * size]
    total = count + 2 * size
    share = sum(map(sum, more)) / total
    worse = _variance(more, share) * total / (share * (1 - share))  # times that of independent samples
    return min(count, max(count**2 / sum(len(group) ** 2 for group in groups), count / worse))


def _variance(groups: Sequence[Sequence[float]], mean: float) -> float:
    """The variance of the mean of all samples, from how far the sums of the clusters scatter."""
    sums = [sum(value - mean for value in group) for group in groups]
    count = sum(map(len, groups))
    return len(groups) / (len(groups) - 1) * sum(value**2 for value in sums) / count**2
