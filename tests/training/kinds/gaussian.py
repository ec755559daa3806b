"""Videos of independent pixels from N(1/2, 1/4)."""

import torch

from zoetrope.data import Dataset, Example, Source
from zoetrope.shapes import VideoShape


class Gaussian(Source):
    """See above."""

    def open(self) -> "Pixels":
        return Pixels()


class Pixels(Dataset):
    """Its examples."""

    def captions(self) -> list[str]:
        return ["noise"]

    def example(self, index: int, shape: VideoShape) -> Example:
        draw = torch.Generator().manual_seed(index)
        noise = torch.randn(3, shape.frames, shape.height, shape.width, generator=draw)
        return Example(0.5 + 0.5 * noise, "noise", f"pixels {index}")
