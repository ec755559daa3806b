"""DPM-Solver++(2M), the second-order multistep solver in x_hat [Lu et al. 2022, arXiv:2211.01095, Alg. 2]."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor

from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.process import by_frames
from zoetrope.diffusion.schedule import NoiseLevel
from zoetrope.samplers import Noise, Sampler, Step
from zoetrope.shapes import expand_like


class DPMpp2M(Sampler):
    """Deterministic; one denoiser call per step; second order from the second step on.

    With lambda = logsnr / 2 and h = lambda_s - lambda_t: z_s = (sigma_s / sigma_t) z_t + alpha_s (1 - e^-h) D, where D
    extrapolates x_hat to the middle of the step from this estimate and the one before. The first step and the last,
    which the truncated schedule makes long in lambda, are first order.
    """

    videos: ClassVar[int] = 4

    def __call__(self, denoise: Denoise, z: Tensor, levels: Sequence[NoiseLevel], *, noise: Noise) -> Iterator[Step]:
        before: tuple[Tensor, Tensor] | None = None
        last = len(levels) - 2
        for index, (level_t, level_s) in enumerate(pairwise(levels)):
            with torch.no_grad():
                x_hat = denoise(z, level_t)
                h = (level_s.logsnr - level_t.logsnr) / 2
                step = _step(level_t, level_s, h, None if before is None or index == last else before[0])
                z = by_frames(step, z, x_hat, x_hat if before is None else before[1])
                before = (h, x_hat)
            yield Step(z, x_hat)


def _step(
    level_t: NoiseLevel, level_s: NoiseLevel, h: Tensor, h_before: Tensor | None
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """(z, x_hat, the x_hat before) -> the next z; first order without the length h_before of the step before."""

    def step(z: Tensor, x_hat: Tensor, x_before: Tensor) -> Tensor:
        middle = x_hat
        if h_before is not None:
            middle = torch.lerp(x_before, x_hat, expand_like(1 + h / (2 * h_before), z))
        kept = expand_like(level_s.sigma / level_t.sigma, z) * z
        return kept - expand_like(level_s.alpha * torch.expm1(-h), z) * middle

    return step
