"""The first and the last convolution of a network: pixels of a patch become channels, and channels pixels again.

A run of pixels within a row of a patch moves as one number where that is possible, several times as fast as one by one.
The channels are then in another order than the weights know, which are brought into it, being small.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from zoetrope.layers.convolution import SpatialConv, convolved, shuffle

_RUNS = {2: torch.complex64, 4: torch.complex128}


class Enter(SpatialConv):
    """From videos (B, C, F, H, W), side by side in channels, n x n pixels a patch, to h (B, F, H / n, W / n, D).

    The weights know channels in the order: row and column in the patch, video, colour.
    """

    def __init__(self, channels: int, patch: int, width: int):
        super().__init__(channels * patch**2, width)
        self.patch = patch

    def forward(self, videos: Sequence[Tensor]) -> Tensor:  # type: ignore[override]
        """Videos of equal shape, whose channels together are those that it was made for."""
        n, weight = self.patch, self.conv.weight
        if all(_has_runs(video, n) for video in videos):
            runs = [_blocks(video.view(_RUNS[n]), n, 1).squeeze(-2) for video in videos]
            h = torch.cat(runs, dim=-1).view(torch.float32).flatten(4)  # ... row, channel, column
            weight = weight.unflatten(1, (n, n, -1)).transpose(2, 3).flatten(1, 3)
        else:
            h = torch.cat([_blocks(video, n, n) for video in videos], dim=-1).flatten(4)
        return convolved(h, weight, self.conv.bias)


class Leave(SpatialConv):
    """From h (B, F, H / n, W / n, D) to a video (B, C, F, H, W); the weights know channels as those of `Enter` do."""

    def __init__(self, width: int, channels: int, patch: int):
        super().__init__(width, channels * patch**2)
        self.patch = patch

    def forward(self, h: Tensor) -> Tensor:
        n, weight, bias = self.patch, self.conv.weight, self.conv.bias
        assert bias is not None
        if torch.is_grad_enabled() or torch.is_autocast_enabled("cpu") or not _has_runs(h, n):
            return shuffle(convolved(h, weight, bias), n).permute(0, 4, 1, 2, 3)
        weight, bias = (value.unflatten(0, (n, n, -1)).transpose(1, 2).flatten(0, 2) for value in (weight, bias))
        out = convolved(h, weight, bias).contiguous()  # which it is already, but without oneDNN
        runs = out.view(_RUNS[n]).unflatten(-1, (n, -1))  # (B, F, H / n, W / n, row, channel)
        return runs.permute(0, 5, 1, 2, 4, 3).contiguous().view(torch.float32).flatten(3, 4)


def _blocks(video: Tensor, rows: int, columns: int) -> Tensor:
    """A video (B, C, F, H, W) in blocks of so many rows and columns: (B, F, H / rows, W / columns, row, column, C)."""
    blocks = video.unflatten(4, (-1, columns)).unflatten(3, (-1, rows))
    return blocks.permute(0, 2, 3, 5, 4, 6, 1)


def _has_runs(x: Tensor, run: int) -> bool:
    """Whether each `run` of values along the last axis can be looked at as one."""
    if run not in _RUNS or x.device.type != "cpu" or x.dtype != torch.float32 or x.requires_grad:
        return False
    places = (*x.stride()[:-1], x.storage_offset())
    return x.stride(-1) == 1 and all(place % run == 0 for place in places)
