"""A later stage over a long video, in windows that overlap, so that nothing shows where one ends.

Where the output at a frame depends on nearby frames alone, a window that extends far enough beyond the frames that are
kept gives what one run over everything gives. Otherwise windows fade into each other.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from zoetrope.cascade.execution.cost import differentiates
from zoetrope.cascade.finite import expect_finite
from zoetrope.cascade.long.blocks import FinishedBlock, numbered_noise
from zoetrope.cascade.long.frames import Frames
from zoetrope.cascade.long.journal import Journal
from zoetrope.cascade.sample import Draw, stage_video
from zoetrope.cascade.spec import StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.networks import Network
from zoetrope.routines import Ready
from zoetrope.shapes import Window

FADED = 4  # the part of a window that fades into the next one is one in so many
WORTH = 4  # beyond one in so many of a window's frames, at either end, what is thrown away costs too much


class Span(NamedTuple):
    """One window in time.

    Attributes:
        seen: the frames that it is made with.
        kept: those of them that are kept.
        faded: the last of the kept ones, which fade into the next window.
    """

    seen: range
    kept: range
    faded: int = 0


@dataclass(frozen=True, kw_only=True)
class Enlarging:
    """A super-resolution stage over a long video.

    Attributes:
        stage: on the grid of one window, which is as long as the stage was made for.
        given: the conditioning of the one video, without what is made from the source.
        draw: of the one video; noise is drawn by the number of the frame in the long video.
        source: the previous stage's frames; made: where this stage's go.
    """

    stage: StageSpec
    given: Conditioning
    draw: Draw
    source: Frames
    made: Frames

    @property
    def factor(self) -> int:
        """How many frames each frame of the source becomes."""
        return self.made.shape.frames // self.source.shape.frames

    def check(self) -> int:
        """The number of windows.

        Raises ValueError if they are too short to overlap, and, with the nearest legal size, if the network cannot
        process one.
        """
        spans = self.spans()
        for size in sorted({len(span.seen) for span in spans}):
            self._on(size)
        return len(spans)

    def spans(self) -> list[Span]:
        """The windows. Raises ValueError if they are too short to overlap."""
        reach, total = self.stage.network.reach(), self.made.shape.frames
        unit, length = math.lcm(reach.every, self.factor), self.stage.shape.frames
        halo = exact_halo(self.stage)
        if total <= length:
            return [Span(range(total), range(total))]
        if halo is not None and math.ceil(halo / unit) * unit <= length // WORTH:
            return exact_spans(total, length, math.ceil(halo / unit) * unit)
        for cells in (unit, self.factor):  # a window of a single stride can still overlap by fewer frames
            overlap = math.ceil(length / FADED / cells) * cells
            if overlap < length:
                return fading_spans(total, length, overlap)
        raise ValueError(
            f"stage {self.stage.name!r}: expected windows of at least {2 * self.factor} frames, which can overlap by "
            f"those of one frame of its source, got {length}"
        )

    def run(self, load: Callable[[], Network], journal: Journal) -> Iterator[FinishedBlock]:
        """Make the windows that the journal does not have yet, and yield after each. `load` gives the network.

        Raises OSError where the disk is full; what the journal has stays.
        """
        spans = self.spans()
        if journal.done(self.stage.name) >= len(spans):
            return
        network = load()
        for number, span in enumerate(spans, start=1):
            if number <= journal.done(self.stage.name):
                continue
            video = self._made(network, span)
            before = journal.state(self.stage.name).get("faded")
            if before is not None:
                count = before.shape[1]
                share = (torch.arange(count) + 1) / (count + 1)
                video[:, :count] = torch.lerp(before, video[:, :count], share[:, None, None])
            keep = len(span.kept) - span.faded
            self.made.write(span.kept[:keep], video[:, :keep])
            journal.finish(self.stage.name, number, {"faded": video[:, keep:]} if span.faded else None)
            del video
            yield FinishedBlock(number, len(spans))

    def _on(self, frames: int) -> StageSpec:
        assert self.stage.source is not None
        shape, source = self.stage.shape, self.stage.source
        if frames == shape.frames:
            return self.stage
        return self.stage.on(shape.with_(frames=frames), source.with_(frames=frames // self.factor))

    def _made(self, network: Network, span: Span) -> Tensor:
        """The kept frames of a window, (C, n, H, W) on the CPU."""
        stage, first = self._on(len(span.seen)), span.seen.start

        def noise(purpose: str, window: Window) -> Tensor:
            return numbered_noise(self.stage, self.draw, purpose, [first + own for own in window.frames], window)

        seen = range(first // self.factor, span.seen.stop // self.factor)
        video = self.source.read(seen)[None].to(self.draw.device)
        made = stage_video(stage, network, self.given, video, replace(self.draw, noise=noise))
        expect_finite(stage, made, self.draw.dtype)
        return made[0, :, span.kept.start - first : span.kept.stop - first].cpu()


def exact_spans(total: int, length: int, halo: int) -> list[Span]:
    """Windows of `length` frames, without the `halo` ones at either end unless the video ends there."""
    spans, kept = list[Span](), 0
    while (start := max(0, kept - halo)) + length < total:
        spans.append(Span(range(start, start + length), range(kept, start + length - halo)))
        kept = start + length - halo
    return [*spans, Span(range(start, total), range(kept, total))]


def fading_spans(total: int, length: int, overlap: int) -> list[Span]:
    """Windows of `length` frames, of which `overlap` fade into the next one; the last begins where it fits."""
    spans, start, kept = list[Span](), 0, 0
    while start + length < total:
        spans.append(Span(range(start, start + length), range(kept, start + length), overlap))
        kept = start + length - overlap
        start = min(kept, total - length)
    return [*spans, Span(range(start, total), range(kept, total))]


def exact_halo(stage: StageSpec) -> int | None:
    """How many frames away the network can change a frame in all its calls; None if there is no such bound.

    A dynamic threshold depends on all frames, and windows and guidance that varies on where a video begins. The
    gradient of a call goes as far back as the call looks.
    """
    reach, sampling = stage.network.reach().frames, stage.sampling
    elsewhere = len(stage.windows) > 1 or sampling.guidance.varies
    if reach is None or isinstance(sampling.threshold, float) or elsewhere:
        return None
    return reach * calls(stage) * (2 if differentiates(stage) else 1)


def calls(stage: StageSpec) -> int:
    """How often a stage's sampler evaluates the denoiser."""
    count = 0

    def counting(z: Tensor, level: NoiseLevel) -> Tensor:
        nonlocal count
        count += 1
        return z.clone()

    one = torch.zeros(1, 1, 1, 1, 1)
    ladder = [stage.schedule(t.expand(1)) for t in stage.schedule.times(stage.sampling.steps)]
    prepared = Ready(denoise=counting, levels=ladder, noise=lambda purpose: one.clone(), sampler=stage.sampling.sampler)
    for _ in stage.sampling.routine(prepared):
        pass
    return count
