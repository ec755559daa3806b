"""DPM-Solver++(2M), the second-order multistep solver in x_hat [Lu et al. 2022, arXiv:2211.01095, Alg. 2]."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.process import by_frames, logsnr_change, ratio
from zoetrope.diffusion.tensors import expand_like
from zoetrope.diffusion.transition import transitions
from zoetrope.samplers import Noise, Sampler, Step


class DPMpp2M(Sampler):
    """Deterministic; one denoiser call per step; second order from the second step on.

    With lambda = logsnr / 2 and h = lambda_s - lambda_t: z_s = (sigma_s / sigma_t) z_t + alpha_s (1 - e^-h) D, where D
    extrapolates x_hat to the middle of the step from this estimate and the previous one. A frame's first step is first
    order, and so is its last, which the truncated schedule makes long in lambda.
    """

    def __call__(self, denoise: Denoise, z: Tensor, levels: Sequence[NoiseLevel], *, noise: Noise) -> Iterator[Step]:
        before: tuple[Tensor, Tensor] | None = None
        last = len(levels) - 2
        for index, step in enumerate(transitions(levels)):
            with torch.no_grad():
                x_hat = step.denoised(denoise, z)
                h = logsnr_change(step.level_t, step.level_s) / 2
                shares = [ratio(step.level_s.sigma, step.level_t.sigma), step.level_s.alpha * torch.expm1(-h)]
                if before is None or index == last:
                    z = by_frames(_first_order, z, x_hat, shares=shares)
                else:
                    # A frame that did not move in the step before has no estimate to extrapolate from.
                    known = (before[0] > 0) & h.isfinite()
                    shares.append(torch.where(known, 1 + h / (2 * before[0]), 1))
                    z = by_frames(_second_order, z, x_hat, before[1], shares=shares)
                before = (h, x_hat)
            yield Step(z, x_hat)


def _first_order(z: Tensor, middle: Tensor, kept: Tensor, minus: Tensor) -> Tensor:
    """kept z - minus D."""
    return expand_like(kept, z) * z - expand_like(minus, z) * middle


def _second_order(z: Tensor, x_hat: Tensor, x_before: Tensor, kept: Tensor, minus: Tensor, way: Tensor) -> Tensor:
    """kept z - minus D, with D = x_before + way (x_hat - x_before), an extrapolation."""
    return _first_order(z, torch.lerp(x_before, x_hat, expand_like(way, z)), kept, minus)
