"""The order in which a training walks through its data set: every sample once before any is repeated.

Clips and single pictures are walked through separately. Packs of images are evenly spread: of the first n examples of a
grid, with a share p of packs, floor(n p) are packs; their places within a batch are random.
"""

import math
from typing import NamedTuple

import torch

from zoetrope.cascade.noise import seeded
from zoetrope.cascade.spec import StageSpec
from zoetrope.shapes import VideoShape
from zoetrope.training.grids import clip_shapes, order_of, phase_number
from zoetrope.training.spec import Phase, TrainSpec


class Item(NamedTuple):
    """One example: the number of its clip, or, for a `pack` of images, of its first picture.

    Attributes:
        grid: the number of its grid, among those of the training; shape: of its whole clip.
        pictures: the number of the first of the images that are appended to a clip.
        rate: the one of the phase's `rates` that its clip is taken at; None: the phase has none.
    """

    pack: bool
    number: int
    grid: int
    shape: VideoShape
    pictures: int = 0
    rate: float | None = None


def items(stage: StageSpec, spec: TrainSpec, examples: int, size: int, draw: torch.Generator) -> list[Item]:
    """The `size` examples of the batch at a position; `draw` decides which of them are packs."""
    current, within = phase_number(spec, examples)
    phase, order = spec.phases[current], order_of(spec, current)
    shapes = clip_shapes(stage, spec, phase)
    grids, before = order.grids(within, size), order.at(within).tally
    packed = [False] * size
    for grid in dict.fromkeys(grids):
        rows = [row for row, own in enumerate(grids) if own == grid]
        frames = spec.span or shapes[grid].frames
        packs = _packs(phase, before[grid] + len(rows), frames) - _packs(phase, before[grid], frames)
        places = torch.randperm(len(rows), generator=draw).tolist()
        for row, place in zip(rows, places, strict=True):
            packed[row] = place < packs
    clips, pictures = _before(stage, spec, current, within)
    found = list[Item]()
    for pack, grid in zip(packed, grids, strict=True):
        frames = spec.span or shapes[grid].frames
        still = pack or frames == 1
        number = pictures if still else clips
        rate = None if still else _rate(phase, spec.seed, examples + len(found))
        shape = shapes[grid]
        if rate is not None:
            shape = shape.with_(fps=shape.fps * rate / stage.shape.fps)
        found.append(Item(pack, number, grid, shape, pictures + frames * still, rate))
        if still:
            pictures += frames + phase.appended
        else:
            clips += 1
            pictures += phase.appended
    return found


def _rate(phase: Phase, seed: int, index: int) -> float | None:
    """The frame rate of example `index`: any of the phase's, all as likely."""
    if not phase.rates:
        return None
    draw = torch.Generator().manual_seed(seeded(seed, "rate", index))
    return phase.rates[int(torch.randint(len(phase.rates), (), generator=draw))]


def _before(stage: StageSpec, spec: TrainSpec, current: int, within: int) -> tuple[int, int]:
    """The numbers of clips and pictures used before a position in the phase of number `current`."""
    clips = pictures = 0
    for number, phase in enumerate(spec.phases[: current + 1]):
        tally = order_of(spec, number).at(within if number == current else phase.examples).tally
        for shape, own in zip(clip_shapes(stage, spec, phase), tally, strict=True):
            frames = spec.span or shape.frames
            packs = own if frames == 1 else _packs(phase, own, frames)
            clips += own - packs
            pictures += packs * frames + own * phase.appended
    return clips, pictures


def _packs(phase: Phase, examples: int, frames: int) -> int:
    """How many of the first `examples` of a phase on a grid are packs."""
    return math.floor(examples * phase.images) if frames > 1 else 0
