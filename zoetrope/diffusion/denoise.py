"""Denoisers are functions (z, level) -> x_hat; guidance and thresholds are functions of denoisers."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from zoetrope.diffusion.prediction import Prediction, x_from
from zoetrope.diffusion.quantile import quantile
from zoetrope.diffusion.schedule import NoiseLevel
from zoetrope.shapes import expand_like

Denoise = Callable[[Tensor, NoiseLevel], Tensor]
Weight = Callable[[NoiseLevel], float]
Value = TypeVar("Value")
ROUNDING = 1e-4  # of logsnr: more than float32 is off by, less than any step is long


def denoiser(network: Callable[[Tensor, Tensor], Tensor], kind: Prediction) -> Denoise:
    """Read a network (z, logsnr) -> output as a denoiser."""
    return lambda z, level: x_from(kind, network(z, level.logsnr.to(z.dtype)), z, level)


def guided(conditional: Denoise, unconditional: Denoise, weight: Weight) -> Denoise:
    """x_hat = (1 + w) x_hat(z, c) - w x_hat(z); w = 0 is no guidance [Ho et al. 2022, arXiv:2210.02303, Sec. 2.7].

    Done on x_hat: equal to guidance on eps or v, for all three are affine in one another at fixed z.
    """
    return lambda z, level: torch.lerp(unconditional(z, level), conditional(z, level), 1 + weight(level))


def guided_together(both: Denoise, weight: Weight) -> Denoise:
    """As `guided`, for a denoiser that takes a doubled batch, conditional half first: one network call, not two."""

    def run(z: Tensor, level: NoiseLevel) -> Tensor:
        doubled = NoiseLevel(*(torch.cat([value, value]) for value in level))
        conditional, unconditional = both(torch.cat([z, z]), doubled).chunk(2)
        return torch.lerp(unconditional, conditional, 1 + weight(level))

    return run


def statically_thresholded(denoise: Denoise) -> Denoise:
    """Clip x_hat to [-1, 1]."""
    return lambda z, level: denoise(z, level).clamp(-1, 1)


def dynamically_thresholded(denoise: Denoise, percentile: float) -> Denoise:
    """Clip x_hat to [-s, s] and divide by s, where s is that percentile of |x_hat|, at least 1.

    One s for each example over all its frames, or brightness would flicker [Saharia et al. 2022, arXiv:2205.11487,
    Sec. 2.3; Ho et al. 2022, arXiv:2210.02303, Sec. 2.7]. `percentile` is a fraction in (0, 1]. It is done in the
    memory of what `denoise` gives.
    """

    def run(z: Tensor, level: NoiseLevel) -> Tensor:
        x_hat = denoise(z, level)
        s = expand_like(quantile(x_hat, percentile, least=1.0), x_hat)
        return x_hat.clamp_(-s, s).div_(s)

    return run


def keeping(denoise: Denoise, frames: Tensor) -> Denoise:
    """Give back some frames of x_hat (B, C, F, H, W) as they are known: `frames` (B, C, f, H, W), every F / f-th one.

    The replacement method [Ho et al. 2022, arXiv:2204.03458, Sec. 3.1], on x_hat: the noise that a sampler reads off
    z and x_hat is then that which z holds there. They are put into what `denoise` gives.
    """

    def run(z: Tensor, level: NoiseLevel) -> Tensor:
        x_hat = denoise(z, level)
        x_hat[:, :, :: x_hat.shape[2] // frames.shape[2]] = frames
        return x_hat

    return run


def per_step(levels: Sequence[NoiseLevel], values: Sequence[Value]) -> Callable[[NoiseLevel], Value]:
    """The step function of noise level with values[i] from levels[i] down to levels[i + 1].

    This is how a weight that changes from step to step (oscillating guidance [Ho et al. 2022, arXiv:2210.02303,
    Sec. 2.7]) reaches a denoiser, which is told noise levels and no step numbers. A second-order sampler that looks
    ahead to levels[i + 1] meets there the weight of the next step. A level that was rounded to
    float32 belongs where it would without.
    """
    starts = torch.stack([level.logsnr[0].double() for level in levels[: len(values)]])
    starts[1:] -= (0.1 * starts.diff()).clamp(max=ROUNDING)
    return lambda level: values[max(0, int((starts <= level.logsnr[0]).sum()) - 1)]


def oscillating(steps: int, high: float, low: float, constant: int) -> list[float]:
    """Weights of each step: `high` for the first `constant` steps, then low and high in turn, low first.

    [Ho et al. 2022, arXiv:2210.02303, Sec. 2.7] gives 15 and 1 as an example, and no number of constant steps.
    """
    return [high if i < constant or (i - constant) % 2 else low for i in range(steps)]
