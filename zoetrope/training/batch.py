"""A training batch as a pure function of its position: to resume exactly, an integer suffices.

Random choices about the batch as a whole, its times and which examples are packs of images, depend on its position; all
others on the number of the example. So a batch is the same in however many parts and processes it is loaded.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

from zoetrope.cascade.between import source_grid
from zoetrope.cascade.noise import seeded
from zoetrope.cascade.spec import StageSpec
from zoetrope.conditioning import Conditioning, Tokens
from zoetrope.data import Dataset, Dropped, Example, joined, masks
from zoetrope.embeddings.cache import EmbeddingCache
from zoetrope.inputs import Examples
from zoetrope.shapes import VideoShape, Window
from zoetrope.training.grids import size_at
from zoetrope.training.known import KnownFrames, Shown, fitted_to
from zoetrope.training.packed import PackedBatch
from zoetrope.training.spec import Phase, TrainSpec
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
        known: frames that are given clean, (b, F) bool; None: the training has no known frames.
        frame_times: of each frame of these examples, (b, F) float64; None: those of the examples.
        one_level: which examples of the batch have one noise level for all frames that are not known, (size,) bool;
            None: all.
        counted: frames that have a loss, (b, F) bool; None: all.
        skipped: clips that can no longer be read, and why; others of the same data set replace them.
        present: values of x that have a loss, like x, bool; None: all.
        position: examples of the training before the batch.
    """

    x: Tensor
    conditioning: Conditioning
    eps: Tensor
    times: Tensor
    part: Tensor
    names: tuple[str, ...]
    known: Tensor | None = None
    frame_times: Tensor | None = None
    one_level: Tensor | None = None
    counted: Tensor | None = None
    skipped: tuple[Dropped, ...] = ()
    present: Tensor | None = None
    position: int = 0

    @property
    def size(self) -> int:
        """How many examples the whole batch has."""
        return len(self.times)

    @property
    def t(self) -> Tensor:
        """The times of these examples, (b,) float64 in [0, 1)."""
        return self.times[self.part]

    @property
    def frame_t(self) -> Tensor:
        """The times of these examples' frames, (b, F) float64 in [0, 1)."""
        return self.t[:, None].expand(-1, self.x.shape[2]) if self.frame_times is None else self.frame_times

    @property
    def count(self) -> int:
        """How many examples are here, b."""
        return len(self.part)

    @property
    def parts(self) -> tuple["Batch", ...]:
        """The examples of each grid: of one."""
        return (self,)

    def select(self, rows: Tensor) -> "Batch":
        """Some of these examples, by their indices among them, (n,) int64."""
        return replace(
            self,
            x=self.x[rows],
            conditioning=self.conditioning.select(rows),
            eps=self.eps[rows],
            part=self.part[rows],
            names=tuple(self.names[row] for row in rows.tolist()),
            known=_of_rows(self.known, rows),
            frame_times=_of_rows(self.frame_times, rows),
            counted=_of_rows(self.counted, rows),
            present=_of_rows(self.present, rows),
        )

    def blank(self) -> "Batch":
        """One example of zeros, of the same shapes."""
        zeros = self.x.new_zeros(1, *self.x.shape[1:])
        given = self.conditioning.blank(1)
        part = torch.zeros(1, dtype=torch.int64)
        blank = replace(self, x=zeros, conditioning=given, eps=zeros, part=part, names=("",), counted=None)
        known = None if self.known is None else self.known.new_zeros(1, self.known.shape[1])
        return replace(blank, known=known, frame_times=None, present=None)


def _of_rows(values: Tensor | None, rows: Tensor) -> Tensor | None:
    return None if values is None else values[rows]


class _Loaded(NamedTuple):
    """One example.

    Attributes:
        video: (C, F, H, W).
        samples: the data samples in it: one clip, or one for each frame.
        draw: a generator for its random choices.
        roles: of its frames, where some may be known or from elsewhere.
        present: values that are not missing, like the video, bool; None: all.
    """

    video: Tensor
    samples: list[Example]
    draw: torch.Generator
    roles: "_Roles | None" = None
    present: Tensor | None = None


class _Roles(NamedTuple):
    """What the frames of an example are for, each (F,).

    Attributes:
        seconds: when each frame is seen.
        known, alone, counted: frames that are given clean; that are independent images; that have a loss.
        times: the diffusion time of each frame; None: that of the example.
    """

    seconds: Tensor
    known: Tensor
    alone: Tensor
    counted: Tensor
    times: Tensor | None = None


class _Whole(NamedTuple):
    """A whole batch before its examples are loaded: its position, and what each example is; see `Batch`, `Item`."""

    examples: int
    times: Tensor
    items: list[Item]
    shown: list[Shown | None]


@dataclass(frozen=True, kw_only=True)
class Batches:
    """The endless sequence of a stage's batches."""

    stage: StageSpec
    spec: TrainSpec
    dataset: Dataset
    texts: EmbeddingCache | None
    _fitted: dict[VideoShape, KnownFrames] = field(default_factory=dict, init=False, repr=False, compare=False)

    def known_in(self, clip: VideoShape) -> KnownFrames | None:
        """Which frames of clips of this shape are known, as the spec says, or as near to it as the data allow."""
        if self.spec.known is not None and clip not in self._fitted:
            self._fitted[clip] = fitted_to(self.spec.known, self.dataset, clip)
        return self._fitted.get(clip)

    def size_at(self, examples: int) -> int:
        """How many examples the batch at this position has: the last one of a phase may be smaller."""
        return size_at(self.spec, examples)

    def at(self, examples: int, share: BatchSlice = WHOLE) -> Batch | PackedBatch:
        """The batch that starts at this position, or only a share of it, on the CPU.

        All shares together equal the whole batch, except that each pads texts to its own longest, where the batch is
        packed, those of each grid alone.
        """
        size = self.size_at(examples)
        draw = torch.Generator().manual_seed(seeded(self.spec.seed, "batch", examples))
        times = (torch.rand(1, generator=draw, dtype=torch.float64) + torch.arange(size) / size) % 1
        times = times[torch.randperm(size, generator=draw)]  # stratified t: one draw per equal sub-interval
        taken = items(self.stage, self.spec, examples, size, draw)
        whole = _Whole(examples, times, taken, [self._shown(examples + row, item) for row, item in enumerate(taken)])
        own = share.of(size)
        if not self.spec.grids or self.spec.grid_batches == "bucketed":
            return self._of_grid(whole, own)
        grids = torch.tensor([item.grid for item in taken])
        parts = [own[grids[own] == grid] for grid in grids[own].unique()] or [own]
        return PackedBatch(tuple(self._of_grid(whole, part) for part in parts))

    def _of_grid(self, whole: "_Whole", part: Tensor) -> Batch:
        """The examples of a batch with these indices, all of one grid."""
        rows = part.tolist() or [0]  # an empty share takes its shapes from the first example
        phase = self.spec.phase_at(whole.examples)[0]
        loaded = [self._load(whole.examples + row, whole.items[row], phase, whole.shown[row]) for row in rows]
        x = torch.stack([one.video for one in loaded])
        eps = torch.stack([torch.randn(one.video.shape, generator=one.draw) for one in loaded])
        packed = torch.tensor([item.pack for item in whole.items])
        one_level = torch.tensor([one is None or not one.independent for one in whole.shown])
        pictured = packed[rows] if packed.any() or phase.appended else None
        given = self._conditioning(loaded, x, pictured, [(whole.items[row], whole.shown[row]) for row in rows])
        own = slice(len(part))
        batch = Batch(
            x=x[own],
            conditioning=given.select(torch.arange(len(part))),
            eps=eps[own],
            times=whole.times,
            part=part,
            names=tuple(_name(one) for one in loaded[own]),
            skipped=tuple(item for one in loaded for sample in one.samples for item in sample.skipped),
            present=_present(loaded[own]),
            position=whole.examples,
            one_level=None if self.spec.known is None else one_level,
        )
        if self.spec.grids or self.stage.network.reads_seconds:
            batch = _timed(batch, [whole.items[row].shape.fps for row in rows[own]])
        return self._with_roles(batch, loaded, whole.shown)

    def _own(self, item: Item) -> VideoShape:
        """The grid of an example's clip before a phase leaves out frames."""
        own = self.spec.grids[item.grid].shape(self.stage.shape) if self.spec.grids else self.stage.shape
        return own if item.rate is None else own.with_(fps=item.rate)

    def _shown(self, index: int, item: Item) -> Shown | None:
        """Which frames of its clip example `index` shows, and which of them are known; None: all, and none is known."""
        clip, room = self._own(item), self.spec.span or item.shape.frames
        known = self.known_in(clip)
        if known is None or room == 1:
            return None
        draw = torch.Generator().manual_seed(seeded(self.spec.seed, "known", index))
        return known.shown(room, clip.frames, draw)

    def _load(self, index: int, item: Item, phase: Phase, shown: Shown | None) -> _Loaded:
        """Example `index` of the training: a clip, or a pack of pictures, cropped to its window; then other images."""
        draw = torch.Generator().manual_seed(seeded(self.spec.seed, "example", index))
        shape = item.shape
        window = self._window(shape, draw)
        if item.pack:
            samples = self._pictures(item.number, len(window.frames), window, shape)
            clip = joined(samples)
        elif shown is None or self.stage.source is not None:
            clip = self.dataset.part(item.number, shape, window)
            samples = [clip]
        else:
            clip = self._frames(item, shown, len(window.frames))
            samples = [clip]
        frames = clip.video.shape[1]
        if phase.appended:
            pictures = self._pictures(item.pictures, phase.appended, window, shape)
            clips = samples * frames if len(samples) == 1 else samples
            clip, samples = joined([clip, *pictures]), [*clips, *pictures]
        loaded = _Loaded(clip.video, samples, draw, present=clip.present)
        if shown is None and not phase.appended:
            return loaded
        return loaded._replace(roles=self._roles(shown, item, frames, phase, draw))

    def _pictures(self, first: int, count: int, window: Window, shape: VideoShape) -> list[Example]:
        """Consecutive pictures (C, 1, h, w) of the data set."""
        still = VideoShape(frames=1, height=shape.height, width=shape.width, fps=shape.fps)
        one = window._replace(frames=range(1))
        return [self.dataset.part(number, still, one) for number in range(first, first + count)]

    def _frames(self, item: Item, shown: Shown, room: int) -> Example:
        """The shown frames (C, room, H, W) of a clip, filled up with frames of the next one."""
        shape = self._own(item).with_(frames=shown.length)
        clip = self.dataset.frames(item.number, shape, shown.frames.tolist())
        more = room - len(shown.frames)
        return joined([clip, self.dataset.frames(item.number + 1, shape, list(range(more)))]) if more else clip

    def _roles(self, shown: Shown | None, item: Item, frames: int, phase: Phase, draw: torch.Generator) -> _Roles:
        """The roles of the frames of an example: `frames` of a clip or a pack, then appended images."""
        count, pack = frames + phase.appended, item.pack
        fps = item.shape.fps if shown is None else self._own(item).fps
        seconds = torch.arange(count) / fps
        known, alone, counted = (torch.full((count,), value) for value in (False, pack, True))
        alone[frames:] = True
        if shown is None or pack:
            return _Roles(seconds, known, alone, counted)
        shows = len(shown.frames)
        seconds[:shows] = shown.frames / fps
        known[:shows] = shown.known
        alone[shows:] = True
        counted[:frames] = ~known[:frames] & ~alone[:frames]
        times = torch.rand(count, generator=draw, dtype=torch.float64) if shown.independent else None
        return _Roles(seconds, known, alone, counted, times)

    def _with_roles(self, batch: Batch, loaded: list[_Loaded], shown: list[Shown | None]) -> Batch:
        """The batch with the roles of its frames, if they have any."""
        roles = [one.roles for one in loaded if one.roles is not None]
        if not roles:
            return batch
        count = len(batch.part)
        seconds, known, alone, counted = (torch.stack(values)[:count] for values in list(zip(*roles, strict=True))[:4])
        given = replace(batch.conditioning, images=alone if alone.any() else None)
        if self.spec.known is None:
            return replace(batch, conditioning=given)
        own = batch.t[:, None].expand(-1, batch.x.shape[2])
        times = [t if role.times is None else role.times for t, role in zip(own, roles[:count], strict=True)]
        return replace(
            batch,
            conditioning=replace(given, times=seconds if self.stage.source is None else given.times),
            known=known,
            frame_times=torch.stack(times) if times else own,
            counted=counted,
        )

    def _conditioning(
        self, loaded: list[_Loaded], x: Tensor, packed: Tensor | None, taken: Sequence[tuple[Item, Shown | None]]
    ) -> Conditioning:
        """The conditioning of these videos, from clips on one grid."""
        shape = self._own(taken[0][0]._replace(rate=None))
        examples = Examples(
            x=x,
            samples=[one.samples for one in loaded],
            draws=[one.draw for one in loaded],
            packed=packed,
            encode=self._tokens,
            rates=torch.tensor([self._rate(*one) for one in taken]),
            present=_present(loaded),
            pixels=self.dataset.pixels,
        )
        given = Conditioning(images=packed)
        for each in self.stage.all_inputs:
            given = given | each.of_examples(shape, examples)
        return given

    def _rate(self, item: Item, shown: Shown | None) -> float:
        """The frames per second of an example: where only some of a clip's frames are shown, of those."""
        if shown is None or len(shown.frames) < 2 or self.stage.source is not None:  # which shows frames in a row
            return item.shape.fps
        return self._own(item).fps / float(shown.frames.diff().median())

    def _tokens(self, texts: Sequence[str]) -> Tokens:
        if self.texts is None:
            raise ValueError(f"stage {self.stage.name!r}: expected a text encoder, for it is told texts")
        known = [row for row, text in enumerate(texts) if text]
        if len(known) == len(texts):
            return Tokens(*self.texts.encode(texts))
        some = self.texts.encode([texts[row] for row in known]) if known else None
        length = 1 if some is None else some.mask.shape[1]
        values = torch.zeros(len(texts), length, self.texts.encoder.width)
        mask = torch.zeros(values.shape[:-1], dtype=torch.bool)
        if some is not None:
            values[known], mask[known] = some.text, some.mask
        return Tokens(values, mask)

    def _window(self, shape: VideoShape, draw: torch.Generator) -> Window:
        """The random crop of a clip, aligned with the source's pixels and frames."""
        whole = (shape.frames, shape.height, shape.width)
        source = source_grid(self.stage)
        if source is None:
            return Window.whole(shape)
        sizes = (self.spec.span or shape.frames, *(self.spec.crop or whole[1:]))
        grids = (shape.frames // source.frames, shape.height // source.height, shape.width // source.width)
        starts = [
            grid * int(torch.randint((full - size) // grid + 1, (), generator=draw))
            for full, size, grid in zip(whole, sizes, grids, strict=True)
        ]
        return Window(*(range(start, start + size) for start, size in zip(starts, sizes, strict=True)))


def _timed(batch: Batch, rates: Sequence[float]) -> Batch:
    """The batch with the times of its clips' frames at these rates, those of appended images after them."""
    seconds = torch.arange(batch.x.shape[2]) / torch.tensor(rates)[:, None]
    return replace(batch, conditioning=replace(batch.conditioning, times=seconds))


def _present(loaded: Sequence[_Loaded]) -> Tensor | None:
    """Which values of several examples are present, (b, C, F, H, W) bool; None: all are."""
    found = masks([(one.video, one.present) for one in loaded])
    return None if found is None else torch.stack(found)


def _name(loaded: _Loaded) -> str:
    return ", ".join(dict.fromkeys(sample.name for sample in loaded.samples))
