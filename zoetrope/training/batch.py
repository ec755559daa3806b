"""One batch of training, as a pure function of the training's position: exact resume needs nothing but an integer."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from zoetrope.cascade.noise import seeded
from zoetrope.cascade.resample import augment, augmentation_logsnr, degrade, upsample
from zoetrope.cascade.spec import StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.data import Dataset
from zoetrope.shapes import VideoShape, Window
from zoetrope.text._cache import EmbeddingCache
from zoetrope.training.spec import TrainSpec, clip_shape


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What one optimizer step learns from: x (B, C, F, H, W), its conditioning, times t (B,) and noise like x."""

    x: Tensor
    conditioning: Conditioning
    t: Tensor
    eps: Tensor


@dataclass(frozen=True, kw_only=True)
class Batches:
    """The endless sequence of a stage's batches."""

    stage: StageSpec
    spec: TrainSpec
    dataset: Dataset
    texts: EmbeddingCache

    def at(self, examples: int) -> Batch:
        """The batch that starts at this position, on the CPU."""
        phase, left = self.spec.phase_at(examples)
        size = min(phase.batch, left) if left else phase.batch
        draw = torch.Generator().manual_seed(seeded(self.spec.seed, "batch", examples))
        shape = clip_shape(self.stage, phase)
        packed = torch.rand(size, generator=draw) < (phase.images if shape.frames > 1 else 0)
        windows = [self._window(shape, draw) for _ in range(size)]
        videos, captions = self._examples(examples, shape, packed.tolist(), windows)
        x = torch.stack(videos)
        conditioning = self._text(captions, packed, shape, draw)
        if self.stage.source is not None:
            conditioning = self._paired(x, conditioning, draw)
        t = (torch.rand(1, generator=draw, dtype=torch.float64) + torch.arange(size) / size) % 1
        t = t[torch.randperm(size, generator=draw)]  # one of each part of [0, 1]: less variance than independent draws
        eps = torch.randn(x.shape, generator=draw)
        if self.stage.distilled is not None and self.stage.network.guided:
            low, high = self.stage.distilled.weights
            conditioning = replace(conditioning, guidance=low + (high - low) * torch.rand(size, generator=draw))
        return Batch(x=x, conditioning=conditioning, t=t, eps=eps)

    def _examples(
        self, first: int, shape: VideoShape, packed: list[bool], windows: list[Window]
    ) -> tuple[list[Tensor], list[list[str]]]:
        """Clips with one caption each, or packs of images with a caption for each, cut down to their windows."""
        still = VideoShape(frames=1, height=shape.height, width=shape.width, fps=shape.fps)
        videos, captions = [], []
        for index, (pack, window) in enumerate(zip(packed, windows, strict=True), start=first):
            if pack:
                numbers = range(index * shape.frames, (index + 1) * shape.frames)
                pictures = [self.dataset.part(number, still, window._replace(frames=range(1))) for number in numbers]
                videos.append(torch.cat([picture.video for picture in pictures], dim=1))
                captions.append([picture.text for picture in pictures])
            else:
                clip = self.dataset.part(index, shape, window)
                videos.append(clip.video)
                captions.append([clip.text])
        return videos, captions

    def _text(
        self, captions: list[list[str]], packed: Tensor, shape: VideoShape, draw: torch.Generator
    ) -> Conditioning:
        """One text a video, or, as soon as the batch has a pack of images, one text a frame."""
        per_frame = bool(packed.any())
        flat = [text for own in captions for text in (own * shape.frames if per_frame and len(own) == 1 else own)]
        text, mask = self.texts.encode(flat)
        if per_frame:
            text, mask = (value.unflatten(0, (len(captions), shape.frames)) for value in (text, mask))
        drop = torch.rand(len(captions), generator=draw) < self.spec.text_dropout
        images = packed if per_frame else None
        return Conditioning(text=text, text_mask=mask, images=images).without_text(drop)

    def _paired(self, x: Tensor, conditioning: Conditioning, draw: torch.Generator) -> Conditioning:
        """Add the low-resolution video that x is to be made from, noised to a random level."""
        stage, source = self.stage, self.stage.source
        assert source is not None
        own = VideoShape(frames=x.shape[2], height=x.shape[3], width=x.shape[4], fps=stage.shape.fps)
        small = VideoShape(
            frames=own.frames * source.frames // stage.shape.frames,
            height=own.height * source.height // stage.shape.height,
            width=own.width * source.width // stage.shape.width,
            fps=source.fps,
        )
        low_res = upsample(degrade(x, small), own, stage.fill)
        logsnr = augmentation_logsnr(torch.rand(len(x), generator=draw))
        noised = augment(low_res, torch.randn(x.shape, generator=draw), logsnr)
        return replace(conditioning, low_res=noised, low_res_logsnr=logsnr.float())

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
