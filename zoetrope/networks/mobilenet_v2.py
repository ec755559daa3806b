"""MobileNetV2 as a judge of pictures [Sandler et al. 2018, arXiv:1801.04381]: no denoiser, and it does not learn.

Of weights for which the distance of its features says how different two pictures look to people, a perceptual distance
[after Zhang et al. 2018, arXiv:1801.03924, whose networks and calibration are others].
"""

from typing import TYPE_CHECKING, ClassVar, Literal

from zoetrope.networks import NetworkConfig

if TYPE_CHECKING:
    from zoetrope.networks._mobilenet_v2 import MobileNetV2Network

SIZE, WIDTH = 224, 1280
"""Of the pictures that the network is made for, and of its features before the classifier."""
LEAST = 16


class MobileNetV2Config(NetworkConfig):
    """Width 1.0, batch normalisation folded into the convolutions.

    Attributes:
        low_res: always false.
        text_width: always none.
    """

    denoises: ClassVar[bool] = False

    channels: Literal[3] = 3
    low_res: Literal[False] = False
    text_width: None = None

    def build(self) -> "MobileNetV2Network":
        """The network with fresh weights."""
        from zoetrope.networks._mobilenet_v2 import MobileNetV2Network

        return MobileNetV2Network(self)

    def check(self, frames: int, height: int, width: int) -> None:
        """Raise ValueError for sizes of which the coarsest features that are compared would be empty."""
        for name, size in (("height", height), ("width", width)):
            if size < LEAST:
                raise ValueError(f"{name}: expected {LEAST} or more for MobileNetV2's features, got {size}")
