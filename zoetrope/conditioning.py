"""What a network is given beside z, by family: tokens, maps and numbers. Operations are written over families."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Self, TypeVar

import torch
from torch import Tensor

from zoetrope.shapes import Window

V = TypeVar("V")

NONE: Mapping[str, Tensor] = MappingProxyType({})


@dataclass(frozen=True)
class Tokens:
    """A sequence of features for each video (B, L, D), or for each of its frames (B, F, L, D).

    Attributes:
        values: the features.
        mask: True for real tokens, (B, L) or (B, F, L); a row without any says that this input is unknown.

    Raises ValueError for a mask of another shape.
    """

    values: Tensor
    mask: Tensor

    @classmethod
    def real(cls, values: Tensor) -> Self:
        """Tokens all of which are real."""
        return cls(values, torch.ones(values.shape[:-1], dtype=torch.bool, device=values.device))

    def __post_init__(self) -> None:
        if self.mask.shape != self.values.shape[:-1]:
            expected, got = tuple(self.values.shape[:-1]), tuple(self.mask.shape)
            raise ValueError(f"mask: expected shape {expected}, one value for each token, got {got}")

    def each(self, function: Callable[[Tensor], Tensor]) -> "Tokens":
        """A function of both tensors."""
        return Tokens(function(self.values), function(self.mask))

    def hidden(self, rows: Tensor | None = None) -> "Tokens":
        """The same with no real token in the examples where rows (B,) is True, or in any."""
        if rows is None:
            return Tokens(self.values, torch.zeros_like(self.mask))
        return Tokens(self.values, self.mask & ~rows.reshape(-1, *[1] * (self.mask.ndim - 1)))


@dataclass(frozen=True, kw_only=True)
class Conditioning:
    """What a network is given beside z; each family maps the names of inputs to tensors, and may be empty.

    Attributes:
        tokens: sequences that are attended to, such as the text.
        maps: videos on z's grid, (B, C', F, H, W), such as the previous stage's.
        numbers: values for each video (B,) or for each of its frames (B, F); NaN says that one is unknown.
        times: when each frame is seen, in seconds, (B, F); None: at equal distances, the whole clip from its beginning.
        images: True for examples whose frames are independent images packed like a video, (B,): nothing may cross
            their frames [Ho et al. 2022, arXiv:2210.02303, Sec. 2.6].
    """

    tokens: Mapping[str, Tokens] = field(default_factory=dict)
    maps: Mapping[str, Tensor] = field(default_factory=dict)
    numbers: Mapping[str, Tensor] = field(default_factory=dict)
    times: Tensor | None = None
    images: Tensor | None = None

    def each(self, function: Callable[[Tensor], Tensor]) -> Self:
        """A function of every tensor."""
        return replace(
            self,
            tokens={name: tokens.each(function) for name, tokens in self.tokens.items()},
            maps={name: function(value) for name, value in self.maps.items()},
            numbers={name: function(value) for name, value in self.numbers.items()},
            times=None if self.times is None else function(self.times),
            images=None if self.images is None else function(self.images),
        )

    def __or__(self, other: Self) -> Self:
        """Both together; what both have is taken from the other."""
        return replace(
            self,
            tokens={**self.tokens, **other.tokens},
            maps={**self.maps, **other.maps},
            numbers={**self.numbers, **other.numbers},
            times=self.times if other.times is None else other.times,
            images=self.images if other.images is None else other.images,
        )

    @property
    def names(self) -> set[str]:
        """Those of all inputs there are."""
        return {*self.tokens, *self.maps, *self.numbers}

    def lacking(self, name: str) -> Self:
        """The same but for all that is called so, if anything is."""

        def others(family: Mapping[str, V]) -> dict[str, V]:
            return {own: value for own, value in family.items() if own != name}

        return replace(self, tokens=others(self.tokens), maps=others(self.maps), numbers=others(self.numbers))

    def select(self, rows: Tensor) -> Self:
        """The conditioning of some examples of the batch."""
        return self.each(lambda value: value[rows])

    def to(self, device: torch.device, dtype: torch.dtype) -> Self:
        """The same on a device; masks keep their type."""
        return self.each(lambda value: value.to(device, dtype if value.is_floating_point() else None))

    def blank(self, count: int) -> Self:
        """Zeros of the same shapes for `count` examples."""
        return self.each(lambda value: value.new_zeros(count, *value.shape[1:]))

    def window(self, window: Window) -> Self:
        """What belongs to a box of the video: maps are cut in space and time, what each frame has in time."""
        frames = slice(window.frames.start, window.frames.stop)

        def of_frames(value: Tensor, plain: int) -> Tensor:
            return value if value.ndim == plain else value[:, frames]

        return replace(
            self,
            tokens={name: Tokens(of_frames(t.values, 3), of_frames(t.mask, 2)) for name, t in self.tokens.items()},
            maps={name: window.of(value) for name, value in self.maps.items()},
            numbers={name: of_frames(value, 1) for name, value in self.numbers.items()},
            times=None if self.times is None else self.times[:, frames],
        )

    def without(self, name: str, rows: Tensor | None = None) -> Self:
        """With the tokens of an input hidden in the examples where rows (B,) is True, or in all of them.

        Of text this is the null prompt of classifier-free guidance. Nothing changes where there is no such input.
        """
        if name not in self.tokens:
            return self
        return replace(self, tokens={**self.tokens, name: self.tokens[name].hidden(rows)})


def stacked(several: Iterable[Conditioning]) -> Conditioning:
    """Batches one after the other, as one; all have the same inputs, of equal shapes but for their first axis.

    Raises ValueError if they have not.
    """
    parts = list(several)
    first = parts[0]
    if len(parts) == 1:
        return first
    for part in parts[1:]:
        if part.names != first.names:
            raise ValueError(f"expected the same inputs in all, got {sorted(first.names)} and {sorted(part.names)}")

    def together(get: Callable[[Conditioning], Tensor | None]) -> Tensor | None:
        values = [value for part in parts if (value := get(part)) is not None]
        return torch.cat(values) if values else None

    def tokens(name: str) -> Tokens:
        return Tokens(
            torch.cat([part.tokens[name].values for part in parts]),
            torch.cat([part.tokens[name].mask for part in parts]),
        )

    return Conditioning(
        tokens={name: tokens(name) for name in first.tokens},
        maps={name: torch.cat([part.maps[name] for part in parts]) for name in first.maps},
        numbers={name: torch.cat([part.numbers[name] for part in parts]) for name in first.numbers},
        times=together(lambda part: part.times),
        images=together(lambda part: part.images),
    )
