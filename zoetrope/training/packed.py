"""Batches of clips on several grids."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zoetrope.data import Dropped

if TYPE_CHECKING:
    from zoetrope.training.batch import Batch


@dataclass(frozen=True)
class PackedBatch:
    """Examples of several grids, which one step learns from together.

    Attributes:
        parts: those of each grid, at least one; each has the times of the whole batch.
    """

    parts: tuple["Batch", ...]

    @property
    def size(self) -> int:
        """How many examples the whole batch has."""
        return self.parts[0].size

    @property
    def times(self) -> Tensor:
        """Of all examples, (size,) float64."""
        return self.parts[0].times

    @property
    def one_level(self) -> Tensor | None:
        """See `Batch`."""
        return self.parts[0].one_level

    @property
    def part(self) -> Tensor:
        """The indices of these examples in the batch, (b,) int64, ascending."""
        return torch.cat([each.part for each in self.parts]).sort().values

    @property
    def count(self) -> int:
        """How many examples are here, b."""
        return sum(each.count for each in self.parts)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the examples, in the order of `part`."""
        named = {place: name for each in self.parts for place, name in zip(each.part.tolist(), each.names, strict=True)}
        return tuple(named[place] for place in self.part.tolist())

    @property
    def skipped(self) -> tuple[Dropped, ...]:
        """See `Batch`."""
        return tuple(dropped for each in self.parts for dropped in each.skipped)

    def select(self, rows: Tensor) -> "PackedBatch":
        """Some of these examples, at least one, by their indices among them, (n,) int64."""
        wanted = self.part[rows]
        chosen = [each.select(torch.isin(each.part, wanted).nonzero()[:, 0]) for each in self.parts]
        return PackedBatch(tuple(each for each in chosen if each.count))

    def blank(self) -> "PackedBatch":
        """One example of zeros."""
        return PackedBatch((self.parts[0].blank(),))
