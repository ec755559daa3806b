"""A training batch as a pure function of its position: to resume exactly, an integer suffices.

Random choices about the batch as a whole, its times and which examples are packs of images, depend on its position; all
others on the number of the example. So a batch is the same in however many parts and processes it is loaded.
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
    """The share of a batch that one of `world` processes loads: every `world`-th example, from `rank` on."""

    rank: int = 0
    world: int = 1

    def of(self, size: int) -> Tensor:
        """The indices (b,) int64 among a batch's `size` examples; none if there are more processes than examples."""
        return torch.tensor(range(self.rank, size, self.world), dtype=torch.int64)


WHOLE = BatchSlice()


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The examples of one optimizer step, or one process's share of them: b of `size` examples.

    Attributes:
        x: videos, (b, C, F, H, W).
        conditioning: of each video.
        eps: noise like x.
        times: of all examples of the batch, (size,) float64, including those of other processes.
        part: the indices of these examples in the batch, (b,) int64, ascending.
        names: of the examples, for messages.
        counted: frames that have a loss, (b, F) bool; None: all.
        skipped: clips that can no longer be read, and why; others of the same data set replace them.
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
        """Some of these examples, by their indices among them, (n,) int64."""
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
        """One example of zeros, of the same shapes."""
        zeros = self.x.new_zeros(1, *self.x.shape[1:])
        given = self.conditioning.blank(1)
        part = torch.zeros(1, dtype=torch.int64)
        return replace(self, x=zeros, conditioning=given, eps=zeros, part=part, names=("",), counted=None)


class _Loaded(NamedTuple):
    """One example: its video (C, F, H, W), the data samples in it, and a generator for its random choices."""

    video: Tensor
    samples: list[Example]
    draw: torch.Generator


Counts = Callable[[int, torch.Generator], Tensor]
"""(number of frames F, the example's generator) -> which frames have a loss, (F,) bool."""


@dataclass(frozen=True, kw_only=True)
class Batches:
    """The endless sequence of a stage's batches; `counts` leaves frames out of the loss."""

    stage: StageSpec
    spec: TrainSpec
    dataset: Dataset
    texts: EmbeddingCache | None
    counts: Counts | None = None

    def size_at(self, examples: int) -> int:
        """How many examples the batch at this position has: the last one of a phase may be smaller."""
        phase, left = self.spec.phase_at(examples)
        return min(phase.batch, left) if left else phase.batch

    def at(self, examples: int, share: BatchSlice = WHOLE) -> Batch:
        """The batch that starts at this position, or only a share of it, on the CPU.

        All shares together equal the whole batch, except that each pads texts to its own longest.
        """
        size = self.size_at(examples)
        draw = torch.Generator().manual_seed(seeded(self.spec.seed, "batch", examples))
        times = (torch.rand(1, generator=draw, dtype=torch.float64) + torch.arange(size) / size) % 1
        times = times[torch.randperm(size, generator=draw)]  # stratified t: one draw per equal sub-interval
        taken = items(self.stage, self.spec, examples, size, draw)
        part = share.of(size)
        rows = part.tolist() or [0]  # an empty share takes its shapes from the first example
        phase = self.spec.phase_at(examples)[0]
        loaded = [self._load(examples + row, taken[row], clip_shape(self.stage, phase)) for row in rows]
        x = torch.stack([one.video for one in loaded])
        eps = torch.stack([torch.randn(one.video.shape, generator=one.draw) for one in loaded])
        packed = torch.tensor([item.pack for item in taken])
        given = self._conditioning(loaded, x, packed[rows] if packed.any() else None)
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
        """Example `index` of the training: a clip, or a pack of pictures, cropped to its window."""
        draw = torch.Generator().manual_seed(seeded(self.spec.seed, "example", index))
        window = self._window(shape, draw)
        if not item.pack:
            clip = self.dataset.part(item.number, shape, window)
            return _Loaded(clip.video, [clip], draw)
        still = VideoShape(frames=1, height=shape.height, width=shape.width, fps=shape.fps)
        numbers = range(item.number, item.number + len(window.frames))
        pictures = [self.dataset.part(number, still, window._replace(frames=range(1))) for number in numbers]
        return _Loaded(torch.cat([picture.video for picture in pictures], dim=1), pictures, draw)

    def _conditioning(self, loaded: list[_Loaded], x: Tensor, packed: Tensor | None) -> Conditioning:
        """The conditioning of these videos."""
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
        """The random crop of a clip, aligned with the source's pixels and frames."""
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
