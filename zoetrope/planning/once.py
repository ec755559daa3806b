"""Denoisers of a stage on tensors without data that run only once for each size of video.

A routine may then be counted step by step, for however many steps: what it asks again counts as it did the first time.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from zoetrope.cascade.execution.meter import Meter
from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.planning.count import Operation, Tally, flops_of
from zoetrope.routines import Ready


class Once:
    """Counts what a routine asks of a stage's denoisers.

    Attributes:
        whole: whether it asked for x_hat of whole videos.
        parts: the FLOPs of a call on some frames, by their numbers, of all that it asked for.
    """

    def __init__(self, meter: Meter[Operation]) -> None:
        """`meter` counts, and is told of what does not run again."""
        self.meter = meter
        self.whole, self.parts = False, dict[tuple[int, ...], int]()
        self._known: dict[tuple[bool, torch.Size], tuple[Tally, int]] = {}

    def ready(self, given: Ready) -> Ready:
        """The same stage with such denoisers."""

        def part(frames: Sequence[int]) -> Denoise:
            return self._of(tuple(frames), given.part(frames))

        return replace(given, denoise=self._of(None, given.denoise), part=part)

    def _of(self, frames: tuple[int, ...] | None, denoise: Denoise) -> Denoise:
        """A denoiser of some frames, or for None of whole videos."""

        def run(z: Tensor, level: NoiseLevel) -> Tensor:
            key = (frames is None, z.shape)
            if key in self._known:
                tally, held = self._known[key]
                self.meter.live.peak = max(self.meter.live.peak, self.meter.live.now + held)
                x_hat = torch.empty_like(z)
            else:
                x_hat, tally, held = self._first(denoise, z, level)
                self._known[key] = tally, held
            self.meter.tally.update(tally)
            if frames is None:
                self.whole = True
            else:
                self.parts[frames] = flops_of(tally)
            return x_hat

        return run

    def _first(self, denoise: Denoise, z: Tensor, level: NoiseLevel) -> tuple[Tensor, Tally, int]:
        """x_hat, the operations of a call that really runs, and the bytes that it holds beside what is there."""
        meter = self.meter
        so_far, peak, before = meter.tally, meter.live.peak, meter.live.now
        meter.restart()
        x_hat = denoise(z, level)
        tally, held = meter.tally, meter.live.peak - before
        meter.tally, meter.live.peak = so_far, max(peak, meter.live.peak)
        return x_hat, tally, held
