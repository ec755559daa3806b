"""Denoisers are functions (z, level) -> x_hat; thresholds and known frames are functions of denoisers."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.prediction import Prediction, x_from
from zoetrope.diffusion.quantile import quantile
from zoetrope.diffusion.tensors import expand_like, has_data

Denoise = Callable[[Tensor, NoiseLevel], Tensor]
StepFunction = Callable[[NoiseLevel], float | Tensor]
"""Noise level -> the value of its step: one number, or (B, F) where each frame has a level of its own."""
ROUNDING = 1e-4  # of logsnr: larger than the rounding of float32, smaller than any step


def denoiser(network: Callable[[Tensor, Tensor], Tensor], kind: Prediction) -> Denoise:
    """The denoiser of a network (z, logsnr) -> output."""
    return lambda z, level: x_from(kind, network(z, level.logsnr.to(z.dtype)), z, level)


def extrapolated(unconditional: Tensor, conditional: Tensor, weight: float | Tensor) -> Tensor:
    """(1 + w) conditional - w unconditional, (B, ...), for one weight, or one per example (B,) or frame (B, F)."""
    share = 1 + weight if not isinstance(weight, Tensor) else expand_like(1 + weight, conditional)
    return torch.lerp(unconditional, conditional, share)


def statically_thresholded(denoise: Denoise) -> Denoise:
    """Clip x_hat to [-1, 1]."""
    return lambda z, level: denoise(z, level).clamp(-1, 1)


def dynamically_thresholded(denoise: Denoise, percentile: float) -> Denoise:
    """Clip x_hat to [-s, s] and divide by s, where s is that percentile of |x_hat|, at least 1.

    One s for all frames of an example, or brightness would flicker [Saharia et al. 2022, arXiv:2205.11487, Sec. 2.3;
    Ho et al. 2022, arXiv:2210.02303, Sec. 2.7]. `percentile` is a fraction in (0, 1]. Works in place on the x_hat that
    `denoise` returns.
    """

    def run(z: Tensor, level: NoiseLevel) -> Tensor:
        x_hat = denoise(z, level)
        s = expand_like(quantile(x_hat, percentile, least=1.0), x_hat)
        return x_hat.clamp_(-s, s).div_(s)

    return run


def keeping(denoise: Denoise, frames: Tensor) -> Denoise:
    """Replace every (F / f)-th frame of x_hat (B, C, F, H, W) by the known `frames` (B, C, f, H, W).

    The replacement method [Ho et al. 2022, arXiv:2204.03458, Sec. 3.1], applied to x_hat: the noise that a sampler
    infers from z and x_hat is then exactly the noise in z. Works in place on the x_hat that `denoise` returns.
    """

    def run(z: Tensor, level: NoiseLevel) -> Tensor:
        x_hat = denoise(z, level)
        x_hat[:, :, :: x_hat.shape[2] // frames.shape[2]] = frames
        return x_hat

    return run


def per_step(levels: Sequence[NoiseLevel], values: Sequence[float]) -> StepFunction:
    """The step function of noise level with values[i] from levels[i] down to levels[i + 1].

    This is how what changes from step to step (oscillating guidance [Ho et al. 2022, arXiv:2210.02303, Sec. 2.7])
    reaches a denoiser, which knows noise levels but no step numbers. A second-order sampler that evaluates at
    levels[i + 1] gets the value of the next step there. Rounding a level to float32 does not change its step.

    All examples share the levels. At a level (B,) the value is one number. At a level (B, F) each frame has its own
    value, (B, F). With `levels` (B,) it is the value at the frame's noise level; with `levels` (B, F) it is that of
    the step in which the frame leaves the level, so that frames that start late get the values of their steps. The
    value of a frame that does not move has no effect. `levels` (B, F) fix the number of frames.
    """
    starts = _starts(levels[: len(values)])
    table = torch.tensor(values, dtype=torch.float64, device=starts.device)
    own = _numbers(levels, starts)

    def value(level: NoiseLevel) -> float | Tensor:
        if starts.ndim == 1 and not level.per_frame:
            if (found := own.get(id(level.logsnr))) is not None:
                return values[found[1]]
            return values[max(0, int((starts <= level.logsnr[0]).sum()) - 1)]
        frames = level.logsnr.shape[-1]
        if not level.per_frame or (starts.ndim == 2 and starts.shape[1] != frames):
            got = f"one of {frames} frames" if level.per_frame else "one of whole examples"
            raise ValueError(f"level: expected one of {starts.shape[-1]} frames, like those of the steps, got {got}")
        return table[((starts.reshape(len(starts), 1, -1) <= level.logsnr).sum(0) - 1).clamp(min=0)]

    return value


def _numbers(levels: Sequence[NoiseLevel], starts: Tensor) -> dict[int, tuple[Tensor, int]]:
    """The identity of each level's logsnr (B,) -> that tensor, so that it remains, and the number of its step.

    To look a step up would make a GPU's host wait, in every call, for all that it has asked for.
    """
    if starts.ndim > 1:
        return {}
    if has_data(starts):
        logsnr = torch.stack([level.logsnr[0] for level in levels])
        steps = ((starts <= logsnr[:, None]).sum(1) - 1).clamp(min=0).tolist()
    else:  # in a dry run
        steps = [min(step, len(starts) - 1) for step in range(len(levels))]
    return {id(level.logsnr): (level.logsnr, step) for level, step in zip(levels, steps, strict=True)}


def _starts(levels: Sequence[NoiseLevel]) -> Tensor:
    """The logsnr at which each step starts, (N,) or (N, F), lowered by `ROUNDING`."""
    starts = torch.stack([level.logsnr[0].double() for level in levels])
    margins = [torch.full_like(starts[0], ROUNDING)]
    for gap in starts.diff(dim=0):
        margins.append(torch.where(gap == 0, margins[-1], (0.1 * gap).clamp(max=ROUNDING)))
    return starts - torch.stack(margins)
