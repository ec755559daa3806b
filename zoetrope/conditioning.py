"""What conditions a network beside z, by family: tokens, maps, numbers. Operations are written once, over families."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Annotated, Self, TypeVar

import torch
from pydantic import Field
from torch import Tensor

from zoetrope.diffusion.tensors import sent
from zoetrope.shapes import Window

V = TypeVar("V")

NONE: Mapping[str, Tensor] = MappingProxyType({})

MOST_WEIGHT = 10_000
Weight = Annotated[float, Field(ge=0, le=MOST_WEIGHT)]
"""The weight w of guidance, from 0 for none."""


@dataclass(frozen=True)
class Tokens:
    """A sequence of features for each video (B, L, D), or for each of its frames (B, F, L, D).

    Attributes:
        values: the features.
        mask: True for real tokens, (B, L) or (B, F, L); a row without real tokens means that the input is unknown.

    Raises ValueError for a mask of another shape.
    """

    values: Tensor
    mask: Tensor

    @classmethod
    def real(cls, values: Tensor) -> Self:
        """Tokens that are all real."""
        return cls(values, torch.ones(values.shape[:-1], dtype=torch.bool, device=values.device))

    def __post_init__(self) -> None:
        if self.mask.shape != self.values.shape[:-1]:
            expected, got = tuple(self.values.shape[:-1]), tuple(self.mask.shape)
            raise ValueError(f"mask: expected shape {expected}, one value for each token, got {got}")

    def each(self, function: Callable[[Tensor], Tensor]) -> "Tokens":
        """Apply a function to both tensors."""
        return Tokens(function(self.values), function(self.mask))

    def hidden(self, rows: Tensor | None = None) -> "Tokens":
        """The same without real tokens in the examples where rows (B,) is True; for None, in all of them."""
        if rows is None:
            return Tokens(self.values, torch.zeros_like(self.mask))
        return Tokens(self.values, self.mask & ~rows.reshape(-1, *[1] * (self.mask.ndim - 1)))


@dataclass(frozen=True, kw_only=True)
class Conditioning:
    """What conditions a network beside z; each family maps names of inputs to tensors, and may be empty.

    Attributes:
        tokens: sequences to attend to, such as text.
        maps: videos on z's grid, (B, C', F, H, W), such as the previous stage's.
        numbers: values for each video (B,) or each of its frames (B, F); NaN means unknown.
        times: time of each frame in seconds, (B, F); None: evenly spaced frames, the whole clip from its beginning.
        images: True for examples whose frames are independent images, packed like a video, (B,), or for the frames that
            are, (B, F): no information may pass between such a frame and any other [Ho et al. 2022, arXiv:2210.02303,
            Sec. 2.6]. Its time does not count.
    """

    tokens: Mapping[str, Tokens] = field(default_factory=dict)
    maps: Mapping[str, Tensor] = field(default_factory=dict)
    numbers: Mapping[str, Tensor] = field(default_factory=dict)
    times: Tensor | None = None
    images: Tensor | None = None

    def each(self, function: Callable[[Tensor], Tensor]) -> Self:
        """Apply a function to every tensor."""
        return replace(
            self,
            tokens={name: tokens.each(function) for name, tokens in self.tokens.items()},
            maps={name: function(value) for name, value in self.maps.items()},
            numbers={name: function(value) for name, value in self.numbers.items()},
            times=None if self.times is None else function(self.times),
            images=None if self.images is None else function(self.images),
        )

    def __or__(self, other: Self) -> Self:
        """Both combined; what both have is taken from `other`."""
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
        """The names of all inputs in it."""
        return {*self.tokens, *self.maps, *self.numbers}

    def lacking(self, name: str) -> Self:
        """All inputs but the one of this name."""

        def others(family: Mapping[str, V]) -> dict[str, V]:
            return {own: value for own, value in family.items() if own != name}

        return replace(self, tokens=others(self.tokens), maps=others(self.maps), numbers=others(self.numbers))

    def select(self, rows: Tensor) -> Self:
        """The conditioning of some examples of the batch, by index or mask."""
        return self.each(lambda value: value[rows])

    def to(self, device: torch.device, dtype: torch.dtype) -> Self:
        """The same on a device; masks keep their type."""
        return self.each(lambda value: sent(value, device, dtype if value.is_floating_point() else None))

    def blank(self, count: int) -> Self:
        """Zeros of the same shapes for `count` examples; frames that are seen at some times are seen a second apart."""
        blank = self.each(lambda value: value.new_zeros(count, *value.shape[1:]))
        if blank.times is None:
            return blank
        return replace(blank, times=blank.times + torch.arange(blank.times.shape[1], device=blank.times.device))

    def window(self, window: Window) -> Self:
        """The part that belongs to a box of the video: maps are cut in space and time, values per frame in time."""
        cut = self._at(slice(window.frames.start, window.frames.stop))
        return replace(cut, maps={name: window.of(value) for name, value in self.maps.items()})

    def at_frames(self, frames: Sequence[int]) -> Self:
        """The part that belongs to some frames of the video, by number and in this order."""
        chosen = list(frames)
        return replace(self._at(chosen), maps={name: value[:, :, chosen] for name, value in self.maps.items()})

    def _at(self, frames: slice | list[int]) -> Self:
        """The same with the values per frame of some frames, and whole maps."""

        def of_frames(value: Tensor, plain: int) -> Tensor:
            return value if value.ndim == plain else value[:, frames]

        return replace(
            self,
            tokens={name: Tokens(of_frames(t.values, 3), of_frames(t.mask, 2)) for name, t in self.tokens.items()},
            numbers={name: of_frames(value, 1) for name, value in self.numbers.items()},
            times=None if self.times is None else self.times[:, frames],
            images=None if self.images is None else of_frames(self.images, 1),
        )

    def without(self, name: str, rows: Tensor | None = None) -> Self:
        """Hide an input in the examples where rows (B,) is True; for None, in all of them: it is unknown there.

        For text this is the null prompt of classifier-free guidance. Tokens are no longer real, numbers are NaN, and
        maps are 0, with the scale of one that has one. Without such an input nothing changes.
        """
        tokens, maps, numbers = dict(self.tokens), dict(self.maps), dict(self.numbers)
        if name in tokens:
            tokens[name] = tokens[name].hidden(rows)
        if name in numbers:
            numbers[name] = _filled(numbers[name], math.nan, rows)
        if name in maps:
            maps[name] = _filled(maps[name], 0.0, rows)
            scale = f"{name}_scale"
            numbers |= {scale: _filled(numbers[scale], 0.0, rows)} if scale in numbers else {}
        return replace(self, tokens=tokens, maps=maps, numbers=numbers) if name in self.names else self


def _filled(values: Tensor, fill: float, rows: Tensor | None) -> Tensor:
    """Values (B, ...) with another one in the examples where rows (B,) is True; for None, in all of them."""
    if rows is None:
        return torch.full_like(values, fill)
    return values.masked_fill(rows.to(values.device).reshape(-1, *[1] * (values.ndim - 1)), fill)


def stacked(several: Iterable[Conditioning]) -> Conditioning:
    """Several batches concatenated; all must have the same inputs, of equal shapes except for the first axis.

    Raises ValueError if they do not.
    """
    parts = list(several)
    first = parts[0]
    if len(parts) == 1:
        return first
    for part in parts[1:]:
        if part.names != first.names:
            raise ValueError(f"expected the same inputs in all, got {sorted(first.names)} and {sorted(part.names)}")
        for name in ("times", "images"):
            if (getattr(part, name) is None) != (getattr(first, name) is None):
                raise ValueError(f"{name}: expected them in all or in none, got them in some")

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
