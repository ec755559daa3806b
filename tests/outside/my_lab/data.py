"""Videos of one grey after the other."""

import torch

from zoetrope.data import Dataset, Example, Source
from zoetrope.shapes import VideoShape


class Greys(Source):
    """As many greys as `shades`, each a video."""

    shades: int = 5

    def open(self) -> "GreyVideos":
        return GreyVideos(self.shades)


class GreyVideos(Dataset):
    """See `Greys`."""

    def __init__(self, shades: int):
        self.shades = shades

    def captions(self) -> list[str]:
        return [f"grey {number}" for number in range(self.shades)]

    def example(self, index: int, shape: VideoShape) -> Example:
        number = index % self.shades
        video = torch.full((3, *shape.sizes), 2 * number / self.shades - 1)
        return Example(video, f"grey {number}", f"grey {number}")
