"""A denoiser that runs its network on a few frames at a time, and finishes each part before the next."""

import logging
from collections.abc import Iterator

import torch
from torch import Tensor

from zoetrope.cascade.execution.call import Calls
from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.networks import FrameChunk
from zoetrope.shapes import Window

log = logging.getLogger(__name__)


def streamed(calls: Calls, window: Window, frames: int, *, keep: bool, in_place: bool) -> Denoise:
    """The denoiser of a window, `frames` at a time.

    With `keep`, the maps of all parts stay in memory from step to step. `in_place`: write x_hat into z's memory;
    single-step sampling only.
    """
    starts = range(0, len(window.frames), frames)
    parts = [window._replace(frames=window.frames[start : start + frames]) for start in starts]
    cuts = [slice(start, start + frames) for start in starts]
    given = calls.without_maps(window)
    kept = [calls.maps(part) for part in parts] if keep else None

    def inputs(z: Tensor) -> Iterator[FrameChunk]:
        for number, (part, cut) in enumerate(zip(parts, cuts, strict=True)):
            maps = calls.maps(part) if kept is None else kept[number]
            yield FrameChunk(calls.repeated(z[:, :, cut]), maps)

    def run(z: Tensor, level: NoiseLevel) -> Tensor:
        x_hat = z if in_place else torch.empty_like(z)
        logsnr = calls.repeated(level.logsnr.to(z.dtype))
        outputs = calls.network.stream(inputs(z), logsnr, calls.at_level(level, len(z), given))
        for part, cut in zip(parts, cuts, strict=True):
            log.debug("stage %s: frame %d of %d", calls.stage.name, cut.start + 1, len(window.frames))
            answer = calls.in_dtype(lambda: next(outputs))
            x_hat[:, :, cut] = calls.x_hat(answer, z[:, :, cut], level.frames(cut), part.frames)
        return x_hat

    return run
