"""A number that the data tell of each clip, such as the ejection fraction of a heart, a viscosity or a speed.

One network learns all values, and in sampling the number is asked for. Where it is unknown, or dropped in training, a
vector of its own stands in for it [Ho & Salimans 2022, arXiv:2207.12598, Sec. 3.2].
"""

import math
from collections.abc import Sequence
from typing import Annotated, Any, Self

import numpy as np
import torch
from pydantic import Field, model_validator

from zoetrope.conditioning import Conditioning
from zoetrope.config.errors import shown
from zoetrope.inputs import Asked, Examples, Extent, Input
from zoetrope.inputs._told import ToldName, blank_numbers, told_numbers
from zoetrope.scales import Finite, Scale
from zoetrope.scales.range import Range
from zoetrope.shapes import VideoShape

ROUNDING = 1e-6


class Number(Input):
    """A number of each clip, by its name in the data.

    Networks see it on a scale. A clip of which the data do not tell it has an unknown one.

    Attributes:
        told: its name, in the data and in requests.
        lo, hi: the smallest and the largest number of the training data. Others are refused, for nothing was learnt
            of them.
        scale: how numbers become those that networks see; None: evenly, from -1 at `lo` to 1 at `hi`.
        dropout: share of training examples in which it is unknown, for guidance and for requests without it.
    """

    told: ToldName
    lo: Finite
    hi: Finite
    scale: Scale | None = None
    dropout: Annotated[float, Field(ge=0, le=1)] = 0.1

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.lo < self.hi:
            raise ValueError(f"lo: expected a number below hi = {self.hi:g}, got {self.lo:g}")
        ends = self._seen(torch.tensor([self.lo, self.hi], dtype=torch.float64))
        if not bool(ends.isfinite().all()):
            raise ValueError(f"scale: expected one that takes the numbers from {self.lo:g} to {self.hi:g}")
        return self

    @property
    def name(self) -> str:
        """The name in the data."""
        return self.told

    @property
    def asked(self) -> Asked:
        """See `Input`."""
        return Asked("number", lo=self.lo, hi=self.hi)

    @property
    def description(self) -> str:
        """See `Input`."""
        return f"{self.told} (a number from {self.lo:g} to {self.hi:g})"

    @property
    def tells(self) -> dict[str, str]:
        """See `Input`."""
        return {self.told: "number"}

    def of_examples(self, shape: VideoShape, examples: Examples) -> Conditioning:
        """The number of each video, or of each picture of a pack, unknown in some.

        Raises ValueError that names the clip for one beyond `lo` and `hi`, and for a label.
        """
        return told_numbers(self.told, examples, self.dropout, self._number)

    def of_told(self, samples: Sequence[Any]) -> Conditioning:
        """The number that each sample tells."""
        given = [self._number(one.told[self.told], one.name) if self.told in one.told else math.nan for one in samples]
        return Conditioning(numbers={self.told: torch.tensor(given, dtype=torch.float32)})

    def of_request(self, value: Any, count: int) -> Conditioning:
        """A number for all videos, or one for each of them; None: unknown.

        Raises ValueError for anything else, and for a number beyond `lo` and `hi`.
        """
        if value is None:
            return Conditioning(numbers={self.told: torch.full((count,), math.nan)})
        each = value.tolist() if isinstance(value, torch.Tensor | np.ndarray) and value.ndim else value
        if not isinstance(each, list | tuple):
            each = [each] * count
        if len(each) != count:
            raise ValueError(f"{self.told}: expected a number, or one for each of {count} videos, got {len(each)}")
        return Conditioning(numbers={self.told: torch.tensor([self._number(one) for one in each])})

    def blank(self, extent: Extent) -> Conditioning:
        """Zeros."""
        return blank_numbers(self.told, extent)

    def _number(self, value: object, of: str = "") -> float:
        """The number that networks see. Raises ValueError for one not learnt, with the clip that it is `of`."""
        where = f"{of}: {self.told}" if of else self.told
        legal = f"a number from {self.lo:g} to {self.hi:g}"
        try:
            if isinstance(value, bool | str | bytes):
                raise TypeError
            number = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"{where}: expected {legal}, got {shown(value)}") from None
        if math.isnan(number):
            raise ValueError(f"{where}: expected {legal}, or none where it is unknown, got nan")
        slack = ROUNDING * (self.hi - self.lo)  # of float32
        if not self.lo - slack <= number <= self.hi + slack:
            why = "as its input says" if of else "as in its training"
            raise ValueError(f"{where}: expected {legal}, {why}, got {number:g}")
        return float(self._seen(torch.tensor(number, dtype=torch.float64)))

    def _seen(self, numbers: torch.Tensor) -> torch.Tensor:
        scale = Range(lo=self.lo, hi=self.hi) if self.scale is None else self.scale
        return scale.to_model(numbers)
