"""Latents instead of pixels: what a stage with a codec learns from, encoded example by example."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from torch import Tensor

from zoetrope.channels import RGB, difference
from zoetrope.codecs import CodecNetwork, decoded, encoded, load_codec
from zoetrope.data import Dataset, Example
from zoetrope.data._over import OverDataset, OverSource
from zoetrope.shapes import VideoShape, Window
from zoetrope.video.motion import motion_strength

MOTION = "motion_strength"
"""The name by which latents tell the motion strength of their clips."""


class Latents(OverSource):
    """The latents of the videos of a source, with their captions. `zoetrope data encode` keeps them on disk.

    Attributes:
        source: of the videos, in pixels.
        codec: the folder of the codec.
    """

    codec: str

    @property
    def codec_folder(self) -> Path:
        """See `Source`."""
        return Path(os.path.expanduser(self.codec))

    def open(self) -> "LatentsDataset":
        """Open the source. Raises ValueError if it has nothing usable, and as `zoetrope.codecs.load_codec` does."""
        return LatentsDataset(load_codec(self.codec_folder), self.source.open())

    def located(self) -> Self:
        """See `Source`."""
        return super().located().with_(codec=str(self.codec_folder.absolute()))


def expect_pictures(videos: Dataset) -> None:
    """Raise ValueError for data whose channels are not red, green and blue: codecs are of pictures."""
    if (wrong := difference(RGB, videos.channels())) is not None:
        raise ValueError(f"{wrong}: codecs are of RGB pictures")


def with_motion(example: Example, fps: float) -> Example:
    """An example of a clip in pixels, at so many frames per second, that tells its motion strength."""
    if example.video.shape[1] < 2:
        return example
    return example._replace(told={**example.told, MOTION: float(motion_strength(example.video[None], fps))})


class LatentsDataset(OverDataset):
    """The examples of another data set as scaled latents (C, F, h, w); shapes are those of latents."""

    def __init__(self, codec: CodecNetwork, videos: Dataset):
        expect_pictures(videos)
        super().__init__(videos)
        self.codec = codec

    def example(self, index: int, shape: VideoShape) -> Example:
        """The latents of example `index`, which tells how much moves in its clip."""
        return self._encoded(with_motion(self.videos.example(index, self.below(shape)), shape.fps))

    def part(self, index: int, shape: VideoShape, window: Window) -> Example:
        """See `Dataset`: whole frames, of which the encoder sees the surroundings too."""
        pixels = self.below(shape)
        rows = Window.whole(pixels)._replace(frames=window.frames)
        some = with_motion(self.videos.part(index, pixels, rows), shape.fps)
        factor, frames = self.codec.codec.factor, range(len(window.frames))
        there = Window(frames, *(range(factor * side.start, factor * side.stop) for side in window[1:]))
        made, cut = self._encoded(some), window._replace(frames=frames)
        present = None if made.present is None else cut.of(made.present)
        return some.cut(there.of, frames)._replace(video=cut.of(made.video), present=present)

    def frames(self, index: int, shape: VideoShape, numbers: Sequence[int]) -> Example:
        """See `Dataset`: encoders see each frame alone."""
        some = self.videos.frames(index, self.below(shape), numbers)
        return self._encoded(with_motion(some, shape.fps) if list(numbers) == list(range(shape.frames)) else some)

    def _encoded(self, example: Example) -> Example:
        """The example with latents instead of its video; those are present of which all pixels are."""
        codec, present = self.codec.codec, example.present
        if present is not None:
            blocks = present.all(0, keepdim=True).unflatten(3, (-1, codec.factor)).unflatten(2, (-1, codec.factor))
            present = blocks.all(5).all(3).expand(codec.channels, -1, -1, -1)
        return example._replace(video=encoded(self.codec, example.video[None])[0], present=present)

    def pixels(self, videos: Tensor) -> Tensor:
        """See `Dataset`: decoded."""
        return decoded(self.codec, videos)

    def below(self, shape: VideoShape) -> VideoShape:
        """See `OverDataset`: the grid of the pixels."""
        return self.codec.codec.pixels(shape)

    def tells(self) -> Mapping[str, str]:
        """See `Dataset`: also the motion strength."""
        return {**self.videos.tells(), MOTION: "number"}
