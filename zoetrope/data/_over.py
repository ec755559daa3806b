"""What sources share that make something else of the videos of another source."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Self

from pydantic import model_validator

from zoetrope.data import Contents, Dataset, Features, Source, Unused, expect_pixels
from zoetrope.shapes import VideoShape


class OverSource(Source):
    """A source that is made of another one, of videos in pixels.

    Attributes:
        source: the other one.
    """

    source: Source

    @model_validator(mode="after")
    def _of_pixels(self) -> Self:
        expect_pixels(self.source)
        return self

    @property
    def local(self) -> bool:
        """See `Source`."""
        return self.source.local

    def located(self) -> Self:
        """See `Source`."""
        return self.with_(source=self.source.located())


class OverDataset(Dataset):
    """Examples that are made of those of another data set, one of each, with the same captions."""

    def __init__(self, videos: Dataset):
        self.videos = videos

    @abstractmethod
    def below(self, shape: VideoShape) -> VideoShape:
        """The grid of the other data set's examples that those on the grid `shape` are made of."""

    def gives(self, shape: VideoShape) -> bool:
        """See `Dataset`."""
        return self.videos.gives(self.below(shape))

    def count(self, shape: VideoShape) -> int | None:
        """See `Dataset`."""
        return self.videos.count(self.below(shape))

    def each_once(self, shape: VideoShape) -> bool:
        """See `Dataset`."""
        return self.videos.each_once(self.below(shape))

    def tells(self) -> Mapping[str, str]:
        """See `Dataset`."""
        return self.videos.tells()

    def features(self) -> list[Features]:
        """See `Dataset`."""
        return self.videos.features()

    def unused(self) -> list[Unused]:
        """See `Dataset`."""
        return self.videos.unused()

    def contents(self) -> Contents | None:
        """See `Dataset`."""
        return self.videos.contents()

    def listing(self) -> str | None:
        """See `Dataset`."""
        return self.videos.listing()

    def captions(self) -> list[str]:
        """See `Dataset`."""
        return self.videos.captions()
