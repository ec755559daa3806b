"""Frames given frames, one kind per file: which frames of a training example are known, and from where in a clip.

To add one, add a file with a frozen value that subclasses `KnownFrames`. A known frame has the noise level of clean
data and no loss, so a network learns the distribution of the other frames given the known ones.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from zoetrope.config import Kind
from zoetrope.data import Dataset
from zoetrope.shapes import VideoShape


class Shown(NamedTuple):
    """What an example shows of a clip.

    Attributes:
        frames: those of the clip that are shown, (f,) int64, ascending. If these are fewer than the example has
            room for, frames of another clip fill it; they have no loss, and no information passes to or from them.
        known: which of these frames are known, (f,) bool.
        length: the number of frames of the clip, at the stage's frame rate.
        independent: whether every frame has its own noise level, instead of one for all that are not known.
    """

    frames: Tensor
    known: Tensor
    length: int
    independent: bool = False


class KnownFrames(Kind, ABC):
    """How the known frames of examples are drawn; its parameters are its fields."""

    folder: ClassVar[str] = "zoetrope.training.known"

    @abstractmethod
    def shown(self, room: int, whole: int, draw: torch.Generator) -> Shown:
        """What an example with `room` frames shows; the stage's own clips have `whole` frames, room <= whole."""

    @property
    def one_level(self) -> bool:
        """Whether some examples have one noise level for all frames that are not known."""
        return True

    def even(self, room: int, whole: int) -> bool:
        """Whether the frames of each example are of one clip, at equal distances; see `shown` for `room`, `whole`."""
        return True

    def lengths(self, whole: int) -> set[int]:
        """The lengths, in frames, of the clips that examples are taken from."""
        return {whole}

    def fitted(self, gives: Callable[[int], bool]) -> "KnownFrames":
        """The same for data that do not give clips of every length; `gives` says of a number of frames if they do."""
        return self

    def check(self, whole: int, source: bool) -> None:
        """Raise ValueError if this cannot be learnt by a stage with clips of `whole` frames.

        A stage with a `source` shows the frames of its own clips in a row.
        """
        return


def fitted_to(known: KnownFrames, dataset: Dataset, clip: VideoShape) -> KnownFrames:
    """How frames are known in examples of this data set, for a stage with clips of shape `clip`."""
    return known.fitted(lambda frames: dataset.gives(clip.with_(frames=frames)))


def expect_even(known: KnownFrames, whole: int, rooms: Sequence[int | None]) -> None:
    """Raise ValueError unless the frames of all examples are at equal distances in clips of `whole` frames.

    `rooms` are the frames of the phases' examples; None: `whole`. Networks that mix neighbours in time need it.
    """
    mixes = "the network mixes neighbours in time (convolutions, strides, patches of several frames)"
    if not known.even(whole, whole):
        kinds = "prefix, every or independent"
        raise ValueError(f"known: expected frames at equal distances, as of {kinds}, for {mixes}, got {known.kind()!r}")
    for number, room in enumerate(rooms):
        if room is not None and not known.even(room, whole):
            legal = ", ".join(str(frames) for frames in range(1, whole + 1) if known.even(frames, whole))
            raise ValueError(
                f"phases.{number}.frames: expected a number of frames that lie at equal distances in a clip of {whole} "
                f"where none is known, {legal}, for {mixes}, got {room}"
            )


def in_a_row(known: Tensor, length: int, start: int = 0, independent: bool = False) -> Shown:
    """Consecutive frames of a clip of `length` frames, from `start` on, of which `known` (f,) bool are known."""
    return Shown(start + torch.arange(len(known)), known, length, independent)


def drawn_below(count: int, draw: torch.Generator) -> int:
    """A random whole number from 0 to count - 1."""
    return int(torch.randint(count, (), generator=draw))
