"""A label that the data tell of each clip, one of several classes by name, such as the view of a heart or a digit.

As numbers have, every label has a vector of its own for the unknown [Ho & Salimans 2022, arXiv:2207.12598, Sec. 3.2].
"""

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import AfterValidator, Field

from zoetrope.conditioning import Conditioning
from zoetrope.config import unknown
from zoetrope.config.errors import shown
from zoetrope.inputs import Asked, Examples, Extent, Input
from zoetrope.inputs._told import ToldName, blank_numbers, told_numbers
from zoetrope.shapes import VideoShape


def _once(classes: tuple[str, ...]) -> tuple[str, ...]:
    if twice := [name for place, name in enumerate(classes) if name in classes[:place]]:
        raise ValueError(f"expected every class once, got {twice[0]!r} twice")
    return classes


ClassName = Annotated[str, Field(min_length=1, max_length=100)]


class Label(Input):
    """A label of each clip, by its name in the data.

    Networks see the number of its class, in the order of `classes`. Of clips without it, it is unknown.

    Attributes:
        told: its name, in the data and in requests.
        classes: the labels that there are.
        dropout: share of training examples in which it is unknown, for guidance and for requests without it.
    """

    told: ToldName
    classes: Annotated[tuple[ClassName, ...], Field(min_length=1, max_length=65_536), AfterValidator(_once)]
    dropout: Annotated[float, Field(ge=0, le=1)] = 0.1

    @property
    def name(self) -> str:
        """The name in the data."""
        return self.told

    @property
    def asked(self) -> Asked:
        """See `Input`."""
        return Asked("label", classes=self.classes)

    @property
    def description(self) -> str:
        """See `Input`."""
        few = ", ".join(self.classes[:8]) + (f" and {len(self.classes) - 8} more" if len(self.classes) > 8 else "")
        return f"{self.told} (a label: {few})"

    @property
    def tells(self) -> dict[str, str]:
        """See `Input`."""
        return {self.told: "label"}

    @property
    def size(self) -> int:
        """How many classes there are."""
        return len(self.classes)

    def of_examples(self, shape: VideoShape, examples: Examples) -> Conditioning:
        """The class of each video, or of each picture of a pack, unknown in some.

        Raises ValueError that names the clip, with the nearest class, for a label that is none.
        """
        return told_numbers(self.told, examples, self.dropout, self._class)

    def of_told(self, samples: Sequence[Any]) -> Conditioning:
        """The class of each sample."""
        given = [self._class(one.told[self.told], one.name) if self.told in one.told else torch.nan for one in samples]
        return Conditioning(numbers={self.told: torch.tensor(given)})

    def of_request(self, value: Any, count: int) -> Conditioning:
        """A label for all videos, or one for each of them; None: unknown.

        Raises ValueError for anything else, and, with the nearest class, for one that there is not.
        """
        if value is None:
            return Conditioning(numbers={self.told: torch.full((count,), torch.nan)})
        each = list(value) if isinstance(value, list | tuple | np.ndarray) else [value] * count
        if len(each) != count:
            raise ValueError(f"{self.told}: expected a label, or one for each of {count} videos, got {len(each)}")
        return Conditioning(numbers={self.told: torch.tensor([self._class(one) for one in each])})

    def blank(self, extent: Extent) -> Conditioning:
        """The first class."""
        return blank_numbers(self.told, extent)

    def _class(self, value: object, of: str = "") -> float:
        """The number of a label's class. Raises ValueError for an unknown one, with the clip that it is `of`."""
        where = f"{of}: {self.told}" if of else self.told
        if not isinstance(value, str) and (isinstance(value, bool) or not isinstance(value, int | np.integer)):
            raise ValueError(f"{where}: expected a label, such as {self.classes[0]!r}, got {shown(value)}")
        label = str(value)
        if label not in self.classes:
            raise ValueError(f"{where}: {unknown('label', label, self.classes)}")
        return float(self.classes.index(label))
