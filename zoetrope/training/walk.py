"""Which samples of a data set each example of a training is made from: all in turn, none twice before all were seen.

Clips and single pictures are walked through apart. Packs of images come in even numbers: of n examples with a share p
of packs, floor(n p) are packs, and which ones of a batch they are is drawn for it.
"""

import math
from typing import NamedTuple

import torch

from zoetrope.cascade.spec import StageSpec
from zoetrope.training.spec import Phase, TrainSpec, clip_shape


class Item(NamedTuple):
    """One example: the number of its clip, or, for a `pack` of images, that of the first of its pictures."""

    pack: bool
    number: int


def items(stage: StageSpec, spec: TrainSpec, examples: int, size: int, draw: torch.Generator) -> list[Item]:
    """What the `size` examples of the batch at a position are; `draw` decides which of them are packs."""
    clips, pictures, within = _before(stage, spec, examples)
    phase = spec.phase_at(examples)[0]
    frames = _frames(stage, spec, phase)
    packs = _packs(phase, within + size, frames) - _packs(phase, within, frames)
    packed = (torch.randperm(size, generator=draw) < packs).tolist()
    found = []
    for pack in packed:
        still = pack or frames == 1
        found.append(Item(pack, pictures if still else clips))
        if still:
            pictures += frames
        else:
            clips += 1
    return found


def _before(stage: StageSpec, spec: TrainSpec, examples: int) -> tuple[int, int, int]:
    """Clips and pictures that were taken before a position, and how far into its phase that is."""
    clips = pictures = start = within = 0
    current = spec.phase_at(examples)[0]
    for phase in spec.phases:
        within = examples - start
        own = within if phase is current else phase.examples
        frames = _frames(stage, spec, phase)
        packs = own if frames == 1 else _packs(phase, own, frames)
        clips += own - packs
        pictures += packs * frames
        if phase is current:
            break
        start += phase.examples
    return clips, pictures, within


def _frames(stage: StageSpec, spec: TrainSpec, phase: Phase) -> int:
    """How many frames are learnt from, of a clip or in a pack."""
    return spec.span or clip_shape(stage, phase).frames


def _packs(phase: Phase, examples: int, frames: int) -> int:
    """How many of the first `examples` of a phase are packs."""
    return math.floor(examples * phase.images) if frames > 1 else 0
