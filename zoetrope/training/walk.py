"""The order in which a training walks through its data set: every sample once before any is repeated.

Clips and single pictures are walked through separately. Packs of images are evenly spread: of the first n examples,
with a share p of packs, floor(n p) are packs; their places within a batch are random.
"""

import math
from typing import NamedTuple

import torch

from zoetrope.cascade.spec import StageSpec
from zoetrope.training.spec import Phase, TrainSpec, clip_shape


class Item(NamedTuple):
    """One example: the number of its clip, or, for a `pack` of images, of its first picture.

    `pictures` is the number of the first of the images that are appended to a clip.
    """

    pack: bool
    number: int
    pictures: int = 0


def items(stage: StageSpec, spec: TrainSpec, examples: int, size: int, draw: torch.Generator) -> list[Item]:
    """The `size` examples of the batch at a position; `draw` decides which of them are packs."""
    clips, pictures, within = _before(stage, spec, examples)
    phase = spec.phase_at(examples)[0]
    frames = _frames(stage, spec, phase)
    packs = _packs(phase, within + size, frames) - _packs(phase, within, frames)
    packed = (torch.randperm(size, generator=draw) < packs).tolist()
    found = []
    for pack in packed:
        still = pack or frames == 1
        found.append(Item(pack, pictures if still else clips, pictures + frames * still))
        if still:
            pictures += frames + phase.appended
        else:
            clips += 1
            pictures += phase.appended
    return found


def _before(stage: StageSpec, spec: TrainSpec, examples: int) -> tuple[int, int, int]:
    """The numbers of clips and pictures used before a position, and the position within its phase."""
    clips = pictures = start = within = 0
    current = spec.phase_at(examples)[0]
    for phase in spec.phases:
        within = examples - start
        own = within if phase is current else phase.examples
        frames = _frames(stage, spec, phase)
        packs = own if frames == 1 else _packs(phase, own, frames)
        clips += own - packs
        pictures += packs * frames + own * phase.appended
        if phase is current:
            break
        start += phase.examples
    return clips, pictures, within


def _frames(stage: StageSpec, spec: TrainSpec, phase: Phase) -> int:
    """The number of frames of an example, a clip or a pack."""
    return spec.span or clip_shape(stage, phase).frames


def _packs(phase: Phase, examples: int, frames: int) -> int:
    """How many of the first `examples` of a phase are packs."""
    return math.floor(examples * phase.images) if frames > 1 else 0
