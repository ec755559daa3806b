"""What a study claims: estimates with their intervals, the verdicts that these give, and all of it as cells."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from _intervals import Interval, Verdict, by_prompt, flipped, over_shares, reach_of_seeds, shares_over_seeds

from zoetrope.metrics.intervals import Proportion

Table = Sequence[Sequence[float]]
ONE_SEED = (
    "not shown. One training of each arm tells nothing of how much another would differ; and there are confounds."
)


class Claim(NamedTuple):
    """What a study says: a difference that is above `beyond` if the paper's finding holds here.

    `apart` are the differences of shares, prompt by prompt, that the interval is of, where it is of such. A claim that
    was added, or whose design changed, when numbers were known is `exploratory`: nothing is shown by it. One whose
    precondition fails is not `testable`; a `precondition` holds or fails.
    """

    text: str
    interval: Interval
    form: Callable[[float], str]
    beyond: float = 0.0
    apart: Sequence[float] = ()
    exploratory: bool = False
    testable: bool = True
    precondition: bool = False

    @property
    def verdict(self) -> Verdict:
        """What the interval says, and nobody else."""
        return self.interval.verdict(self.beyond)

    @property
    def told(self) -> str:
        """The verdict as a cell."""
        if self.precondition:
            return {"shown": "holds", "the opposite": "fails"}.get(self.verdict, "not shown to hold")
        if not self.testable:
            return "not testable" + " (exploratory)" * self.exploratory
        if self.exploratory:
            return f"{'not shown' if self.verdict == 'shown' else self.verdict} (exploratory)"
        return self.verdict

    def row(self) -> list[str]:
        """What is claimed, the estimate, its interval, and the verdict."""
        value, low, high = (self.form(each) for each in self.interval)
        known = f"{low} to {high}" if math.isfinite(self.interval.low) else "none: one seed"
        return ["*precondition*: " * self.precondition + self.text, value, known, f"**{self.told}**"]


def of_shares(text: str, one: Table, other: Table, beyond: float = 0.0) -> Claim:
    """That more videos are right in one way than in another, of two tables (R, C) of the same prompts."""
    apart = by_prompt(one, other)
    return Claim(text, over_shares(apart), points, beyond, apart)


def of_trained(text: str, one: Table, other: Table) -> Claim:
    """That more videos are right of one arm than of another, of two tables (S, C) of the same seeds and prompts."""
    return Claim(text, shares_over_seeds(one, other), points, apart=by_prompt(one, other))


def of_one_seed(claim: Claim) -> Claim:
    """The claim without the ends of its interval, where that is of a single training."""
    return claim._replace(interval=Interval(claim.interval.value, -math.inf, math.inf))


def discordant(claims: Sequence[Claim]) -> str:
    """Of claims about shares: how many prompts speak for them and against, and the exact p, as a table."""
    rows = [["claim", "prompts for it", "against", "alike", "exact p of no difference"]]
    for claim in claims:
        if claim.apart:
            signs = [sum(sign * value > 0 for value in claim.apart) for sign in (1, -1)]
            exact = flipped(claim.apart)
            told = f"{exact:.3f}" if exact >= 0.0005 else "below 0.001"
            rows.append([claim.text, *map(str, (*signs, len(claim.apart) - sum(signs))), told])
    return markdown(rows)


def clustered(table: Table) -> Proportion:
    """The share of hits in a table (R, C) of prompts, with Wilson's interval, clustered by prompt."""
    hits = [(bool(hit), prompt) for row in table for prompt, hit in enumerate(row)]
    return Proportion.of([hit for hit, _ in hits], [prompt for _, prompt in hits])


def trained_share(table: Table) -> Interval:
    """The share of hits in a table (S, C) of trained networks; the interval of a single seed has no ends.

    On either side it reaches as far as the interval of the means of seeds and Wilson's of the clips, clustered, put
    together, squares added: where all clips are right, or none, seeds and clips have no scatter.
    """
    found, of_seeds = clustered(table), reach_of_seeds(table)
    if math.isinf(of_seeds):
        return Interval(found.value, -math.inf, math.inf)
    low, high = (math.hypot(of_seeds, end - found.value) for end in (found.low, found.high))
    return Interval(found.value, max(0.0, found.value - low), min(1.0, found.value + high))


def above(share: Interval, chance: float) -> Interval:
    """How far a share lies above what chance would give."""
    return Interval(*(each - chance for each in share))


def seeds_interval(table: Table) -> str:
    """The interval of a share of hits in a table (S, C) of trained networks, over seeds and clips, as a cell."""
    found = trained_share(table)
    return f"{found.low:.0%} to {found.high:.0%}" if math.isfinite(found.low) else "one seed"


def share_interval(table: Table) -> str:
    """The interval of the share of hits in a table (R, C) of prompts, as a cell."""
    found = clustered(table)
    return f"{found.low:.0%} to {found.high:.0%}"


def points(share: float) -> str:
    """A difference of shares, in points."""
    return f"{100 * share:+.1f} points"


def unit(name: str, digits: int = 2) -> Callable[[float], str]:
    """Differences in this unit."""
    return lambda value: f"{value:+.{digits}f} {name}".rstrip()


def share(table: Table) -> str:
    """The mean of a table (R, C) of hits, as a cell."""
    return f"{sum(map(sum, table)) / sum(map(len, table)):.1%}"


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Rows as a table, the first its head."""
    head, *others = ("| " + " | ".join(row) + " |" for row in rows)
    return "\n".join([head, "|" + "---|" * len(rows[0]), *others])
