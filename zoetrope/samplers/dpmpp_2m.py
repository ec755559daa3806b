"""DPM-Solver++(2M), the second-order multistep solver in x_hat [Lu et al. 2022, arXiv:2211.01095, Alg. 2]."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.schedule import NoiseLevel
from zoetrope.samplers import Noise, Sampler, Step
from zoetrope.shapes import expand_like


class DPMpp2M(Sampler):
    """Deterministic; one denoiser call per step; second order from the second step on.

    With lambda = logsnr / 2 and h = lambda_s - lambda_t: z_s = (sigma_s / sigma_t) z_t + alpha_s (1 - e^-h) D, where D
    extrapolates x_hat to the middle of the step from this estimate and the one before. The first step and the last,
    which the truncated schedule makes long in lambda, are first order.
    """

    @torch.no_grad()
    def __call__(self, denoise: Denoise, z: Tensor, levels: Sequence[NoiseLevel], *, noise: Noise) -> Iterator[Step]:
        before: tuple[Tensor, Tensor] | None = None
        last = len(levels) - 2
        for index, (level_t, level_s) in enumerate(pairwise(levels)):
            x_hat = denoise(z, level_t)
            h = (level_s.logsnr - level_t.logsnr) / 2
            middle = x_hat
            if before is not None and index < last:
                h_before, x_before = before
                middle = torch.lerp(x_before, x_hat, expand_like(1 + h / (2 * h_before), z))
            z = (
                expand_like(level_s.sigma / level_t.sigma, z) * z
                - expand_like(level_s.alpha * torch.expm1(-h), z) * middle
            )
            before = (h, x_hat)
            yield Step(z, x_hat)
