"""Generating the videos of an evaluation: in fixed batches, each stored at once, distributed over processes.

Batches and noise depend only on the numbers of videos: neither the number of processes nor an interruption changes a
video.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoetrope.cascade.spec import StageSpec
from zoetrope.cascade.start import Start, stages_after
from zoetrope.channels import clipped
from zoetrope.data import Example
from zoetrope.fields import video_of
from zoetrope.inputs.low_res import paired
from zoetrope.known import Method
from zoetrope.metrics.reference import Reference
from zoetrope.metrics.shelf import Shelf
from zoetrope.models.cascade import Cascade
from zoetrope.models.known import GivenFrames
from zoetrope.models.long import Long, long_run
from zoetrope.schemes import SamplingScheme
from zoetrope.shapes import VideoShape
from zoetrope.video.resample import degrade

MOST, TOGETHER = 8, 2**22  # videos that are made together: so many, or fewer that have so many pixels in all


class WorkShare(NamedTuple):
    """This process among `world`."""

    rank: int = 0
    world: int = 1


@dataclass(frozen=True)
class RolledOut:
    """Videos longer than the network's, made in blocks: how long, and in which order; see `zoetrope.schemes`."""

    seconds: float
    scheme: SamplingScheme


@dataclass(frozen=True)
class Wanted:
    """The videos to make.

    Attributes:
        prompts: one per video; a cascade without text is given none of them.
        seed: of their noise, together with their numbers; until: the last stage.
        after: the stage whose output the reduced real clips of `real` replace; None to start from noise.
        real: the number of a case to its real clip (C, F, H, W), of the shape of what is made.
        told: the number of a case to what the data tell of its real clip, which inputs of such things are given.
        memory: the largest peak of the process, in bytes.
        members: how many videos are made of each case, one after the other.
        known: the numbers of the frames of the real clips that are given.
        method: how the first stage is made to agree with these; None: as it has learnt it.
        rollout: of videos longer than the network's; these begin with the known frames.
    """

    prompts: Sequence[str]
    seed: int = 0
    until: str | None = None
    after: str | None = None
    real: Callable[[int], Tensor] | None = None
    told: Callable[[int], Mapping[str, Any]] = lambda _: {}
    memory: int | None = None
    members: int = 1
    known: tuple[int, ...] = ()
    method: Method | None = None
    rollout: RolledOut | None = None

    def clips(self, numbers: Sequence[int]) -> Tensor:
        """The real clips of the cases of these videos, (B, C, F, H, W)."""
        assert self.real is not None
        return torch.stack([self.real(number // self.members) for number in numbers])


def keep_reference(reference: Reference, shelf: Shelf, count: int, share: WorkShare) -> Iterator[int]:
    """Put this process's share of the first `count` real clips on the shelf; yield the number there after each."""
    numbers = range(share.rank, count, share.world)
    for done, number in enumerate(numbers, start=1):
        if not shelf.has(number):
            example = reference.example(number, shelf.shape)
            skipped = [one.name for one in example.skipped]
            told = {**example.told, **example.beside}
            shelf.put(number, example.video, example.text, skipped, example.present, told)
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
    if wanted.rollout is not None:
        return torch.stack([_rolled_out(cascade, wanted, wanted.rollout, number) for number in numbers])
    made = dict[int, Tensor]()
    for own, given in _by_given(_stages(cascade, wanted), wanted, numbers):
        made |= zip(own, _sampled(cascade, wanted, own, given), strict=True)
    return torch.stack([made[number] for number in numbers])


def _stages(cascade: Cascade, wanted: Wanted) -> Sequence[StageSpec]:
    return stages_after(cascade.spec, wanted.after, wanted.until)


def _by_given(
    stages: Sequence[StageSpec], wanted: Wanted, numbers: Sequence[int]
) -> list[tuple[list[int], dict[str, Any]]]:
    """The numbers of videos that can be made together, and the values of their inputs that the data tell.

    Numbers, labels and actions are those of each video, maps those of all of them.
    """
    told_of = (each for stage in stages for each in stage.inputs if each.tells and each.source is None)
    inputs = {each.name: next(iter(each.tells)) for each in told_of}
    groups = dict[tuple[tuple[str, bytes], ...], list[int]]()
    values = dict[int, dict[str, Any]]()
    for number in numbers:
        told = wanted.told(number // wanted.members) if inputs else {}
        own_values = {name: _known(told[key]) for name, key in inputs.items() if key in told}
        values[number] = {name: one for name, one in own_values.items() if one is not None}
        own = values[number].items()
        alike = {name: b"" if _is_word(one) or one.ndim == 2 else one.tobytes() for name, one in own}
        groups.setdefault(tuple(sorted(alike.items())), []).append(number)
    return [(own, _together([values[number] for number in own])) for own in groups.values()]


def _together(values: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The values of several videos by name: those of each of them, and of other things that of all."""
    found = dict[str, Any]()
    for name, first in values[0].items():
        each = [one[name] for one in values]
        found[name] = each if _is_word(first) else np.stack(each) if first.ndim == 2 else first
    return found


def _known(value: Any) -> Any:
    """What is known of a value: None for nothing; a vector that lacks an entry is unknown as a whole."""
    if _is_word(value):
        return value
    found = np.where(np.isnan(value).any(-1, keepdims=True), np.nan, value) if value.ndim == 2 else value
    return None if np.isnan(found).all() else found


def _is_word(value: object) -> bool:
    return isinstance(value, int | float | str)


def _sampled(cascade: Cascade, wanted: Wanted, numbers: Sequence[int], given: Mapping[str, Any]) -> Tensor:
    """The videos of these numbers, (B, C, F, H, W), in one batch."""
    start = None
    if wanted.after is not None:
        start = Start(stage=wanted.after, video=_in_place(cascade, wanted, numbers, wanted.after))
    stream = cascade.stream(
        [None if cascade.spec.text is None else wanted.prompts[number] for number in numbers],
        seed=wanted.seed,
        samples=list(numbers),
        until=wanted.until,
        start=start,
        memory=wanted.memory,
        given=given,
        known=given_frames(wanted, wanted.clips(numbers)) if wanted.known else None,
    )
    last: Tensor | None = None
    for now in stream:
        if now.done:
            last = now.x_hat
        del now
    assert last is not None
    return clipped(last.float().cpu(), cascade.spec.channels, axis=1)


def _in_place(cascade: Cascade, wanted: Wanted, numbers: Sequence[int], after: str) -> Tensor:
    """Videos (B, C, f, h, w) in the place of what a stage makes: real clips reduced, or what the data have beside them.

    Raises ValueError for data without the videos that the next stage is told.
    """
    made, stages = cascade.spec.stage(after).made, _stages(cascade, wanted)
    beside = paired(stages[0].inputs)
    if beside is None:
        return degrade(wanted.clips(numbers), made)
    found = list[Tensor]()
    for number in numbers:
        told = wanted.told(number // wanted.members)
        own = {name: torch.from_numpy(value) for name, value in told.items() if isinstance(value, np.ndarray)}
        one = Example(torch.empty(0), "", f"case {number // wanted.members}", beside=own)
        found.append(beside.beside([one], made, stages[-1].made.frames))
    return torch.stack(found)


def given_frames(wanted: Wanted, clips: Tensor) -> GivenFrames:
    """What is known of videos like these clips (B, C, F, H, W), as networks see them."""
    _, channels, frames, height, width = clips.shape
    none = np.empty((len(wanted.known), height, width, channels), np.float32)
    shape = VideoShape(frames=frames, height=height, width=width, fps=1)
    return GivenFrames(
        shape=shape, places=wanted.known, pictures=none, each=clips[:, :, list(wanted.known)], method=wanted.method
    )


def rollout_shape(stages: Sequence[StageSpec], frames: int) -> VideoShape:
    """The shape of videos of which the first of these stages makes so many frames."""
    first, last = stages[0].shape, stages[-1].made
    return last.with_(frames=frames * last.frames // first.frames)


def _rolled_out(cascade: Cascade, wanted: Wanted, rollout: RolledOut, number: int) -> Tensor:
    """One long video (C, F, H, W) that begins as its real clip does."""
    stages = [stage for stage in _stages(cascade, wanted) if not stage.makes_vectors]
    [(_, given)] = _by_given(stages, wanted, [number])
    channels, first = cascade.spec.channels, stages[0].shape
    source = None
    if wanted.known:
        begun = wanted.clips([number])[:, :, : len(wanted.known)]
        frames = max(1, len(wanted.known) * first.frames // stages[-1].made.frames)
        source = video_of(degrade(begun, first.with_(frames=frames))[0], channels, first.fps)
    long = Long(
        seconds=rollout.seconds,
        prompt=None if cascade.spec.text is None else wanted.prompts[number],
        scheme=rollout.scheme,
        known=wanted.method,
        seed=wanted.seed,
        sample=number,
        until=wanted.until,
        memory=wanted.memory,
        given=given,
    )
    with tempfile.TemporaryDirectory(prefix="zoetrope-") as folder:
        run = long_run(cascade, long, Path(folder), source)
        for _ in run.run(resume=True):
            pass
        return clipped(run.video.read(range(run.video.shape.frames)).float(), channels)
