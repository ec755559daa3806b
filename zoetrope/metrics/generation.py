"""Generating the videos of an evaluation: in fixed batches, each stored at once, distributed over processes.

Batches and noise depend only on the numbers of videos: neither the number of processes nor an interruption changes a
video.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from zoetrope.cascade.start import Start
from zoetrope.metrics.reference import Reference
from zoetrope.metrics.shelf import Shelf
from zoetrope.models.cascade import Cascade
from zoetrope.shapes import VideoShape
from zoetrope.video.resample import degrade

MOST, TOGETHER = 8, 2**22  # videos that are made together: so many, or fewer that have so many pixels in all


class WorkShare(NamedTuple):
    """This process among `world`."""

    rank: int = 0
    world: int = 1


@dataclass(frozen=True)
class Wanted:
    """The videos to make.

    Attributes:
        prompts: one per video; a cascade without text is given none of them.
        seed: of their noise, together with their numbers; until: the last stage.
        after: the stage whose output the reduced real clips of `real` replace; None to start from noise.
        memory: the largest peak of the process, in bytes.
    """

    prompts: Sequence[str]
    seed: int = 0
    until: str | None = None
    after: str | None = None
    real: Callable[[int], Tensor] | None = None
    memory: int | None = None


def keep_reference(reference: Reference, shelf: Shelf, count: int, share: WorkShare) -> Iterator[int]:
    """Put this process's share of the first `count` real clips on the shelf; yield the number there after each."""
    numbers = range(share.rank, count, share.world)
    for done, number in enumerate(numbers, start=1):
        if not shelf.has(number):
            example = reference.example(number, shelf.shape)
            skipped = [one.name for one in example.skipped]
            shelf.put(number, example.video, example.text, skipped)
        yield done


def together(shape: VideoShape) -> int:
    """How many videos of a shape are made at a time."""
    return min(MOST, max(1, TOGETHER // (shape.frames * shape.height * shape.width)))


def batches(count: int, shape: VideoShape, share: WorkShare) -> list[range]:
    """The numbers of the videos that this process makes, by batch."""
    size = together(shape)
    every = [range(start, min(start + size, count)) for start in range(0, count, size)]
    return every[share.rank :: share.world]


def generate(cascade: Cascade, shelf: Shelf, wanted: Wanted, share: WorkShare) -> Iterator[int]:
    """Make this process's share of the videos that are not yet on the shelf; yield the number there after each batch.

    Raises ValueError for what `Cascade.stream` refuses.
    """
    done = 0
    for numbers in batches(len(wanted.prompts), shelf.shape, share):
        if not all(shelf.has(number) for number in numbers):
            for number, video in zip(numbers, _generated(cascade, wanted, numbers), strict=True):
                shelf.put(number, video, wanted.prompts[number])
        done += len(numbers)
        yield done


def _generated(cascade: Cascade, wanted: Wanted, numbers: range) -> Tensor:
    """One batch of videos (B, C, F, H, W)."""
    start = None
    if wanted.after is not None and wanted.real is not None:
        real = torch.stack([wanted.real(number) for number in numbers])
        start = Start(stage=wanted.after, video=degrade(real, cascade.spec.stage(wanted.after).made))
    stream = cascade.stream(
        [None if cascade.spec.text is None else wanted.prompts[number] for number in numbers],
        seed=wanted.seed,
        samples=list(numbers),
        until=wanted.until,
        start=start,
        memory=wanted.memory,
    )
    last: Tensor | None = None
    for now in stream:
        if now.done:
            last = now.x_hat
        del now
    assert last is not None
    return last.clamp(-1, 1).float().cpu()
