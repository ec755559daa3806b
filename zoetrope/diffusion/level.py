"""A noise level: a point of the forward process, for each example of a batch or for each frame of each example.

The forward process is q(z_t | x) = N(alpha_t x, sigma_t^2 I) and logsnr = log(alpha^2 / sigma^2)
[Kingma et al. 2021, arXiv:2107.00630, Eq. 1-3].
"""

from collections.abc import Sequence
from typing import Annotated, NamedTuple, Self

import torch
from pydantic import Field
from torch import Tensor

CLEANEST = 60  # logsnr at which float64 has alpha = 1; sigma is 1e-13
LogSNR = Annotated[float, Field(ge=-CLEANEST, le=CLEANEST)]


class NoiseLevel(NamedTuple):
    """alpha, sigma and logsnr, float64, of one shape: (B,), or (B, F) where each frame has its own level.

    In float32 logsnr would be off by 1e-3, and alpha by 0.05 % at t = 1.
    """

    alpha: Tensor
    sigma: Tensor
    logsnr: Tensor

    @classmethod
    def variance_preserving(cls, logsnr: Tensor) -> Self:
        """The level with this logsnr, of any shape, and alpha^2 + sigma^2 = 1, computed without cancellation."""
        logsnr = logsnr.double()
        return cls(torch.sigmoid(logsnr).sqrt(), torch.sigmoid(-logsnr).sqrt(), logsnr)

    @classmethod
    def clean(cls, *shape: int, device: torch.device | str = "cpu") -> Self:
        """The level of data, for frames that are known: z is the frame itself. `shape` is (B,) or (B, F)."""
        return cls.variance_preserving(torch.full(shape, CLEANEST, dtype=torch.float64, device=device))

    @classmethod
    def where(cls, condition: Tensor, level: "NoiseLevel", other: "NoiseLevel") -> Self:
        """`level` where the condition holds, `other` elsewhere; a condition (F,) or (B, F) for levels (B, F)."""
        return cls(*(torch.where(condition, a, b) for a, b in zip(level, other, strict=True)))

    @property
    def per_frame(self) -> bool:
        """Whether each frame has its own level."""
        return self.logsnr.ndim == 2

    @property
    def is_clean(self) -> Tensor:
        """Where z is the data, bool like logsnr."""
        return self.logsnr >= CLEANEST

    def expand(self, frames: int) -> Self:
        """A level (B,) repeated for `frames` frames, (B, F); a level per frame unchanged."""
        if self.per_frame:
            return self
        return type(self)(*(value[:, None].expand(-1, frames) for value in self))

    def expand_as(self, other: "NoiseLevel") -> Self:
        """The level per frame if `other` is per frame, so that their values can be combined."""
        return self.expand(other.logsnr.shape[1]) if other.per_frame else self

    def frames(self, window: range | slice) -> Self:
        """The level of a window of consecutive frames, (B, f); a level (B,) unchanged."""
        if not self.per_frame:
            return self
        return type(self)(*(value[:, window.start : window.stop] for value in self))

    def select(self, examples: Tensor | slice) -> Self:
        """The level of some examples of the batch."""
        return type(self)(*(value[examples] for value in self))

    def repeated(self, times: int) -> Self:
        """The level of a batch repeated `times` times."""
        return type(self)(*(torch.cat([value] * times) for value in self))


def changes(levels: Sequence[NoiseLevel]) -> Tensor:
    """Which examples, or frames, change level in each step: bool, one row for each pair of neighbouring levels."""
    alpha, sigma = (torch.stack([level[place] for level in levels]) for place in (0, 1))
    return (alpha[1:] != alpha[:-1]) | (sigma[1:] != sigma[:-1])
