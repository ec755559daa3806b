"""The steps of a sampler from level to level: which frames move, arrive, or are already data.

Where each frame has its own level, known frames stay at the level of clean data, and others may start late or arrive
early. A sampler's last step returns x_hat; so does the last step of a frame that arrives early.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.level import NoiseLevel, changes
from zoetrope.diffusion.process import by_frames
from zoetrope.diffusion.tensors import aligned, has_data


class Transition(NamedTuple):
    """One step of a sampler, s < t.

    The masks select examples, or frames: bool like the levels; None, the usual case, selects none.

    Attributes:
        level_t: the level at its start.
        level_s: the level at its end. A frame whose level never changes again arrives: before the last step this level
            is then clean data, alpha = 1 and sigma = 0, so that z_s is x_hat.
        data: frames that were data before the step.
        held: frames that do not move, so that z_s is z.
        arriving: frames that arrive before the last step.
    """

    level_t: NoiseLevel
    level_s: NoiseLevel
    data: Tensor | None = None
    held: Tensor | None = None
    arriving: Tensor | None = None

    def denoised(self, denoise: Denoise, z: Tensor) -> Tensor:
        """x_hat (B, ...) at z; frames that are already data are copied from z, in place."""
        return replaced(denoise(z, self.level_t), self.data, z)


def replaced(video: Tensor, where: Tensor | None, other: Tensor) -> Tensor:
    """A video (B, C, F, H, W) with frames of `other` where a mask, (B,) or (B, F), holds; in place if it is large.

    Without a mask, the video itself.
    """
    if where is None:
        return video

    def chosen(video: Tensor, other: Tensor, where: Tensor) -> Tensor:
        return torch.where(aligned(where, video), other, video)

    return by_frames(chosen, video, other, shares=[where], into=video)


def transitions(levels: Sequence[NoiseLevel]) -> Iterator[Transition]:
    """The steps through levels from noise to data; each frame ends at the last of its levels."""
    masks = _masks(levels)
    for place, (level_t, level_s) in enumerate(pairwise(levels)):
        data, held, arriving = (None if mask is None else mask[place] for mask in masks)
        if arriving is not None:
            level_s = NoiseLevel.where(arriving, _data_like(level_s), level_s)
        yield Transition(level_t, level_s, data, held, arriving)


def _masks(levels: Sequence[NoiseLevel]) -> list[Tensor | None]:
    """Which frames are data before each step, are held in it, and arrive in it before the last one."""
    if not has_data(levels[0].logsnr):  # in a dry run
        return [None, None, None]
    moves = changes(levels)
    to_come = moves.flip(0).cumsum(0).flip(0)
    arriving = moves & (to_come == 1)
    arriving[-1] = False
    arrived = arriving.cumsum(0) > arriving
    known = (to_come == 0) & torch.stack([level.is_clean for level in levels[:-1]])
    masks = [arrived | known, ~moves, arriving]
    found = torch.stack([mask.any() for mask in masks]).tolist()
    return [mask if some else None for mask, some in zip(masks, found, strict=True)]


def _data_like(level: NoiseLevel) -> NoiseLevel:
    """alpha = 1 and sigma = 0."""
    ones = torch.ones_like(level.alpha)
    return NoiseLevel(ones, torch.zeros_like(ones), torch.full_like(ones, torch.inf))
