"""Sources of training examples, one kind per file: captioned clips, on any grid."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from zoetrope.channels import RGB, Channel
from zoetrope.config import Kind
from zoetrope.data._packing import pack, packable
from zoetrope.data._unused import Dropped, Unused
from zoetrope.fields import views
from zoetrope.shapes import VideoShape, Window
from zoetrope.video import contact_sheet
from zoetrope.wording import counted, one_line

__all__ = [
    "Contents",
    "Dataset",
    "Dropped",
    "Example",
    "Features",
    "Source",
    "Unused",
    "expect_all_present",
    "expect_frames",
    "expect_pixels",
    "joined",
    "masks",
    "pack",
    "packable",
    "preview",
]

_log = logging.getLogger(__name__)


class Example(NamedTuple):
    """A clip: its video (C, F, H, W) float32, its caption, "" for none, and its name in messages.

    Attributes:
        video: in [-1, 1], or in the scales of its channels.
        skipped: clips that it replaces because they can no longer be read, with the reasons.
        present: where the video has values, like it, bool; elsewhere it is 0, and has no loss. None: everywhere.
        told: numbers and labels of the clip by name; one that is unknown is absent.
        beside: what belongs to its frames, by name, float32, NaN where unknown: vectors (F, K), such as actions, and
            maps (C', F, H, W) on the grid of the video.
    """

    video: Tensor
    text: str
    name: str
    skipped: tuple[Dropped, ...] = ()
    present: Tensor | None = None
    told: Mapping[str, float | str] = {}
    beside: Mapping[str, Tensor] = {}

    def replaced(self) -> list[str]:
        """Messages about the clips that it replaces."""
        return [f"{one_line(name)}: {reason}; another clip stands in for it" for name, reason in self.skipped]

    def cut(self, part: Callable[[Tensor], Tensor], frames: Sequence[int]) -> "Example":
        """The example with a part of its video, and of what is present in it and beside it; `frames` are the part's."""
        chosen = list(frames)
        beside = {name: value[chosen] if value.ndim == 2 else part(value) for name, value in self.beside.items()}
        present = None if self.present is None else part(self.present)
        return self._replace(video=part(self.video), present=present, beside=beside)


def masks(videos: Sequence[tuple[Tensor, Tensor | None]]) -> list[Tensor] | None:
    """Where each of these videos has values, like it, bool; None: everywhere in all of them.

    Beside each video is what is `present` in it, None for all of it.
    """
    if all(present is None for _, present in videos):
        return None
    return [torch.ones_like(video, dtype=torch.bool) if present is None else present for video, present in videos]


def joined(examples: Sequence[Example]) -> Example:
    """The first of several examples, with the frames of all of them one after the other."""
    present = masks([(one.video, one.present) for one in examples])
    names = set.intersection(*({*one.beside} for one in examples))
    beside = {name: [one.beside[name] for one in examples] for name in sorted(names)}
    return examples[0]._replace(
        video=torch.cat([one.video for one in examples], dim=1),
        present=None if present is None else torch.cat(present, dim=1),
        beside={name: torch.cat(values, dim=0 if values[0].ndim == 2 else 1) for name, values in beside.items()},
    )


class Features(NamedTuple):
    """A folder of text features, and the captions whose features are expected in it."""

    folder: Path
    captions: list[str]


class Contents(NamedTuple):
    """The number of clips of a data set, and a digest of their names and captions, which detects changes."""

    clips: int
    digest: str


class Dataset(ABC):
    """An opened source: an endless sequence of examples."""

    def channels(self) -> tuple[Channel, ...]:
        """The channels of its videos, in order, whose scales they are in: RGB, unless a source says otherwise."""
        return RGB

    @abstractmethod
    def example(self, index: int, shape: VideoShape) -> Example:
        """The example at position `index` >= 0 on the grid `shape`.

        A pure function of (source, index, shape): training resumes exactly from one integer.
        Raises ValueError if the source has nothing on that grid.
        """

    def part(self, index: int, shape: VideoShape, window: Window) -> Example:
        """`example` cropped to a window; override it where a part costs less than the whole."""
        whole = self.example(index, shape)
        return whole.cut(window.of, window.frames)

    def frames(self, index: int, shape: VideoShape, numbers: Sequence[int]) -> Example:
        """These frames of `example`, in this order; override it where some frames cost less than all.

        Raises ValueError for no numbers and for those of frames that the clip lacks.
        """
        expect_frames(numbers, shape)
        whole = self.example(index, shape)
        return whole.cut(lambda video: video[:, list(numbers)], numbers)

    def gives(self, shape: VideoShape) -> bool:
        """Whether there is anything on that grid: a set of images has no clips."""
        return True

    def pixels(self, videos: Tensor) -> Tensor:
        """Videos (B, C, F, H, W) like those of its examples, in pixels: themselves, or what latents decode to."""
        return videos

    def tells(self) -> Mapping[str, str]:
        """What its examples may be told by name, and what each is: "number", "label", "action" or "map".

        See `Example.told` and `Example.beside`.
        """
        return {}

    def features(self) -> list["Features"]:
        """The folders of text features stored with the data."""
        return []

    def unused(self) -> list[Unused]:
        """What no example uses, by source, with the reasons, for commands to report."""
        return []

    def contents(self) -> Contents | None:
        """The identity of the data, to detect changes; None if they cannot change."""
        return None

    def count(self, shape: VideoShape) -> int | None:
        """How many different examples it has on that grid, after which they repeat; None: they have no end.

        Raises ValueError if there are none.
        """
        contents = self.contents()
        return None if contents is None else contents.clips

    def each_once(self, shape: VideoShape) -> bool:
        """Whether its first `count` examples on that grid are all different."""
        return True

    def listing(self) -> str | None:
        """A unique name of this set of captions, if it is cheaper than `captions`; else None."""
        return None

    @abstractmethod
    def captions(self) -> list[str]:
        """Every caption that an example can have, each once, without "", to encode in advance."""


def expect_frames(numbers: Sequence[int], shape: VideoShape) -> None:
    """Raise ValueError unless these are numbers, at least one, of frames of a video of this shape."""
    wrong = [number for number in numbers if not 0 <= number < shape.frames]
    if wrong or not len(numbers):
        got = ", ".join(map(str, wrong[:5])) or "none"
        raise ValueError(f"numbers: expected frames of {shape}, 0 to {shape.frames - 1}, got {got}")


class Source(Kind, ABC):
    """The description of a data set; only `open` accesses the disk."""

    folder: ClassVar[str] = "zoetrope.data"

    @property
    def codec_folder(self) -> Path | None:
        """The folder of the codec that its examples are latents of; None: they are no latents."""
        return None

    @property
    def local(self) -> bool:
        """Whether it lies on this machine, so that `open` downloads nothing."""
        return True

    @abstractmethod
    def open(self) -> Dataset:
        """The data set. Raises ValueError, with reasons, if nothing in it is usable."""

    def located(self) -> Self:
        """The source with absolute paths, so that a training can resume from any folder.

        Raises ValueError for an unsupported address.
        """
        return self


def expect_pixels(source: Source, where: str = "source") -> None:
    """Raise ValueError, as of a field, for a source of latents in place of videos."""
    if source.codec_folder is not None:
        raise ValueError(f"{where}: expected videos in pixels, got {source.kind()!r}: let latents be of this source")


def expect_all_present(example: Example, why: str) -> None:
    """Raise ValueError that names an example with missing values, and `why` there must be none."""
    if example.present is not None:
        gaps = counted(int((~example.present).sum()), "missing value")
        raise ValueError(f"{example.name}: expected values everywhere, got {gaps}: {why}")


def preview(dataset: Dataset, shape: VideoShape, count: int = 8, columns: int = 1) -> tuple[np.ndarray, list[str]]:
    """A contact sheet (H, W, 3) uint8 of the first `count` examples in `columns`, and their captions in that order.

    Of channels other than red, green and blue each has a strip of its own, one below the other, in colours by value.
    """
    examples = [dataset.example(index, shape) for index in range(count)]
    for line in dict.fromkeys(line for example in examples for line in example.replaced()):
        _log.warning("%s", line)
    videos = [view for example in examples for view in views(example.video, dataset.channels(), shape.fps)]
    return contact_sheet(videos, columns), [example.text for example in examples]
