"""MobileNetV2 at width 1.0, batch normalisation folded into the convolutions [Sandler et al. 2018, arXiv:1801.04381].

The file holds a weight (out, in, h, w) and a bias for each of the 52 convolutions, under the names of the modules.
"""

import hashlib
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from zoetrope.metrics.features import Extractor, FeatureNetwork, Missing
from zoetrope.models.weights import read_weights

SIZE = 224
WIDTH = 1280
# Of each group of blocks: expansion, channels, blocks, and the stride of the first.
_GROUPS = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]


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
        path = Path(self.weights).expanduser()
        if not path.is_file() and path.suffix == ".safetensors":
            raise Missing(f"{path}: no such file", "name the safetensors file with its weights")
        network = _Network()
        read_weights(network, path)
        network.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        network.to(device)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        layer = f"spatial mean of the last convolution, {WIDTH} features, input resized to {SIZE}x{SIZE}"
        resize = f"{SIZE}x{SIZE} bilinear, antialiased where it shrinks"
        return FeatureNetwork(self.kind(), sha256, layer, WIDTH, lambda x: network(x.to(device)).cpu(), resize)


class _Network(nn.Module):
    """Pictures (N, 3, H, W) in [-1, 1] to features (N, 1280)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _convolution(3, 32, 3, stride=2)
        width = 32
        self._blocks: list[str] = []
        for expansion, channels, count, stride in _GROUPS:
            for number in range(count):
                name = f"block{len(self._blocks)}"
                self.add_module(name, _Block(width, channels, expansion, stride if number == 0 else 1))
                self._blocks.append(name)
                width = channels
        self.head = _convolution(width, WIDTH, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        if pictures.shape[2:] != (SIZE, SIZE):
            shrinks = min(pictures.shape[2:]) > SIZE
            pictures = interpolate(pictures, (SIZE, SIZE), mode="bilinear", align_corners=False, antialias=shrinks)
        x = _convolved(self.stem, pictures.contiguous(memory_format=torch.channels_last))
        for name in self._blocks:
            x = self.get_submodule(name)(x)
        return _convolved(self.head, x).mean((2, 3))


class _Block(nn.Module):
    """Expand, convolve each channel by itself, project; the input is added where shapes allow."""

    def __init__(self, width: int, channels: int, expansion: int, stride: int) -> None:
        super().__init__()
        inner = width * expansion
        self.expand = _convolution(width, inner, 1) if expansion > 1 else None
        self.depthwise = _convolution(inner, inner, 3, stride, groups=inner)
        self.project = _convolution(inner, channels, 1)
        self._adds = stride == 1 and width == channels

    def forward(self, x: Tensor) -> Tensor:
        inner = x if self.expand is None else _convolved(self.expand, x)
        made = self.project(_convolved(self.depthwise, inner))
        return x + made if self._adds else made


def _convolution(width: int, channels: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(width, channels, kernel, stride, padding=kernel // 2 if stride == 1 else 0, groups=groups)


def _convolved(convolution: nn.Conv2d, x: Tensor) -> Tensor:
    """A convolution and its ReLU6, padded as TensorFlow does: with stride 2, even sizes get a pixel right and below."""
    if convolution.stride[0] == 2:
        x = pad(x, (0, 1, 0, 1))
    return convolution(x).clamp(0, 6)
