"""The first and the last convolution of a network: pixels of a patch become channels, and channels pixels again."""

from collections.abc import Sequence

import torch
from torch import Tensor

from zoetrope.layers.convolution import SpatialConv, convolved, shuffle


class Enter(SpatialConv):
    """From videos (B, C, F, H, W), side by side in channels, n x n pixels a patch, to h (B, F, H / n, W / n, D).

    The weights know channels in the order: row and column in the patch, video, colour.
    """

    def __init__(self, channels: int, patch: int, width: int):
        super().__init__(channels * patch**2, width)
        self.patch = patch

    def forward(self, videos: Sequence[Tensor]) -> Tensor:  # type: ignore[override]
        """Videos of equal shape, whose channels together are those that it was made for."""
        h = torch.cat([blocks(video, self.patch, self.patch) for video in videos], dim=-1).flatten(4)
        return convolved(h, self.conv.weight, self.conv.bias)


class Leave(SpatialConv):
    """From h (B, F, H / n, W / n, D) to a video (B, C, F, H, W); the weights know channels as those of `Enter` do."""

    def __init__(self, width: int, channels: int, patch: int):
        super().__init__(width, channels * patch**2)
        self.patch = patch

    def forward(self, h: Tensor) -> Tensor:
        return shuffle(super().forward(h), self.patch).permute(0, 4, 1, 2, 3)


def blocks(video: Tensor, rows: int, columns: int) -> Tensor:
    """A video (B, C, F, H, W) in blocks of so many rows and columns: (B, F, H / rows, W / columns, row, column, C)."""
    parts = video.unflatten(4, (-1, columns)).unflatten(3, (-1, rows))
    return parts.permute(0, 2, 3, 5, 4, 6, 1)
