"""A network of three by three pixels within each frame, which is told how bright the video is."""

import torch
from torch import Tensor, nn

from zoetrope.conditioning import Conditioning
from zoetrope.networks import Network, NetworkConfig


class Lamps(NetworkConfig):
    """Two convolutions, `width` features wide, to which the noise level, the text and the brightness are added."""

    width: int = 8

    @property
    def reads(self) -> set[str]:
        return super().reads | {"brightness"}

    def build(self) -> "LampsNetwork":
        return LampsNetwork(self)

    def check(self, frames: int, height: int, width: int) -> None:
        """Any size will do."""


class LampsNetwork(Network):
    """See `Lamps`."""

    def __init__(self, config: Lamps):
        super().__init__()
        self.enter = nn.Conv3d(config.channels, config.width, (1, 3, 3), padding=(0, 1, 1))
        self.text = nn.Linear(config.text_width or 1, config.width)
        self.numbers = nn.Linear(3, config.width)
        self.leave = nn.Conv3d(config.width, config.channels, (1, 3, 3), padding=(0, 1, 1))

    def forward(self, z: Tensor, logsnr: Tensor, conditioning: Conditioning) -> Tensor:
        text, brightness = conditioning.tokens["text"], conditioning.numbers["brightness"]
        known = ~brightness.isnan()
        told = [logsnr / 20, brightness.nan_to_num(), known.to(logsnr.dtype)]
        pooled = (text.values * text.mask[..., None]).sum(1) / text.mask.sum(1).clamp(min=1)[:, None]
        features = self.numbers(torch.stack(told, dim=1)) + self.text(pooled)
        return self.leave((self.enter(z) + features[..., None, None, None]).relu())
