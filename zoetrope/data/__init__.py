"""Where training examples come from: one kind of source a file, each a captioned set of clips on any grid asked for."""

import logging
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, NamedTuple, Self

import numpy as np
from torch import Tensor

from zoetrope.config import Kind
from zoetrope.data._packing import pack
from zoetrope.data._unused import Dropped, Unused
from zoetrope.shapes import VideoShape, Window
from zoetrope.video import Video, contact_sheet
from zoetrope.wording import one_line

__all__ = ["Contents", "Dataset", "Dropped", "Example", "Features", "Source", "Unused", "pack", "preview"]

_log = logging.getLogger(__name__)


class Example(NamedTuple):
    """A clip, video (C, F, H, W) float32 in [-1, 1], its caption, and what messages call it.

    `skipped` are those in whose place it stands, because they can no longer be read, with the reasons.
    """

    video: Tensor
    text: str
    name: str
    skipped: tuple[Dropped, ...] = ()

    def replaced(self) -> list[str]:
        """What to say of those in whose place it stands."""
        return [f"{one_line(name)}: {reason}; another clip stands in for it" for name, reason in self.skipped]


class Features(NamedTuple):
    """A folder of text features, and the captions whose features are expected in it."""

    folder: Path
    captions: list[str]


class Contents(NamedTuple):
    """How many clips a data set has, and a digest of their names and captions: other ones give other examples."""

    clips: int
    digest: str


class Dataset(ABC):
    """An opened source: examples by position, without end."""

    @abstractmethod
    def example(self, index: int, shape: VideoShape) -> Example:
        """The example at position `index` >= 0 on the grid `shape`.

        Pure in (source, index, shape): where training stands is one integer, and resuming is exact.
        Raises ValueError if the source has nothing to give on that grid.
        """

    def part(self, index: int, shape: VideoShape, window: Window) -> Example:
        """What `example` gives, cut down to a window; override it where a part costs less than the whole."""
        whole = self.example(index, shape)
        return whole._replace(video=window.of(whole.video))

    def gives(self, shape: VideoShape) -> bool:
        """Whether there is anything on that grid: a set of images has no clips."""
        return True

    def features(self) -> list["Features"]:
        """Where features of captions lie beside the data, encoded beforehand."""
        return []

    def unused(self) -> list[Unused]:
        """What is there and no example shows, source by source with the reasons, for all commands to tell."""
        return []

    def contents(self) -> Contents | None:
        """What the examples are made from, to notice that it is no longer what it was; None if that cannot change."""
        return None

    def listing(self) -> str | None:
        """A name that no other captions have, where making it is quicker than `captions`; else None."""
        return None

    @abstractmethod
    def captions(self) -> list[str]:
        """Every caption that an example can have, each once, so that text can be encoded beforehand."""


class Source(Kind, ABC):
    """The description of a data set; opening it looks at the disk, making it does not."""

    folder: ClassVar[str] = "zoetrope.data"

    @abstractmethod
    def open(self) -> Dataset:
        """The data set. Raises ValueError, with reasons, if nothing in it is usable."""

    def located(self) -> Self:
        """The same source, with paths that mean the same files from whatever folder a training goes on.

        Raises ValueError for an address that is not read.
        """
        return self


def preview(dataset: Dataset, shape: VideoShape, count: int = 8, columns: int = 1) -> tuple[np.ndarray, list[str]]:
    """A contact sheet (H, W, 3) uint8 of the first `count` examples in `columns`, and their captions in that order."""
    examples = [dataset.example(index, shape) for index in range(count)]
    for line in dict.fromkeys(line for example in examples for line in example.replaced()):
        _log.warning("%s", line)
    videos = [Video.from_tensor(example.video, shape.fps) for example in examples]
    return contact_sheet(videos, columns), [example.text for example in examples]
