"""A network of three by three pixels within each frame."""

from torch import Tensor, nn

from zoetrope.conditioning import Conditioning
from zoetrope.networks import Network, NetworkConfig


class Pixels(NetworkConfig):
    """A convolution, `width` features wide, and another."""

    width: int = 8

    def build(self) -> "PixelsNetwork":
        return PixelsNetwork(self.channels, self.width)

    def check(self, frames: int, height: int, width: int) -> None:
        """Any size will do."""


class PixelsNetwork(Network):
    """See `Pixels`."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.enter = nn.Conv3d(channels, width, (1, 3, 3), padding=(0, 1, 1))
        self.leave = nn.Conv3d(width, channels, (1, 3, 3), padding=(0, 1, 1))

    def forward(self, z: Tensor, logsnr: Tensor, conditioning: Conditioning) -> Tensor:
        return self.leave(self.enter(z).relu())
