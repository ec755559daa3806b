"""Layouts, in which a stage's network processes its videos, and the choice of one within a memory budget."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch

from zoetrope.cascade.execution.cost import (
    PROCESS,
    Cost,
    call_bytes,
    differentiates,
    largest_call,
    parts_of,
    reach_of,
    smallest_tiles,
    stage_cost,
    tiles_within,
    whole_tile,
)
from zoetrope.cascade.execution.tiles import Tile
from zoetrope.cascade.room import allowed, available
from zoetrope.cascade.spec import StageSpec
from zoetrope.shapes import Window

LARGEST = 1_000_000_000  # bytes of a tile without a budget: larger ones are no faster on CPUs
KEPT = 1_000_000_000  # bytes of maps kept from step to step without a budget; larger ones are made anew
SMALL = 2**17  # pixels over all frames; a smaller video is never worth tiling


class Layout(NamedTuple):
    """How a stage's network processes its videos.

    Attributes:
        tiles: of what the network sees at once, a window of the stage or the whole video, one after the other.
        part: frames of a tile that a streaming network processes at a time; None: all at once.
        keep: whether maps on this stage's grid stay in memory from step to step.
        one_at_a_time: whether the batch's videos run one by one.
    """

    tiles: list[Tile]
    part: int | None = None
    keep: bool = True
    one_at_a_time: bool = False

    def in_place(self, stage: StageSpec) -> bool:
        """Whether x_hat overwrites z: only in single-step sampling, where nothing else reads z there."""
        sampling = stage.sampling
        alone = len(self.tiles) == 1 and sampling.known is None and len(stage.windows) == 1
        return self.part is not None and alone and sampling.length == 1 and sampling.sampler.gives_x_hat


def plan_layout(
    stage: StageSpec, batch: int, tokens: int, memory: int | None, device: torch.device, card: int | None = None
) -> Layout:
    """How to sample a stage for `batch` videos with texts of `tokens` tokens.

    It takes the least work within `memory`, the peak of the whole process in bytes; for None, within what this machine
    can spare, or a GPU that need not be here: one with `card` bytes. Raises ValueError, which says how much would
    suffice, if not even the smallest layout fits into `memory`.
    """
    if memory is not None:
        expect_memory([stage], batch, tokens, memory, device)
    for part in parts_of(stage, device):
        layout = _plan_parts(stage, batch, tokens, memory, device, card, part)
        if len(layout.tiles) == 1:
            break
    return layout


def _plan_parts(
    stage: StageSpec,
    batch: int,
    tokens: int,
    memory: int | None,
    device: torch.device,
    card: int | None,
    part: int | None,
) -> Layout:
    """`plan_layout` with so many frames at a time, in tiles where a whole frame does not fit."""
    one: Sequence[Tile] = [whole_tile(stage)]
    seen, windows = one[0].seen, len(stage.windows)
    reach = reach_of(stage)
    if memory is None and (seen.volume <= SMALL or (part is None and reach.frames is None and reach.pixels is None)):
        return Layout([whole_tile(stage)])
    video = stage.network.channels * Window.whole(stage.shape).volume * 4
    free = 0
    if memory is None:
        free = _spare(device) if card is None else max(0, card - stage_cost(stage, batch, tokens, part).fixed) // 2
    if memory is None and part is not None and stage.sampling.length == windows == 1:  # does the whole fit?
        call = call_bytes(stage, batch, tokens, part, smallest=False)
        if call - 2 * batch * video <= free:
            return Layout([whole_tile(stage)], part, keep=False)
    for together in (batch, 1):  # run videos one by one before cutting them into tiles, which overlap
        cost = _cost(stage, batch, together, tokens, part)
        spare = cost.fixed + cost.resting + free if memory is None else memory
        # A single streamed tile reads z and writes x_hat; `resting` already counts both.
        twice = 0 if part is None or windows > 1 else 2 * together * video
        if memory is None and part is not None and cost.peak(largest_call(one, part)) - twice <= spare:
            tiles: Sequence[Tile] = one
        else:
            tiles = tiles_within(stage, part, cost.largest(spare))
        needed = cost.peak(largest_call(tiles, part))
        if len(tiles) == 1 and (memory is None or needed <= memory):
            break
    if part is None:
        return Layout(list(tiles), one_at_a_time=together < batch)
    if memory is None:  # on a GPU half of it is a tile's, and half of the rest may be for maps
        room = free // 2 if device.type == "cuda" else min(KEPT, (available() - needed + twice) // 2)
    else:
        room = memory - needed
    keep = stage.sampling.length > 1 and len(tiles) == windows == 1 and batch * video < room
    return Layout(list(tiles), part, keep=keep, one_at_a_time=together < batch)


def layout_here(stage: StageSpec, batch: int, tokens: int, memory: int | None, device: torch.device) -> Layout:
    """How to sample a stage whose network is already in memory, within what this process is allowed to take.

    Raises ValueError, which says how much would suffice, if not even the smallest layout fits.
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
    """Peak bytes of sampling a stage in a layout, without the process itself.

    `call` overrides the bytes that a network call holds, which are otherwise those in float32.
    """
    video = batch * stage.network.channels * math.prod(stage.shape.sizes) * 4
    less = video // batch if layout.one_at_a_time else video  # one by one, x_hat is gathered in a tensor of its own
    more = video * bool(layout.keep and layout.part) - less * layout.in_place(stage)
    cost = _cost(stage, batch, 1 if layout.one_at_a_time else batch, tokens, layout.part)
    if call is None:
        call = cost.window(largest_call(layout.tiles, layout.part))
    return cost.fixed - PROCESS + max(max(cost.state, cost.resting + call) + more, cost.decoding)


def least_memory(stage: StageSpec, batch: int, tokens: int, device: torch.device) -> int:
    """The least memory of the whole process, in bytes, that sampling a stage needs: in its smallest tiles."""
    part = parts_of(stage, device)[-1]
    return _cost(stage, batch, 1, tokens, part).peak(largest_call(smallest_tiles(stage, part), part))


def expect_memory(stages: Iterable[StageSpec], batch: int, tokens: int, memory: int, device: torch.device) -> None:
    """Raise ValueError, with the bytes that suffice for all stages, if one of them cannot be sampled in `memory`."""
    least = ((least_memory(stage, batch, tokens, device), stage) for stage in stages)
    needed, stage = max(least, key=lambda pair: pair[0])
    if needed > memory:
        least_parts = (
            "one video at a time, whole for its gradient" if differentiates(stage) else "in its smallest tiles"
        )
        raise ValueError(
            f"memory: stage {stage.name!r} ({stage.made}) needs {math.ceil(needed / 1e6)} MB even {least_parts}, "
            f"got {memory // 10**6} MB{_hint(stage)}"
        )


def _hint(stage: StageSpec) -> str:
    """What helps where a network sees all of a video at once, so that there are no tiles."""
    reach = stage.network.reach()
    whole = reach.pixels is None and reach.frames is None
    return "; its network sees whole videos: smaller or shorter ones (--size, --frames) need less" if whole else ""


def _cost(stage: StageSpec, batch: int, together: int, tokens: int, part: int | None) -> Cost:
    """The cost of a batch if the network processes `together` videos at a time."""
    call = stage_cost(stage, together, tokens, part)
    return stage_cost(stage, batch, tokens, part)._replace(call=call.call, pixel=call.pixel)


def _spare(device: torch.device) -> int:
    """Bytes that a tile may take without a budget."""
    if device.type == "cuda":
        idle = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # PyTorch keeps what it freed
        return (torch.cuda.mem_get_info(device)[0] + idle) // 2
    return min(LARGEST, available() // 4)
