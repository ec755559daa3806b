"""The denoiser of a stage's whole videos, whatever the layout."""

import logging
from collections.abc import Callable

from torch import Tensor

from zoetrope.cascade.execution.call import Calls, in_one_call
from zoetrope.cascade.execution.layout import Layout
from zoetrope.cascade.execution.overlap import overlapping
from zoetrope.cascade.execution.streamed import streamed
from zoetrope.cascade.execution.tiles import tiled
from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.shapes import Window

log = logging.getLogger(__name__)


def of_window(calls: Calls, layout: Layout) -> Callable[[Window], Denoise]:
    """Window -> its denoiser, streamed or in one call as the layout says."""

    def made(window: Window) -> Denoise:
        if layout.part is not None and layout.part < len(window.frames):
            in_place = layout.in_place(calls.stage)
            return streamed(calls, window, layout.part, keep=layout.keep, in_place=in_place)
        return in_one_call(calls, window)

    return made


def denoiser_of(calls: Calls, layout: Layout) -> Denoise:
    """The denoiser of whole videos, before any threshold that needs them whole.

    The layout's tiles are those of one of the stage's windows. Where the stage's routine sees no more than parts of
    videos at once, there is no such denoiser.
    """
    if calls.stage.sampling.windows is None and calls.stage.seen != calls.stage.shape:
        return _never_whole
    numbers = {tile.seen: number for number, tile in enumerate(layout.tiles, start=1)}
    make = of_window(calls, layout)

    def local(window: Window) -> Denoise:
        def made(tile: Window) -> Denoise:
            if len(numbers) > 1:
                log.debug("stage %s: tile %d of %d", calls.stage.name, numbers[tile], len(numbers))
            return make(tile.moved(window))

        return tiled(made, layout.tiles)

    return overlapping(local, calls.stage.windows, calls.stage.shape.sizes)


def _never_whole(z: Tensor, level: NoiseLevel) -> Tensor:
    raise ValueError("routine: expected to evaluate parts of videos alone, got whole ones")
