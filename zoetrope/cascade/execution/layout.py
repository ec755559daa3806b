"""The layouts in which a stage's network goes through its video, and the one that keeps to a budget of memory."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch

from zoetrope.cascade.execution.cost import (
    PROCESS,
    Cost,
    call_bytes,
    largest_call,
    part_of,
    smallest_tiles,
    stage_cost,
    tiles_within,
    whole_tile,
)
from zoetrope.cascade.execution.tiles import Tile
from zoetrope.cascade.room import allowed, available
from zoetrope.cascade.spec import StageSpec
from zoetrope.shapes import Window

LARGEST = 1_000_000_000  # of a tile where no budget is given: larger ones are no faster on CPUs
KEPT = 1_000_000_000  # of maps kept from step to step where no budget is given; larger ones are made anew
SMALL = 2**17  # pixels over all frames; a smaller video is never worth tiling


class Layout(NamedTuple):
    """How a stage's network goes through its video.

    Attributes:
        tiles: the parts of the picture, one after the other.
        part: frames of a tile that the network is given at a time, if it streams; None: all at once.
        keep: whether maps on this stage's grid are kept from step to step.
        one_at_a_time: whether the network is given one video of the batch at a time.
    """

    tiles: list[Tile]
    part: int | None = None
    keep: bool = True
    one_at_a_time: bool = False

    def in_place(self, stage: StageSpec) -> bool:
        """Whether x_hat is written into z's memory: in a single step, where no other tile looks at what was there."""
        return self.part is not None and len(self.tiles) == 1 and stage.sampling.length == 1


def plan_layout(stage: StageSpec, batch: int, tokens: int, memory: int | None, device: torch.device) -> Layout:
    """How to sample a stage for `batch` videos with texts of `tokens` tokens.

    The way that takes the least work that `memory`, the peak of the whole process in bytes, allows; for None it is
    what this machine can spare. Raises ValueError, which says what would do, if not even the smallest way fits.
    """
    if memory is not None:
        expect_memory([stage], batch, tokens, memory, device)
    whole, part = Window.whole(stage.shape), part_of(stage, device)
    one: Sequence[Tile] = [whole_tile(stage)]
    reach = stage.network.reach()
    if memory is None and (whole.volume <= SMALL or (part is None and reach.frames is None and reach.pixels is None)):
        return Layout([whole_tile(stage)])
    video = stage.network.channels * whole.volume * 4
    if memory is None and part is not None and stage.sampling.length == 1:  # does the whole fit?
        call = call_bytes(stage, batch, tokens, part, smallest=False)
        if call - 2 * batch * video <= _spare(device):
            return Layout([whole_tile(stage)], part, keep=False)
    for together in (batch, 1):  # videos are parted from one another before they are cut up: tiles overlap
        cost = _cost(stage, batch, together, tokens, part)
        spare = cost.fixed + cost.resting + _spare(device) if memory is None else memory
        # What the parts of a single tile are cut from and gathered in are two of the videos that rest: counted there.
        twice = 0 if part is None else 2 * together * video
        if memory is None and part is not None and cost.peak(largest_call(one, part)) - twice <= spare:
            tiles: Sequence[Tile] = one
        else:
            tiles = tiles_within(stage, part, cost.largest(spare))
        needed = cost.peak(largest_call(tiles, part))
        if len(tiles) == 1 and (memory is None or needed <= memory):
            break
    if part is None:
        return Layout(list(tiles), one_at_a_time=together < batch)
    room = min(KEPT, (available() - needed + twice) // 2) if memory is None else memory - needed
    keep = stage.sampling.length > 1 and len(tiles) == 1 and batch * video < room
    return Layout(list(tiles), part, keep=keep, one_at_a_time=together < batch)


def layout_here(stage: StageSpec, batch: int, tokens: int, memory: int | None, device: torch.device) -> Layout:
    """How to sample a stage whose network is in memory already, within what this process is allowed to take.

    Raises ValueError, which says what would do, if not even the smallest way fits.
    """
    layout = plan_layout(stage, batch, tokens, memory, device)
    left = allowed() if memory is None and device.type == "cpu" else None
    there = (
        _cost(stage, batch, 1 if layout.one_at_a_time else batch, tokens, layout.part).fixed if left is not None else 0
    )
    if left is None or layout_bytes(stage, batch, tokens, layout) + PROCESS - there <= left:
        return layout
    return plan_layout(stage, batch, tokens, there + left, device)


def layout_bytes(stage: StageSpec, batch: int, tokens: int, layout: Layout, call: int | None = None) -> int:
    """What sampling a stage in a given way holds at its peak, the process itself left out.

    `call` is what a call of the network holds, for those who know it better than to the type of its weights.
    """
    video = batch * stage.network.channels * math.prod(stage.shape.sizes) * 4
    less = video // batch if layout.one_at_a_time else video  # one by one, videos are gathered in a place of their own
    more = video * bool(layout.keep and layout.part) - less * layout.in_place(stage)
    cost = _cost(stage, batch, 1 if layout.one_at_a_time else batch, tokens, layout.part)
    if call is None:
        call = cost.window(largest_call(layout.tiles, layout.part))
    return cost.fixed - PROCESS + max(cost.state, cost.resting + call) + more


def least_memory(stage: StageSpec, batch: int, tokens: int, device: torch.device) -> int:
    """The least memory that sampling a stage can do with: in its smallest tiles, in bytes of the whole process."""
    part = part_of(stage, device)
    return _cost(stage, batch, 1, tokens, part).peak(largest_call(smallest_tiles(stage, part), part))


def expect_memory(stages: Iterable[StageSpec], batch: int, tokens: int, memory: int, device: torch.device) -> None:
    """Raise ValueError, with what would do for all of these stages, if one of them cannot be sampled in `memory`."""
    least = ((least_memory(stage, batch, tokens, device), stage) for stage in stages)
    needed, stage = max(least, key=lambda pair: pair[0])
    if needed > memory:
        raise ValueError(
            f"memory: stage {stage.name!r} ({stage.shape}) needs {math.ceil(needed / 1e6)} MB even in its smallest "
            f"tiles, got {memory // 10**6} MB"
        )


def _cost(stage: StageSpec, batch: int, together: int, tokens: int, part: int | None) -> Cost:
    """What a batch costs of which the network is given so many videos at a time."""
    call = stage_cost(stage, together, tokens, part)
    return stage_cost(stage, batch, tokens, part)._replace(call=call.call, pixel=call.pixel)


def _spare(device: torch.device) -> int:
    """Bytes that a tile may take if nobody says."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 2
    return min(LARGEST, available() // 4)
