"""How surely a difference is known: 95 % intervals from which alone a verdict follows.

Measurements are tables (R, C): R repeats, which are noises or trained networks of other seeds, of C clips or prompts
that all arms have in common. Differences are always taken clip by clip, so what makes one clip harder than another
drops out.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from zoetrope.metrics.intervals import Mean

Verdict = Literal["shown", "not shown", "the opposite"]
LEVEL = 0.95
DRAWS = 10_000
STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571}  # 97.5 % quantiles of t, by the number of seeds


class Interval(NamedTuple):
    """An estimate, and between what its true value lies in 95 of 100 such studies."""

    value: float
    low: float
    high: float

    def verdict(self, beyond: float = 0.0) -> Verdict:
        """Whether the value is larger than `beyond`, as far as the interval tells; a limit on it tells nothing."""
        if self.low > beyond:
            return "shown"
        return "the opposite" if self.high < beyond else "not shown"


def itself(one: Tensor) -> Tensor:
    """The value of a single column."""
    return one


def student(freedom: int) -> float:
    """The 97.5 % quantile of t of five degrees of freedom or more, nearly [Abramowitz & Stegun, 26.7.5]."""
    z = 1.959964
    first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


def over_clips(of_means: Callable[..., Tensor], *columns: Sequence[Sequence[float]]) -> Interval:
    """The interval of a function of the columns' means, for networks that are given and not trained anew.

    A bootstrap: clips are drawn with replacement, with all their repeats (a cluster each) and alike from every column
    (R, C), whose R may differ. What another training would bring is not in it.

    Raises ValueError for columns of different clips or of fewer than two.
    """
    clips = [torch.tensor(column, dtype=torch.float64).mean(0) for column in columns]
    count = len(clips[0])
    if count < 2 or any(column.shape != (count,) for column in clips):
        raise ValueError(f"columns: expected the same two clips or more in each, got {[len(each) for each in clips]}")
    drawn = torch.randint(count, (DRAWS, count), generator=torch.Generator().manual_seed(0))
    spread = of_means(*(column[drawn].mean(1) for column in clips))
    edges = torch.tensor([(1 - LEVEL) / 2, (1 + LEVEL) / 2], dtype=torch.float64)
    low, high = spread.quantile(edges).tolist()
    return Interval(float(of_means(*(column.mean() for column in clips))), low, high)


def by_prompt(one: Sequence[Sequence[float]], other: Sequence[Sequence[float]] | None = None) -> list[float]:
    """Of each prompt (a column of the tables (R, C)) the mean over its noises, less that of the other way."""
    means = torch.tensor(one, dtype=torch.float64).mean(0)
    less = 0.0 if other is None else torch.tensor(other, dtype=torch.float64).mean(0)
    values: list[float] = (means - less).tolist()
    return values


def over_prompts(values: Sequence[float]) -> Interval:
    """Student's interval of the mean of what was found of each prompt, two or more, for networks that are given.

    What another training would bring is not in it.
    """
    mean = Mean.of(values)
    if mean.half is None:
        raise ValueError("values: expected two prompts or more, got 1")
    return Interval(mean.value, mean.value - mean.half, mean.value + mean.half)


def over_shares(apart: Sequence[float]) -> Interval:
    """The interval of a mean difference of shares in [-1, 1] that was found of each prompt; the mean itself is plain.

    Student's, with a prompt that is right in the one way alone and one that is so in the other added: where few prompts
    differ their scatter says too little, as that of a share near 0 or 1 does [Agresti and Min 2005, for pairs].
    """
    wider = over_prompts([*apart, 1.0, -1.0])
    return wider._replace(value=sum(apart) / len(apart))


def flipped(values: Sequence[float]) -> float:
    """How often a sum is as far from zero as that of these differences if each has either sign alike [Fisher 1935].

    The exact p of both sides.
    """
    digits = 6
    whole = [round(value * 10**digits) for value in values if value]
    sums = {0: 1}
    for value in whole:
        more: dict[int, int] = {}
        for total, count in sums.items():
            for there in (total + value, total - value):
                more[there] = more.get(there, 0) + count
        sums = more
    least = abs(sum(whole))
    return sum(count for total, count in sums.items() if abs(total) >= least) / 2 ** len(whole)


def over_seeds(one: Sequence[Sequence[float]], other: Sequence[Sequence[float]] | None = None) -> Interval:
    """The interval of a mean, or of a mean difference, for networks that were trained once for each seed.

    Both tables are (S, C), row by row of the same seed. Seeds and clips are both drawn from many, so the interval
    reaches as far as that of the means of seeds and that of the means of clips put together, squares added; each has
    Student's t of its own number, and what both have in common counts twice. Of a single seed nothing is known, and the
    interval has no ends.

    Raises ValueError for tables of different shapes, and for more seeds than there are quantiles for.
    """
    return _over_both(_apart(one, other))


def shares_over_seeds(one: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> Interval:
    """The interval of a mean difference of shares for trained networks; the mean itself is plain.

    As `over_seeds`, where the means of clips have the two added prompts of `over_shares` beside them.
    """
    return _over_both(_apart(one, other), (1.0, -1.0))


def reach_of_seeds(table: Sequence[Sequence[float]] | Tensor) -> float:
    """Half of Student's interval of the mean from the means of seeds in a table (S, C); of one seed it has no end."""
    means = torch.as_tensor(table, dtype=torch.float64).mean(1)
    seeds = len(means)
    if seeds == 1:
        return math.inf
    if seeds not in STUDENT:
        raise ValueError(f"table: expected 1 to {max(STUDENT)} seeds, got {seeds}")
    return STUDENT[seeds] * float((means.var() / seeds).sqrt())


def _apart(one: Sequence[Sequence[float]], other: Sequence[Sequence[float]] | None) -> Tensor:
    table = torch.tensor(one, dtype=torch.float64)
    if other is None:
        return table
    less = torch.tensor(other, dtype=torch.float64)
    if less.shape != table.shape:
        raise ValueError(f"tables: expected one shape, got {tuple(table.shape)} and {tuple(less.shape)}")
    return table - less


def _over_both(table: Tensor, added: Sequence[float] = ()) -> Interval:
    value, of_seeds = float(table.mean()), reach_of_seeds(table)
    if math.isinf(of_seeds):
        return Interval(value, -math.inf, math.inf)
    if table.shape[1] < 6:
        raise ValueError(f"table: expected six clips or more, got {table.shape[1]}")
    clips = torch.cat([table.mean(0), torch.tensor(added, dtype=torch.float64)])
    of_clips = student(len(clips) - 1) * float((clips.var() / len(clips)).sqrt())
    middle, reach = float(clips.mean()), math.hypot(of_seeds, of_clips)
    return Interval(value, middle - reach, middle + reach)
