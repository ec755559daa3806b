"""Guidance, one kind per file: with which variants of the conditioning a network runs, and how outputs are combined.

To add one, add a file with a frozen value that subclasses `Guidance`. A network's outputs at one z are combined by
shares that sum to 1. The result is the same for x, eps, v and flow, which are affine in one another at fixed z.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from zoetrope.conditioning import Conditioning
from zoetrope.config import Kind

Share = float | Tensor
"""The coefficient of an output in the sum: a number, or one per frame, (F,) or (B, F)."""


class Guidance(Kind, ABC):
    """How a stage is guided; its parameters are its fields."""

    folder: ClassVar[str] = "zoetrope.guidance"

    @abstractmethod
    def weights(self, steps: int) -> list[float]:
        """The weight w of each step; 0 is none. A distilled network takes these as input instead."""

    @abstractmethod
    def variants(self, given: Conditioning, negative: Conditioning | None) -> list[Conditioning]:
        """The conditionings that the network runs with at each step: `given` first, then its variants, of equal shapes.

        `given` alone where nothing of it varies, such as its text if it has none: there is no guidance then, and
        `shares` are not asked for. `negative` is the conditioning that guidance leads away from, if any.
        """

    @abstractmethod
    def shares(self, step: int, steps: int) -> Sequence[Share]:
        """The share of each variant's output in a step, counted from 0; they sum to 1."""

    def check(self, where: str, names: Collection[str]) -> None:
        """Raise ValueError, which begins with `where`, for the name of an input that is not among these."""
        return

    @property
    def varies(self) -> bool:
        """Whether frames of a video have different shares, see `shares_of_frames`."""
        return False

    @property
    def one_weight(self) -> bool:
        """Whether it is (1 + w) f(given) - w f(other) with the weight w of the step: a network can learn such."""
        return not self.varies

    def shares_of_frames(self, step: int, steps: int, frames: int) -> Sequence[Share]:
        """`shares` in a video of so many frames: those of each frame, (F,), where they differ."""
        return self.shares(step, steps)

    def active(self, steps: int) -> bool:
        """Whether any step is guided. If none is, the network runs with `given` alone."""
        return any(self.weights(steps))


def combined(outputs: Sequence[Tensor], shares: Sequence[Share]) -> Tensor:
    """The sum of outputs (B, C, F, H, W) times their shares, which sum to 1."""
    rest = outputs[-1]
    total = rest
    for output, share in zip(outputs[:-1], shares, strict=False):
        weight = share if isinstance(share, float | int) else _over_video(share, output)
        total = torch.lerp(rest, output, weight) if total is rest else total + weight * (output - rest)
    return total


def _over_video(share: Tensor, like: Tensor) -> Tensor:
    """Shares (F,) or (B, F) as a view that broadcasts over videos (B, C, F, H, W)."""
    each = share if share.ndim == 2 else share[None]
    return each.to(like)[:, None, :, None, None]
