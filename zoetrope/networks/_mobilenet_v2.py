"""The network of a `zoetrope.networks.mobilenet_v2.MobileNetV2Config`."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from zoetrope.conditioning import Conditioning
from zoetrope.networks import Network
from zoetrope.networks.mobilenet_v2 import SIZE, WIDTH, MobileNetV2Config
from zoetrope.shapes import expect_shape

# Of each group of blocks: expansion, channels, blocks, and the stride of the first.
_GROUPS = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
_COMPARED = (0, 2, 5, 12)
"""The blocks whose outputs are compared: the last at a half, a quarter, an eighth and a sixteenth of the size."""
_TINY = 1e-10


class MobileNetV2Network(Network):
    """A weight (out, in, h, w) and a bias for each of 52 convolutions, under the names of the modules."""

    def __init__(self, config: MobileNetV2Config) -> None:
        super().__init__()
        self.config = config
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

    def forward(self, z: Tensor, logsnr: Tensor, conditioning: Conditioning) -> Tensor:
        """The features (B, D, F, 1, 1) that are compared of videos z (B, 3, F, H, W) in [-1, 1], at their own size.

        The squared distance of two frames' features, summed, is their perceptual distance, in [0, 4]: the mean over the
        compared layers, and over their places, of the squared distance of unit vectors. No noise level, no
        conditioning.
        """
        expect_shape("z", z, None, 3, None, None, None)
        self.config.check(*z.shape[2:])
        found, x = list[Tensor](), z.transpose(1, 2).flatten(0, 1)
        for number, layer in zip(range(_COMPARED[-1] + 1), self._layers(x), strict=False):
            if number in _COMPARED:
                unit = layer.float() / (layer.float().square().sum(1, keepdim=True) + _TINY).sqrt()
                places = len(_COMPARED) * layer.shape[2] * layer.shape[3]
                found.append(unit.flatten(1) / places**0.5)
        return torch.cat(found, dim=1).unflatten(0, (len(z), -1)).transpose(1, 2)[..., None, None]

    def pooled(self, pictures: Tensor) -> Tensor:
        """Pictures (N, 3, H, W) in [-1, 1], resized to 224 x 224, to the features (N, 1280) before the classifier."""
        if pictures.shape[2:] != (SIZE, SIZE):
            shrinks = min(pictures.shape[2:]) > SIZE
            pictures = interpolate(pictures, (SIZE, SIZE), mode="bilinear", align_corners=False, antialias=shrinks)
        *_, x = self._layers(pictures)
        return _convolved(self.head, x).mean((2, 3))

    def _layers(self, pictures: Tensor) -> Iterator[Tensor]:
        """The output of each block."""
        x = _convolved(self.stem, pictures.contiguous(memory_format=torch.channels_last))
        for name in self._blocks:
            x = self.get_submodule(name)(x)
            yield x


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
        made: Tensor = self.project(_convolved(self.depthwise, inner))
        return x + made if self._adds else made


def _convolution(width: int, channels: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(width, channels, kernel, stride, padding=kernel // 2 if stride == 1 else 0, groups=groups)


def _convolved(convolution: nn.Conv2d, x: Tensor) -> Tensor:
    """A convolution and its ReLU6, padded as TensorFlow does: with stride 2, even sizes get a pixel right and below."""
    if convolution.stride[0] == 2:
        x = pad(x, (0, 1, 0, 1))
    made: Tensor = convolution(x)
    return made.clamp(0, 6)
