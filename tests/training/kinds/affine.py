"""A network that is affine in z, with a slope and an intercept for each time of a grid."""

from pydantic import PositiveInt
from torch import Tensor, nn, zeros

from zoetrope.conditioning import Conditioning
from zoetrope.diffusion.tensors import expand_like
from zoetrope.networks import Network, NetworkConfig
from zoetrope.schedules.cosine import Cosine


class AffineConfig(NetworkConfig):
    """`places` times i / places, i from 1 on, each with its own slope and intercept of v."""

    places: PositiveInt = 16

    def build(self) -> "Affine":
        return Affine(self.places)

    def check(self, frames: int, height: int, width: int) -> None:
        """Any size will do."""


class Affine(Network):
    """See `AffineConfig`."""

    def __init__(self, places: int):
        super().__init__()
        self.slope, self.intercept = nn.Parameter(zeros(places)), nn.Parameter(zeros(places))

    def forward(self, z: Tensor, logsnr: Tensor, conditioning: Conditioning) -> Tensor:
        place = (Cosine().time(logsnr) * len(self.slope)).round().long().clamp(min=1) - 1
        return expand_like(self.slope[place], z) * z + expand_like(self.intercept[place], z)
