"""Schemes, one per file: in which order a network of a few frames makes a video of minutes.

A network sees at most K frames in one call. A scheme cuts a long video into blocks, each a call: some frames that are
done already, which the network observes, and the latent frames, which it makes [Harvey et al. 2022, arXiv:2205.11495].
A scheme knows frame numbers alone. To add one, add a file with a frozen value that subclasses `SamplingScheme`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple

from pydantic import Field
from torch import Tensor

from zoetrope.config import Kind

FrameFeatures = Callable[[int], Tensor]
"""Frame number -> features (D,) of that frame, which is done; how far they lie apart says how unlike frames are."""

MOST_FRAMES = 2**16
FramesMade = Annotated[int, Field(ge=1, le=MOST_FRAMES)]


class FrameBlock(NamedTuple):
    """One call: what the network observes, and what it makes.

    Attributes:
        observed: numbers of frames that are done, those that matter most first in some schemes.
        latent: numbers of the frames that it makes, ascending.
        places: where in the sampling steps each latent frame is, [step, frame], from 0, noise, to the number of steps,
            data; the first row is before the first step. None: all frames take every step together.
    """

    observed: tuple[int, ...]
    latent: tuple[int, ...]
    places: tuple[tuple[int, ...], ...] | None = None

    @property
    def frames(self) -> tuple[int, ...]:
        """All frame numbers of the call, in the order of time."""
        return tuple(sorted((*self.observed, *self.latent)))

    def finished(self, steps: int) -> tuple[int, ...]:
        """The latent frames that are done after the block, of a sampler of so many steps."""
        if self.places is None:
            return self.latent
        return tuple(frame for frame, place in zip(self.latent, self.places[-1], strict=True) if place == steps)


@dataclass(frozen=True, kw_only=True)
class LongVideo:
    """The video that is made, and what makes it.

    Attributes:
        total: how many frames it has.
        most: the most frames of one call, K.
        given: the numbers of the frames that are known from the start, ascending.
        steps: sampling steps of a frame.
        features: of frames that are done; None: there are none.

    Raises ValueError for no frames, for given frames outside of the video, and for a K below 1.
    """

    total: int
    most: int
    given: tuple[int, ...] = ()
    steps: int = 1
    features: FrameFeatures | None = None

    def __post_init__(self) -> None:
        for name, value in (("total", self.total), ("most", self.most), ("steps", self.steps)):
            if value < 1:
                raise ValueError(f"{name}: expected at least 1, got {value}")
        if list(self.given) != sorted(set(self.given)):
            raise ValueError(f"given: expected frame numbers in ascending order, each once, got {list(self.given)}")
        if self.given and not 0 <= self.given[0] <= self.given[-1] < self.total:
            wrong = self.given[0] if self.given[0] < 0 else self.given[-1]
            raise ValueError(f"given: expected frame numbers from 0 to {self.total - 1}, got {wrong}")

    @property
    def missing(self) -> list[int]:
        """The numbers of the frames that are not given."""
        known = set(self.given)
        return [frame for frame in range(self.total) if frame not in known]


class SamplingScheme(Kind, ABC):
    """The blocks in which a long video is made; its parameters are its fields.

    Attributes:
        step: frames made in one call; None: half of the most that the network sees.
        free: whether it chooses observed frames by what they show, at any distances.
    """

    folder: ClassVar[str] = "zoetrope.schemes"
    free: ClassVar[bool] = False

    step: FramesMade | None = None

    @abstractmethod
    def blocks(self, video: LongVideo) -> Iterator[FrameBlock]:
        """The blocks in order. Ask for the next one only when the frames of the last one are done.

        Every missing frame is finished by exactly one block, observed frames are given or finished before, and no block
        has more than video.most frames. Without given frames the first block observes nothing.

        Raises ValueError if the network sees too few frames for the scheme.
        """

    def made(self, video: LongVideo, context: int = 1) -> int:
        """The frames made in one call, which leave room for at least `context` observed ones.

        Raises ValueError, with the legal values, if they leave no such room.
        """
        name, least = self.kind(), context + 1
        if video.most < least:
            raise ValueError(
                f"{name}: expected a network of at least {least} frames, of which {context} are observed, got one of "
                f"{video.most}"
            )
        step = max(1, min(video.most // 2, video.most - context)) if self.step is None else self.step
        if step > video.most - context:
            raise ValueError(
                f"{name}: step: expected at most {video.most - context}, for the network sees {video.most} frames and "
                f"{context} of them {'is' if context == 1 else 'are'} observed, got {step}"
            )
        return step


def nearest_done(done: Collection[int], latent: Sequence[int], count: int) -> list[int]:
    """The `count` frames of `done` nearest to the latent ones in time, ascending: those between first, then before."""
    first, last = latent[0], latent[-1]

    def distance(frame: int) -> tuple[int, int]:
        return max(first - frame, frame - last, 0), frame

    return sorted(sorted(done, key=distance)[:count])


def next_missing(done: Collection[int], total: int, step: int, room: int) -> tuple[int, ...]:
    """The first frames that are not done, at most `step`, with at most `room` done ones between them."""
    found: list[int] = []
    between = 0
    for frame in range(min(set(range(total)).difference(done)), total):
        if frame not in done:
            found.append(frame)
        else:
            between += 1
        if len(found) == step or between > room:
            break
    return tuple(found)


def spread(count: int, picks: int) -> list[int]:
    """At most `picks` places of `count` ones, evenly from the first to the last, each once."""
    if picks < 2 or count < 2:
        return [0][: min(picks, count)]
    # In whole numbers: place i lies at i / (picks - 1) of just less than `count`.
    return sorted({i * (1000 * count - 1) // (1000 * (picks - 1)) for i in range(picks)})
