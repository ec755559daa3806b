"""Inputs of a network beside z, one kind per file. To add one, add a file with a frozen value that subclasses `Input`.

An input makes its part of the conditioning in three ways: from training examples, from a request in sampling, and,
without values, from shapes alone for plans and memory budgets.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from zoetrope.conditioning import Conditioning, Tokens
from zoetrope.config import Kind
from zoetrope.shapes import VideoShape, Window

WindowNoise = Callable[[str, Window], Tensor]
"""(purpose, window) -> standard normal noise (B, C, F, H, W) of that window, one row per video of the batch.

The purpose is such as "start", "step 3" or "augment"."""


def as_it_is(videos: Tensor) -> Tensor:
    """Videos unchanged."""
    return videos


@dataclass(frozen=True, kw_only=True)
class Examples:
    """A training batch as inputs see it.

    Attributes:
        x: clean videos, (b, C, F, H, W), on the stage's grid or cropped from it.
        samples: the data set's samples in each video: one clip, or the pictures of a pack.
        draws: a generator for the random choices of each video; inputs draw from it in order.
        packed: True where the frames are independent images, (b,); None: nowhere.
        encode: texts -> their tokens (N, L, D); "" has no real tokens: the text is unknown.
        rates: frames per second of each video, (b,); of a pack of images it means nothing. None: those of the stage.
        present: values of x that are not missing, like x, bool; None: all.
        pixels: videos like x, (n, C, f, H, W), -> in pixels: themselves, or what latents decode to.
    """

    x: Tensor
    samples: Sequence[Sequence[Any]]
    draws: Sequence[torch.Generator]
    packed: Tensor | None
    encode: Callable[[Sequence[str]], Tokens]
    rates: Tensor | None = None
    present: Tensor | None = None
    pixels: Callable[[Tensor], Tensor] = as_it_is

    def uniform(self) -> Tensor:
        """A number (b,) in [0, 1) for each video, from its own generator."""
        return torch.cat([torch.rand(1, generator=draw) for draw in self.draws])

    def normal(self) -> Tensor:
        """Standard normal noise like x, from the videos' own generators."""
        return torch.stack([torch.randn(x.shape, generator=draw) for x, draw in zip(self.x, self.draws, strict=True)])


class Extent(NamedTuple):
    """The sizes of blank conditioning.

    Attributes:
        videos: how many.
        grid: frames, height and width of each.
        tokens, width: L and D of text.
        packed: whether frames are independent images, each with its own text.
        channels: of the videos.
    """

    videos: int
    grid: tuple[int, int, int]
    tokens: int
    width: int
    packed: bool = False
    channels: int = 3


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The sampling that a request is for.

    Attributes:
        shape: of z.
        made: of the stage's videos, in pixels.
        channels: of z.
        count: of videos.
        noise: of these videos, on z's grid or on that of pixels: (purpose, shape, channels) -> standard normal
            (count, channels, F, H, W), on the CPU.
        encode: videos in pixels (B, 3, F, H, W) -> what z is of them: themselves, or their latents.
    """

    shape: VideoShape
    made: VideoShape
    channels: int
    count: int
    noise: Callable[[str, VideoShape, int], Tensor]
    encode: Callable[[Tensor], Tensor] = as_it_is


class Asked(NamedTuple):
    """What a value for an input may be, for forms, and for servers that check what clients send.

    Attributes:
        kind: "number", "label", "action", which is a vector for each frame, "map" or "picture".
        lo, hi: the smallest and the largest number.
        classes: the labels that there are.
        size: entries of a vector, or channels of a map.
    """

    kind: Literal["number", "label", "action", "map", "picture"]
    lo: float | None = None
    hi: float | None = None
    classes: tuple[str, ...] = ()
    size: int | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class ControlClip:
    """A clip that controls videos, frame by frame and pixel by pixel.

    Attributes:
        video: (C, F, H, W) in [-1, 1]; a single frame controls all.
        derive: whether the control, such as edges, is computed from the clip; otherwise the clip shows the control.
        scale: how strongly it acts: 1 as in training, 0 not at all.
        crop: whether a clip of any size is resized until it covers the grid, and its middle cut out, and of a longer
            one the first frames are taken; otherwise it must have the grid's frames, and its size or a multiple of it.
    """

    video: Tensor
    derive: bool = False
    scale: float = 1.0
    crop: bool = False


class Input(Kind, ABC):
    """One input of a stage's network; its parameters are its fields.

    Attributes:
        of_pixels: whether it is made from the stage's own videos in pixels.
    """

    folder: ClassVar[str] = "zoetrope.inputs"
    of_pixels: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """Its name in the families of `Conditioning` and in requests: by default that of its file."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def source(self) -> VideoShape | None:
        """The grid of the other stage's video that it is made from; None: it is not made from one."""
        return None

    @property
    def vector(self) -> int | None:
        """D of the other stage's vector that it can be made from; None: it is not made from one."""
        return None

    @property
    def stage(self) -> str | None:
        """The name of the other stage; None: for a `source` the previous one that makes videos, else there is none."""
        return None

    @property
    def aligned(self) -> bool:
        """Whether it is a control: made from a clip on the stage's grid in training, from a `ControlClip` in sampling.

        Its map in the conditioning has its name, and a number "<name>_scale" says how strongly it acts.
        """
        return False

    @property
    def tells(self) -> dict[str, str]:
        """What it is made from of that which data tell of their examples: name -> "number", "label"; {}: nothing."""
        return {}

    @property
    def asked(self) -> Asked | None:
        """What a value for it may be; None: it is asked for in another way, as a control is, or not at all."""
        return None

    @property
    def description(self) -> str:
        """It in a few words, for people: by default its name."""
        return self.name

    @property
    def size(self) -> int | None:
        """How many of what it gives, which its network must be made for, see `NetworkConfig.sizes`; None: any."""
        return None

    def fitted(self, value: Any, shape: VideoShape) -> Any:
        """A requested value as `of_request` takes it for a stage of this shape; a `ControlClip` on its grid.

        Raises ValueError, with both sizes or lengths, for a clip that does not fit.
        """
        return value

    def of_clips(self, videos: Tensor) -> Conditioning:
        """The conditioning of clips (B, C, F, H, W) on the stage's grid, where it is `aligned`; nothing is dropped."""
        raise ValueError(f"{self.name}: cannot be made from clips")

    def renamed(self, change: Callable[[str], str]) -> "Input":
        """The same, if its encoder names the folder of a pretrained model, by the name that `change` makes of that.

        Raises what `change` raises.
        """
        return self

    def check(self, shape: VideoShape) -> None:
        """Raise ValueError if it cannot be given to a stage that makes videos of this shape."""
        return

    def on(self, shape: VideoShape, source: VideoShape | None) -> "Input":
        """The input for a stage on grid `shape`, with another stage's video of shape `source`."""
        return self

    @abstractmethod
    def of_examples(self, shape: VideoShape, examples: Examples) -> Conditioning:
        """The conditioning of training examples; `shape` is that of the stage's whole videos."""

    def of_told(self, samples: Sequence[Any]) -> Conditioning:
        """What samples of a data set tell of it, one for each video; nothing is dropped. By default they tell nothing.

        For videos that are like real ones: sheets of samples, evaluations.
        """
        return Conditioning()

    def usual(self, shape: VideoShape) -> Any:
        """The requested value where a user says none, for a stage of this shape; None: unknown."""
        return None

    def of_request(self, value: Any, count: int) -> Conditioning:
        """The conditioning of `count` videos in sampling for a requested `value`; None: the value is unknown.

        Raises ValueError for a value that makes no sense.
        """
        raise ValueError(f"{self.name}: cannot be asked for by a value")

    def expect(self, value: Any, shape: VideoShape, count: int) -> None:
        """Raise ValueError for a value that makes no sense in `count` videos of this shape, before any are made."""
        given = self.fitted(value, shape)
        if not self.aligned:
            self.of_request(given, count)

    def answer(self, value: Any, setting: Setting) -> Conditioning:
        """The conditioning in sampling for a requested value; raises what `fitted` and `of_request` raise."""
        return self.of_request(self.fitted(value, setting.shape), setting.count)

    def unknown(self, extent: Extent) -> Conditioning:
        """The conditioning of videos in sampling for which no value is requested; see `of_request`."""
        return self.of_request(None, extent.videos)

    def of_output(self, output: Tensor) -> Conditioning:
        """The conditioning in sampling, made from another stage's vectors (B, D, 1, 1, 1)."""
        raise ValueError(f"{self.name}: cannot be made from a vector")

    def in_window(self, shape: VideoShape, video: Tensor | None, noise: WindowNoise, window: Window) -> Conditioning:
        """The conditioning of a window in sampling, made from another stage's `video` (B, C, f, h, w)."""
        return Conditioning()

    @abstractmethod
    def blank(self, extent: Extent) -> Conditioning:
        """Zeros of the shapes that occur in training, on the default device."""
