"""One batch of training, as a pure function of the training's position: exact resume needs nothing but an integer.

What concerns the batch as a whole, its times and which examples are packs of images, is drawn from its position; all
else from the number of the example. So a batch may be loaded in parts, by any number of processes, and is the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from zoetrope.cascade.noise import seeded
from zoetrope.cascade.spec import StageSpec
from zoetrope.conditioning import Conditioning, Tokens
from zoetrope.data import Dataset, Dropped, Example
from zoetrope.embeddings.cache import EmbeddingCache
from zoetrope.inputs import Examples
from zoetrope.shapes import VideoShape, Window
from zoetrope.training.spec import TrainSpec, clip_shape
from zoetrope.training.walk import Item, items


class BatchSlice(NamedTuple):
    """What one of `world` processes loads of a batch: every `world`-th example, from number `rank` on."""

    rank: int = 0
    world: int = 1

    def of(self, size: int) -> Tensor:
        """Which of a batch's `size` examples these are, (b,) int64; none if there are more processes than examples."""
        return torch.tensor(range(self.rank, size, self.world), dtype=torch.int64)


WHOLE = BatchSlice()


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What one optimizer step learns from, or the part of it that one process has loaded: b of `size` examples.

    Attributes:
        x: videos, (b, C, F, H, W).
        conditioning: what the network is given with each of them.
        eps: noise like x.
        times: of all examples of the batch, (size,) float64, also of those that other processes have.
        part: which of the batch's examples these are, (b,) int64, ascending.
        names: what messages call each of them.
        counted: frames that have a loss, (b, F) bool; None: all.
        skipped: clips that can no longer be read, and why; others of the same data set stand in for them.
    """

    x: Tensor
    conditioning: Conditioning
    eps: Tensor
    times: Tensor
    part: Tensor
    names: tuple[str, ...]
    counted: Tensor | None = None
    skipped: tuple[Dropped, ...] = ()

    @property
    def size(self) -> int:
        """How many examples the whole batch has."""
        return len(self.times)

    @property
    def t(self) -> Tensor:
        """The times of these examples, (b,) float64 in [0, 1)."""
        return self.times[self.part]

    def select(self, rows: Tensor) -> "Batch":
        """Some of these examples, by their numbers among them, (n,) int64."""
        return replace(
            self,
            x=self.x[rows],
            conditioning=self.conditioning.select(rows),
            eps=self.eps[rows],
            part=self.part[rows],
            names=tuple(self.names[row] for row in rows.tolist()),
            counted=None if self.counted is None else self.counted[rows],
        )

    def blank(self) -> "Batch":
        """One example of zeros, of the shapes that these have."""
        zeros = self.x.new_zeros(1, *self.x.shape[1:])
        given = self.conditioning.blank(1)
        part = torch.zeros(1, dtype=torch.int64)
        return replace(self, x=zeros, conditioning=given, eps=zeros, part=part, names=("",), counted=None)


class _Loaded(NamedTuple):
    """One example: its video (C, F, H, W), the samples that it is from, and a generator for its random choices."""

    video: Tensor
    samples: list[Example]
    draw: torch.Generator


Counts = Callable[[int, torch.Generator], Tensor]
"""Which frames have a loss, (F,) bool: of a clip of F frames, with the generator of the example's random choices."""


@dataclass(frozen=True, kw_only=True)
class Batches:
    """The endless sequence of a stage's batches; `counts` leaves frames out of the loss."""

    stage: StageSpec
    spec: TrainSpec
    dataset: Dataset
    texts: EmbeddingCache | None
    counts: Counts | None = None

    def size_at(self, examples: int) -> int:
        """How many examples the batch at this position has: the last of a phase may have fewer than the others."""
        phase, left = self.spec.phase_at(examples)
        return min(phase.batch, left) if left else phase.batch

    def at(self, examples: int, share: BatchSlice = WHOLE) -> Batch:
        """The batch that starts at this position, or a share of it, on the CPU; what others have is not loaded.

        Shares put together are the whole, but for the padding of their texts, each to its longest.
        """
        size = self.size_at(examples)
        draw = torch.Generator().manual_seed(seeded(self.spec.seed, "batch", examples))
        times = (torch.rand(1, generator=draw, dtype=torch.float64) + torch.arange(size) / size) % 1
        times = times[torch.randperm(size, generator=draw)]  # one of each part of [0, 1]: less variance than any others
        taken = items(self.stage, self.spec, examples, size, draw)
        part = share.of(size)
        rows = part.tolist() or [0]  # a share without examples has the shapes of some
        phase = self.spec.phase_at(examples)[0]
        loaded = [self._load(examples + row, taken[row], clip_shape(self.stage, phase)) for row in rows]
        x = torch.stack([one.video for one in loaded])
        eps = torch.stack([torch.randn(one.video.shape, generator=one.draw) for one in loaded])
        packed = torch.tensor([item.pack for item in taken])
        given = self._given(loaded, x, packed[rows] if packed.any() else None)
        return Batch(
            x=x[: len(part)],
            conditioning=given.select(torch.arange(len(part))),
            eps=eps[: len(part)],
            times=times,
            part=part,
            names=tuple(_name(one) for one in loaded[: len(part)]),
            counted=self._counted(loaded[: len(part)]),
            skipped=tuple(item for one in loaded for sample in one.samples for item in sample.skipped),
        )

    def _load(self, index: int, item: Item, shape: VideoShape) -> _Loaded:
        """Example `index` of the training: a clip, or a pack of pictures, cut down to its window."""
        draw = torch.Generator().manual_seed(seeded(self.spec.seed, "example", index))
        window = self._window(shape, draw)
        if not item.pack:
            clip = self.dataset.part(item.number, shape, window)
            return _Loaded(clip.video, [clip], draw)
        still = VideoShape(frames=1, height=shape.height, width=shape.width, fps=shape.fps)
        numbers = range(item.number, item.number + len(window.frames))
        pictures = [self.dataset.part(number, still, window._replace(frames=range(1))) for number in numbers]
        return _Loaded(torch.cat([picture.video for picture in pictures], dim=1), pictures, draw)

    def _given(self, loaded: list[_Loaded], x: Tensor, packed: Tensor | None) -> Conditioning:
        """What the network is told of these videos."""
        examples = Examples(
            x=x,
            samples=[one.samples for one in loaded],
            draws=[one.draw for one in loaded],
            packed=packed,
            encode=self._tokens,
        )
        given = Conditioning(images=packed)
        for each in self.stage.told:
            given = given | each.of_examples(self.stage.shape, examples)
        return given

    def _counted(self, loaded: list[_Loaded]) -> Tensor | None:
        """Which frames of these videos have a loss."""
        if self.counts is None or not loaded:
            return None
        return torch.stack([self.counts(one.video.shape[1], one.draw) for one in loaded])

    def _tokens(self, texts: Sequence[str]) -> Tokens:
        if self.texts is None:
            raise ValueError(f"stage {self.stage.name!r}: expected a text encoder, for it is told texts")
        return Tokens(*self.texts.encode(texts))

    def _window(self, shape: VideoShape, draw: torch.Generator) -> Window:
        """The part of a clip that is learnt from, on the grid of the source's pixels and frames."""
        whole = (shape.frames, shape.height, shape.width)
        source = self.stage.source
        if source is None:
            return Window.whole(shape)
        sizes = (self.spec.span or shape.frames, *(self.spec.crop or whole[1:]))
        grids = (shape.frames // source.frames, shape.height // source.height, shape.width // source.width)
        starts = [
            grid * int(torch.randint((full - size) // grid + 1, (), generator=draw))
            for full, size, grid in zip(whole, sizes, grids, strict=True)
        ]
        return Window(*(range(start, start + size) for start, size in zip(starts, sizes, strict=True)))


def _name(loaded: _Loaded) -> str:
    return ", ".join(dict.fromkeys(sample.name for sample in loaded.samples))
