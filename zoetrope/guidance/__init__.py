"""Guidance, one kind a file: which variants of the conditioning a network answers, and how the answers are combined.

To add one, add a file with a value of `Guidance`. Outputs of a network at one z are combined by shares that sum to 1.
That is the same on x, eps, v and flow outputs, all of which are affine in one another there.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from zoetrope.conditioning import Conditioning
from zoetrope.config import Kind

Share = float | Tensor
"""What an answer counts: a number, or one for each frame, (F,) or (B, F)."""


class Guidance(Kind, ABC):
    """How a stage is guided; its parameters are its fields."""

    folder: ClassVar[str] = "zoetrope.guidance"

    @abstractmethod
    def weights(self, steps: int) -> list[float]:
        """The weight w of each of so many steps; 0 is none. What a distilled network is told in its place."""

    @abstractmethod
    def variants(self, given: Conditioning, negative: Conditioning | None) -> list[Conditioning]:
        """What the network is asked with at each step: the conditioning as it is given, and others.

        `negative` is what guidance leads away from, if that is said; all variants have the same shapes.
        """

    @abstractmethod
    def shares(self, step: int, steps: int) -> Sequence[Share]:
        """What the answer to each variant counts in a step, from 0 on; they sum to 1."""

    def active(self, steps: int) -> bool:
        """Whether any step is guided. Otherwise the network is asked once, with the conditioning as it is given."""
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
    """Shares (F,) or (B, F) that spread over (B, C, F, H, W)."""
    each = share if share.ndim == 2 else share[None]
    return each.to(like)[:, None, :, None, None]
