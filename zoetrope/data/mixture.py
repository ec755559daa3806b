"""Several sources in one stream, in proportion to their weights, such as videos and images for joint training.

In any prefix of the stream each source has its share, to within a few examples, and contributes its own first, second,
third example and so on: none is lost or repeated. Both follow from the position alone.
"""

import hashlib
from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, PositiveFloat, field_validator
from torch import Tensor

from zoetrope.channels import Channel, difference
from zoetrope.config import Config
from zoetrope.data import Contents, Dataset, Example, Features, Source, Unused, expect_pixels
from zoetrope.shapes import VideoShape, Window


class Part(Config):
    """A source and its weight against the others'.

    Attributes:
        source: where the examples come from.
        weight: its share of the examples, relative to the sum of all weights.
        only: what is taken from it, "clips" or single "pictures"; None: both.
        captions: whether its captions are told; otherwise its examples have none, and a network learns from them
            without text. With pictures of one part and clips without captions of another it never sees a text with its
            video [Singer et al. 2022, arXiv:2209.14792].
    """

    source: Source
    weight: PositiveFloat = 1.0
    only: Literal["clips", "pictures"] | None = None
    captions: bool = True

    def gives(self, dataset: Dataset, shape: VideoShape) -> bool:
        """Whether its opened source has anything on that grid to give."""
        return self.only != ("clips" if shape.frames == 1 else "pictures") and dataset.gives(shape)


class Mixture(Source):
    """Sources by weight. Single pictures come from all that give pictures, clips from those that give clips.

    Attributes:
        parts: the sources with their weights.
    """

    parts: Annotated[tuple[Part, ...], Field(min_length=1)]

    @field_validator("parts")
    @classmethod
    def _of_pixels(cls, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        for number, part in enumerate(parts):
            expect_pixels(part.source, f"{number}.source")
        return parts

    @property
    def local(self) -> bool:
        """See `Source`."""
        return all(part.source.local for part in self.parts)

    def open(self) -> "MixtureDataset":
        """Open all of the sources.

        Raises ValueError if one has nothing usable, or if they differ in channels or in what a name tells.
        """
        datasets = [part.source.open() for part in self.parts]
        known = dict[str, str]()
        for number, dataset in enumerate(datasets):
            if (wrong := difference(datasets[0].channels(), dataset.channels())) is not None:
                raise ValueError(f"mixture: parts.{number}: {wrong}; all parts must give the same")
            for name, kind in dataset.tells().items():
                if known.setdefault(name, kind) != kind:
                    wrong = f"expected {name!r} as a {known[name]}, as a part before tells it, got a {kind}"
                    raise ValueError(f"mixture: parts.{number}: {wrong}")
        return MixtureDataset(self.parts, datasets)

    def located(self) -> Self:
        """See `Source`."""
        parts = tuple(part.with_(source=part.source.located()) for part in self.parts)
        return self.with_(parts=parts)


class Pick(NamedTuple):
    """Which source an example is from, and which one of it."""

    source: int
    number: int


class MixtureDataset(Dataset):
    """The opened sources."""

    def __init__(self, parts: Sequence[Part], datasets: list[Dataset]) -> None:
        self.parts, self.datasets = parts, datasets
        self._able: dict[VideoShape, list[int]] = {}

    @property
    def _captioned(self) -> list[Dataset]:
        return [dataset for part, dataset in zip(self.parts, self.datasets, strict=True) if part.captions]

    def captions(self) -> list[str]:
        """The captions of all sources that are told, each once, sorted."""
        return sorted({text for dataset in self._captioned for text in dataset.captions()})

    def channels(self) -> tuple[Channel, ...]:
        """Those of all sources."""
        return self.datasets[0].channels()

    def pixels(self, videos: Tensor) -> Tensor:
        """Those of all sources."""
        return self.datasets[0].pixels(videos)

    def tells(self) -> dict[str, str]:
        """What examples of any source are told."""
        return {name: kind for dataset in self.datasets for name, kind in dataset.tells().items()}

    def listing(self) -> str | None:
        """See `Dataset`."""
        names = {dataset.listing() for dataset in self._captioned}
        return None if None in names or not names else " and ".join(sorted(map(str, names)))

    def features(self) -> list[Features]:
        """See `Dataset`."""
        return [item for dataset in self._captioned for item in dataset.features()]

    def unused(self) -> list[Unused]:
        """See `Dataset`."""
        return [item for dataset in self.datasets for item in dataset.unused()]

    def contents(self) -> Contents | None:
        """See `Dataset`."""
        found = [one for one in (dataset.contents() for dataset in self.datasets) if one is not None]
        digest = hashlib.sha256("".join(one.digest for one in found).encode()).hexdigest()[:16]
        return Contents(sum(one.clips for one in found), digest) if found else None

    def count(self, shape: VideoShape) -> int | None:
        """See `Dataset`: the sum of all sources that give something, for each has its share of the examples."""
        counts = [self.datasets[place].count(shape) for place in self._giving(shape)]
        return None if None in counts or not counts else sum(one for one in counts if one is not None)

    def each_once(self, shape: VideoShape) -> bool:
        """See `Dataset`: where weights are as the numbers of examples are, for those that end."""
        able, whole = self._giving(shape), self.count(shape)
        weights = [Fraction(self.parts[place].weight) for place in able]
        pairs = [(self.datasets[place].count(shape), weight) for place, weight in zip(able, weights, strict=True)]
        if whole is not None and any(count != whole * weight / sum(weights) for count, weight in pairs):
            return False
        return all(self.datasets[place].each_once(shape) for place in able)

    def gives(self, shape: VideoShape) -> bool:
        """See `Dataset`."""
        return bool(self._giving(shape))

    def example(self, index: int, shape: VideoShape) -> Example:
        """See `Dataset`. Raises ValueError, with what each source says, if none has anything on that grid."""
        pick = self._pick(index, shape)
        return self._told(pick, self.datasets[pick.source].example(pick.number, shape))

    def part(self, index: int, shape: VideoShape, window: Window) -> Example:
        """See `Dataset`."""
        pick = self._pick(index, shape)
        return self._told(pick, self.datasets[pick.source].part(pick.number, shape, window))

    def frames(self, index: int, shape: VideoShape, numbers: Sequence[int]) -> Example:
        """See `Dataset`."""
        pick = self._pick(index, shape)
        return self._told(pick, self.datasets[pick.source].frames(pick.number, shape, numbers))

    def _told(self, pick: Pick, example: Example) -> Example:
        """An example with its caption, if that is told."""
        return example if self.parts[pick.source].captions else example._replace(text="")

    def _giving(self, shape: VideoShape) -> list[int]:
        """The numbers of the sources that have something on that grid."""
        if shape not in self._able:
            pairs = enumerate(zip(self.parts, self.datasets, strict=True))
            self._able[shape] = [k for k, (part, dataset) in pairs if part.gives(dataset, shape)]
        return self._able[shape]

    def _pick(self, index: int, shape: VideoShape) -> Pick:
        if index < 0:
            raise ValueError(f"index: expected 0 or more, got {index}")
        able = self._giving(shape)
        if not able:
            only = "clips" if shape.frames == 1 else "pictures"
            able = [k for k, part in enumerate(self.parts) if part.only != only]  # which say what they lack
        if not able:
            raise ValueError(f"mixture: expected a part that gives {_wanted(shape)}, got parts that give only {only}")
        pick = picked(index, [self.parts[k].weight for k in able])
        return Pick(able[pick.source], pick.number)


def _wanted(shape: VideoShape) -> str:
    return "single pictures" if shape.frames == 1 else f"clips of {shape.frames} frames"


def picked(index: int, weights: list[float]) -> Pick:
    """The source of the example at a position of the stream, and its number within the source.

    The first source has floor(n p) of the first n examples, where p is its share; the rest is divided likewise among
    the others. Computed in exact fractions, so that no position is counted twice.
    """
    for source, weight in enumerate(weights[:-1]):
        share = Fraction(weight) / sum(map(Fraction, weights[source:]))
        before, after = int(index * share), int((index + 1) * share)
        if after > before:
            return Pick(source, before)
        index -= before
    return Pick(len(weights) - 1, index)
