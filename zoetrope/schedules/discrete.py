"""The schedule of latent diffusion models with a table of betas, such as Stable Diffusion's.

[Ho et al. 2020, arXiv:2006.11239, Sec. 2; Rombach et al. 2022, arXiv:2112.10752, App. D]: alpha^2 at timestep k is the
product of 1 - beta over the timesteps up to k.
"""

from functools import lru_cache
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from zoetrope.diffusion.level import NoiseLevel
from zoetrope.schedules import Schedule

Betas = Literal["scaled_linear", "linear"]
Spacing = Literal["leading", "trailing"]
Beta = Annotated[float, Field(ge=1e-6, le=0.5)]


class Discrete(Schedule):
    """A table of `count` timesteps; t = 0 is timestep 0 and t = 1 the last, with logsnr linear between timesteps.

    The defaults are Stable Diffusion's.

    Attributes:
        betas: "scaled_linear": the square roots of betas are evenly spaced; "linear": the betas themselves.
        first, last: the betas of the first and of the last timestep; first is not above last.
        count: of timesteps.
        spacing: which timesteps n steps of a sampler begin at, `count / n` apart [Lin et al. 2023, arXiv:2305.08891,
            Table 2]. "leading": `offset` and multiples above it, so that the noisiest timesteps are left out;
            "trailing": the last timestep and those below it. The last step ends at timestep 0 in both.
        offset: the timestep at which the last step begins with leading spacing.
    """

    betas: Betas = "scaled_linear"
    first: Beta = 0.00085
    last: Beta = 0.012
    count: Annotated[int, Field(ge=2, le=10_000)] = 1000
    spacing: Spacing = "leading"
    offset: Annotated[int, Field(ge=1, le=100)] = 1

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.first > self.last:
            raise ValueError(f"first: expected a beta of at most last = {self.last:g}, got {self.first:g}")
        if self.offset >= self.count:
            raise ValueError(f"offset: expected a timestep below count = {self.count}, got {self.offset}")
        if not float(_table(self.betas, self.first, self.last, self.count)[-1]) > -55:
            raise ValueError("last: expected betas that leave a logsnr above -55 at the last timestep, got larger ones")
        return self

    def __call__(self, t: Tensor) -> NoiseLevel:
        table = self._table(t)
        place = t.double() * (self.count - 1)
        below = place.floor().long().clamp(0, self.count - 2)
        return NoiseLevel.variance_preserving(torch.lerp(table[below], table[below + 1], place - below))

    def time(self, logsnr: Tensor) -> Tensor:
        return self.timestep(logsnr) / (self.count - 1)

    def timestep(self, logsnr: Tensor) -> Tensor:
        """The timesteps with these logsnr, of any shape, in float64: fractional between timesteps.

        Networks of this schedule are told them. Below 0 or above `count` - 1 beyond the ends.
        """
        table = self._table(logsnr)
        below = torch.searchsorted(-table, -logsnr.double().contiguous()).clamp(1, self.count - 1) - 1
        return below + (table[below] - logsnr.double()) / (table[below] - table[below + 1])

    def times(self, steps: int) -> Tensor:
        """See `Schedule`. Raises ValueError for more steps than there are timesteps to begin at."""
        most = self.count - self.offset if self.spacing == "leading" else max(1, 2 * self.count // 3)
        if steps > most:
            raise ValueError(f"steps: expected at most {most}, for a schedule of {self.count} timesteps, got {steps}")
        if self.spacing == "leading":
            starts = torch.arange(steps - 1, -1, -1, dtype=torch.float64) * (self.count // steps) + self.offset
            if starts[0] > self.count - 1:
                first = f"timestep {int(starts[0])} of {self.count}, with the offset {self.offset}"
                raise ValueError(f"steps: expected fewer or more, for {steps} would begin at {first}")
        else:
            starts = (self.count - torch.arange(steps, dtype=torch.float64) * self.count / steps).round() - 1
        return torch.cat([starts, starts.new_zeros(1)]) / (self.count - 1)

    def _table(self, like: Tensor) -> Tensor:
        """logsnr of each timestep, (count,), float64."""
        return _table(self.betas, self.first, self.last, self.count).to(like.device)


@lru_cache(maxsize=16)
def _table(betas: Betas, first: float, last: float, count: int) -> Tensor:
    if betas == "linear":
        steps = torch.linspace(first, last, count, dtype=torch.float64, device="cpu")
    else:
        steps = torch.linspace(first**0.5, last**0.5, count, dtype=torch.float64, device="cpu").square()
    log_power = torch.log1p(-steps).cumsum(0)
    return log_power - torch.log(-torch.expm1(log_power))
