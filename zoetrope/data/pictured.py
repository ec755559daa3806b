"""Embeddings of pictures instead of pictures: what a prior learns from."""

from collections.abc import Mapping
from typing import Self

from pydantic import model_validator
from torch import Tensor

from zoetrope.data import Contents, Dataset, Example, Features, Source, Unused, expect_all_present, expect_pixels
from zoetrope.pictures import PictureEncoder, embed
from zoetrope.pictures.small import SmallPictures
from zoetrope.shapes import VideoShape, Window


class Pictured(Source):
    """The embedding of a picture of each example of a source, with its caption.

    Attributes:
        source: where pictures and captions come from. Clips give single pictures.
        encoder: what makes embeddings of pictures.
    """

    source: Source
    encoder: PictureEncoder = SmallPictures()

    @model_validator(mode="after")
    def _of_pixels(self) -> Self:
        expect_pixels(self.source)
        return self

    @property
    def local(self) -> bool:
        """See `Source`."""
        return self.source.local

    def open(self) -> Dataset:
        """Open the source. Raises ValueError if it has nothing usable."""
        return PicturedDataset(self, self.source.open())

    def located(self) -> Self:
        """See `Source`."""
        return self.with_(source=self.source.located())


class PicturedDataset(Dataset):
    """The examples of another data set as vectors (D, 1, 1, 1)."""

    def __init__(self, source: Pictured, pictures: Dataset):
        self.source, self.pictures = source, pictures

    def gives(self, shape: VideoShape) -> bool:
        """See `Dataset`: vectors alone."""
        return shape.sizes == (1, 1, 1)

    def example(self, index: int, shape: VideoShape) -> Example:
        """The embedding of picture number `index`."""
        if not self.gives(shape):
            raise ValueError(f"pictured: expected a stage of vectors, 1x1x1, for embeddings are no videos, got {shape}")
        height, width = self.source.encoder.size
        whole = self.pictures.example(index, VideoShape(frames=1, height=height, width=width, fps=shape.fps))
        expect_all_present(whole, "embeddings are of whole pictures")
        vector: Tensor = embed(self.source.encoder, whole.video.transpose(0, 1))[0]
        return whole._replace(video=vector[:, None, None, None])

    def part(self, index: int, shape: VideoShape, window: Window) -> Example:
        """See `Dataset`: a vector has no parts."""
        return self.example(index, shape)

    def tells(self) -> Mapping[str, str]:
        """See `Dataset`."""
        return self.pictures.tells()

    def features(self) -> list[Features]:
        """See `Dataset`."""
        return self.pictures.features()

    def unused(self) -> list[Unused]:
        """See `Dataset`."""
        return self.pictures.unused()

    def contents(self) -> Contents | None:
        """See `Dataset`."""
        return self.pictures.contents()

    def listing(self) -> str | None:
        """See `Dataset`."""
        return self.pictures.listing()

    def captions(self) -> list[str]:
        """See `Dataset`."""
        return self.pictures.captions()
