"""Embeddings of pictures instead of pictures: what a prior learns from."""

from torch import Tensor

from zoetrope.data import Dataset, Example, expect_all_present
from zoetrope.data._over import OverDataset, OverSource
from zoetrope.pictures import PictureEncoder, embed
from zoetrope.pictures.small import SmallPictures
from zoetrope.shapes import VideoShape, Window


class Pictured(OverSource):
    """The embedding of a picture of each example of a source, with its caption.

    Attributes:
        source: where pictures and captions come from. Clips give single pictures.
        encoder: what makes embeddings of pictures.
    """

    encoder: PictureEncoder = SmallPictures()

    def open(self) -> Dataset:
        """Open the source. Raises ValueError if it has nothing usable."""
        return PicturedDataset(self, self.source.open())


class PicturedDataset(OverDataset):
    """The examples of another data set as vectors (D, 1, 1, 1)."""

    def __init__(self, source: Pictured, pictures: Dataset):
        super().__init__(pictures)
        self.source = source

    def below(self, shape: VideoShape) -> VideoShape:
        """See `OverDataset`: a picture as the encoder reads it."""
        height, width = self.source.encoder.size
        return VideoShape(frames=1, height=height, width=width, fps=shape.fps)

    def gives(self, shape: VideoShape) -> bool:
        """See `Dataset`: vectors alone."""
        return shape.sizes == (1, 1, 1)

    def example(self, index: int, shape: VideoShape) -> Example:
        """The embedding of picture number `index`."""
        if not self.gives(shape):
            raise ValueError(f"pictured: expected a stage of vectors, 1x1x1, for embeddings are no videos, got {shape}")
        whole = self.videos.example(index, self.below(shape))
        expect_all_present(whole, "embeddings are of whole pictures")
        vector: Tensor = embed(self.source.encoder, whole.video.transpose(0, 1))[0]
        return whole._replace(video=vector[:, None, None, None])

    def part(self, index: int, shape: VideoShape, window: Window) -> Example:
        """See `Dataset`: a vector has no parts."""
        return self.example(index, shape)
