"""A critic that looks at each frame of a video by itself."""

from collections.abc import Iterator

from pydantic import PositiveInt
from torch import Tensor, nn

from zoetrope.conditioning import Conditioning
from zoetrope.networks import Network, NetworkConfig


class FrameCriticConfig(NetworkConfig):
    """`width` features between two layers."""

    width: PositiveInt = 8

    def build(self) -> "FrameCritic":
        return FrameCritic(self.channels, self.width)

    def check(self, frames: int, height: int, width: int) -> None:
        """Any size will do."""


class FrameCritic(Network):
    """See `FrameCriticConfig`; its output is a score of each frame, (B, 1, F, 1, 1)."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.inner = nn.Conv3d(channels, width, (1, 3, 3), padding=(0, 1, 1))
        self.outer = nn.Linear(width, 1, bias=False)  # which the hinge loss would not tell anything

    def forward(self, z: Tensor, logsnr: Tensor, conditioning: Conditioning) -> Tensor:
        features = nn.functional.silu(self.inner(z)).mean(dim=(3, 4), keepdim=True)
        scores: Tensor = self.outer(features.movedim(1, -1)).movedim(-1, 1)
        return scores

    def blocks(self) -> Iterator[nn.Module]:
        yield self.inner
