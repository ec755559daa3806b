"""The denoiser of a stage's whole videos, whatever the layout."""

import logging
from collections.abc import Callable, Sequence

from zoetrope.cascade.execution.call import Calls, in_one_call
from zoetrope.cascade.execution.layout import Layout
from zoetrope.cascade.execution.streamed import streamed
from zoetrope.cascade.execution.tiles import one_by_one, tiled
from zoetrope.diffusion.denoise import Denoise
from zoetrope.shapes import Window

log = logging.getLogger(__name__)


def denoiser(calls: Sequence[Calls], layout: Layout) -> Denoise:
    """The denoiser of a batch, before any threshold that needs whole videos.

    `calls` holds one for the whole batch, or one for each video where the layout runs them one at a time.
    """
    return one_by_one([_together(each, layout) for each in calls])


def of_window(calls: Calls, layout: Layout) -> Callable[[Window], Denoise]:
    """Window -> its denoiser, streamed or in one call as the layout says."""

    def made(window: Window) -> Denoise:
        if layout.part is not None and layout.part < len(window.frames):
            in_place = layout.in_place(calls.stage)
            return streamed(calls, window, layout.part, keep=layout.keep, in_place=in_place)
        return in_one_call(calls, window)

    return made


def _together(calls: Calls, layout: Layout) -> Denoise:
    numbers = {tile.seen: number for number, tile in enumerate(layout.tiles, start=1)}
    make = of_window(calls, layout)

    def made(window: Window) -> Denoise:
        if len(numbers) > 1:
            log.debug("stage %s: tile %d of %d", calls.stage.name, numbers[window], len(numbers))
        return make(window)

    return tiled(made, layout.tiles)
