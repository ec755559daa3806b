"""The first and the last convolution of a network: pixels of a patch become channels, and channels become pixels."""

from collections.abc import Sequence

import torch
from torch import Tensor

from zoetrope.layers.convolution import SpatialConv, convolved, shuffle


class Enter(SpatialConv):
    """Videos (B, C, F, H, W), concatenated along channels, in n x n patches -> h (B, F, H / n, W / n, D).

    The order of channels in the weights: row and column in the patch, video, colour.
    """

    def __init__(self, channels: int, patch: int, width: int):
        super().__init__(channels * patch**2, width)
        self.patch = patch

    def forward(self, videos: Sequence[Tensor]) -> Tensor:  # type: ignore[override]
        """Videos of equal shape; their channels add up to the `channels` of the layer."""
        h = torch.cat([blocks(video, self.patch, self.patch) for video in videos], dim=-1).flatten(4)
        return convolved(h, self.conv.weight, self.conv.bias)


class Leave(SpatialConv):
    """h (B, F, H / n, W / n, D) -> a video (B, C, F, H, W); the order of channels in the weights is that of `Enter`."""

    def __init__(self, width: int, channels: int, patch: int):
        super().__init__(width, channels * patch**2)
        self.patch = patch

    def forward(self, h: Tensor) -> Tensor:
        return shuffle(super().forward(h), self.patch).permute(0, 4, 1, 2, 3)


def blocks(video: Tensor, rows: int, columns: int) -> Tensor:
    """A video (B, C, F, H, W) in blocks of rows x columns: (B, F, H / rows, W / columns, row, column, C)."""
    parts = video.unflatten(4, (-1, columns)).unflatten(3, (-1, rows))
    return parts.permute(0, 2, 3, 5, 4, 6, 1)
