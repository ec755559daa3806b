"""What a network is told beside z, one kind of input a file. To add one, add a file with a value of `Input`.

An input makes its part of the conditioning three times: of examples in training, of what somebody asks for in sampling,
and, without values, of nothing but shapes, from which plans and budgets follow.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from zoetrope.conditioning import Conditioning, Tokens
from zoetrope.config import Kind
from zoetrope.shapes import VideoShape, Window

Noise = Callable[[str, Window], Tensor]
"""What noise is for ("start", "step 3", "augment") and a window of the video -> standard normal noise (B, C, F, H, W)
there, one row for each video of the batch."""


@dataclass(frozen=True, kw_only=True)
class Examples:
    """What a batch of training is made of, as inputs see it.

    Attributes:
        x: clean videos, (b, C, F, H, W), on the stage's grid or cropped from it.
        samples: the data set's examples that each video is from: one clip, or the pictures of a pack.
        draws: a generator for the random choices that concern each video; inputs draw from it in their order.
        packed: True where the frames are independent images, (b,); None: nowhere.
        encode: texts -> their tokens (N, L, D).
    """

    x: Tensor
    samples: Sequence[Sequence[Any]]
    draws: Sequence[torch.Generator]
    packed: Tensor | None
    encode: Callable[[Sequence[str]], Tokens]

    def uniform(self) -> Tensor:
        """A number (b,) in [0, 1) for each video, from its own generator."""
        return torch.cat([torch.rand(1, generator=draw) for draw in self.draws])

    def normal(self) -> Tensor:
        """Standard normal noise like x, from the videos' own generators."""
        return torch.stack([torch.randn(x.shape, generator=draw) for x, draw in zip(self.x, self.draws, strict=True)])


class Extent(NamedTuple):
    """The sizes of a conditioning without values.

    Attributes:
        videos: how many.
        grid: frames, height and width of each.
        tokens, width: of a text, L and D.
        packed: whether frames are independent images with a text each.
        channels: of the videos.
    """

    videos: int
    grid: tuple[int, int, int]
    tokens: int
    width: int
    packed: bool = False
    channels: int = 3


class Input(Kind, ABC):
    """One thing that a stage's network is told."""

    folder: ClassVar[str] = "zoetrope.inputs"

    @property
    def name(self) -> str:
        """What it is called in the families of `Conditioning`, and by those who ask for videos: its file's name."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def source(self) -> VideoShape | None:
        """The grid of the other stage's video that it is made from, if it is."""
        return None

    def check(self, shape: VideoShape) -> None:
        """Raise ValueError if it cannot be given to a stage that makes videos of this shape."""
        return

    def on(self, shape: VideoShape, source: VideoShape | None) -> "Input":
        """The same for a stage on another grid, with another one's video of shape `source`."""
        return self

    @abstractmethod
    def of_examples(self, shape: VideoShape, examples: Examples) -> Conditioning:
        """What is told of examples of training; `shape` is that of the stage's whole videos."""

    def of_request(self, value: Any, count: int) -> Conditioning:
        """What is told in sampling where somebody asks for `value` in `count` videos; None: it is unknown.

        Raises ValueError for a value that makes no sense.
        """
        raise ValueError(f"{self.name}: cannot be asked for by a value")

    def in_window(self, shape: VideoShape, video: Tensor | None, noise: Noise, window: Window) -> Conditioning:
        """What is told of a window in sampling, made from another stage's `video` (B, C, f, h, w)."""
        return Conditioning()

    @abstractmethod
    def blank(self, extent: Extent) -> Conditioning:
        """Zeros of the shapes that training has, on the device that new tensors are on."""
