"""MobileNetV2 at width 1.0, batch normalisation folded into the convolutions [Sandler et al. 2018, arXiv:1801.04381].

The file holds a weight (out, in, h, w) and a bias for each of the 52 convolutions, under the names of the modules.
"""

import hashlib
import os
from pathlib import Path
from typing import Self

import torch

from zoetrope.metrics.features import Extractor, FeatureNetwork, Missing
from zoetrope.models.weights import read_weights
from zoetrope.networks.mobilenet_v2 import SIZE, WIDTH, MobileNetV2Config


class MobileNetV2(Extractor):
    """The 1280 features before the classifier: the mean over space of the last convolution after its ReLU6.

    Frames are resized to 224 x 224 bilinearly, antialiased where they shrink, whatever their proportions, and
    are seen in [-1, 1] (x / 127.5 - 1 of 8-bit levels).

    Attributes:
        weights: the safetensors file with its weights.
    """

    weights: str

    @classmethod
    def at(cls, where: str) -> Self:
        """See `Extractor`."""
        return cls(weights=where)

    def open(self, device: torch.device | str = "cpu") -> FeatureNetwork:
        """The network. Raises ValueError if the file is not there or holds other weights."""
        path = Path(os.path.expanduser(self.weights))
        if not path.is_file() and path.suffix == ".safetensors":
            raise Missing(f"{path}: no such file", "name the safetensors file with its weights")
        network = MobileNetV2Config().build()
        read_weights(network, path)
        network.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        network.to(device)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        layer = f"spatial mean of the last convolution, {WIDTH} features, input resized to {SIZE}x{SIZE}"
        resize = f"{SIZE}x{SIZE} bilinear, antialiased where it shrinks"
        return FeatureNetwork(self.kind(), sha256, layer, WIDTH, lambda x: network.pooled(x.to(device)).cpu(), resize)
