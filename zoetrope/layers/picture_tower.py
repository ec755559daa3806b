"""A small convolutional network from a picture to a vector."""

from collections.abc import Sequence

from torch import Tensor, nn

GRID = (3, 5)


class PictureTower(nn.Module):
    """Pictures (B, 3, H, W) -> (B, D): convolutions of stride 2, averages over a grid of 3 x 5 places, a linear map."""

    def __init__(self, width: int, channels: Sequence[int] = (32, 64, 96, 128)):
        super().__init__()
        layers = list[nn.Module]()
        for before, after in zip((3, *channels[:-1]), channels, strict=True):
            stride = 1 if before == 3 else 2
            layers += [nn.Conv2d(before, after, 3, stride, 1), nn.GroupNorm(8, after), nn.SiLU()]
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(GRID))
        self.leave = nn.Linear(channels[-1] * GRID[0] * GRID[1], width)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.leave(self.layers(pictures).flatten(1))
