"""The identity: latents are pixels."""

from collections.abc import Iterable, Iterator
from typing import ClassVar

import torch
from torch import Tensor

from zoetrope.codecs import Codec, CodecNetwork, Posterior
from zoetrope.shapes import expect_shape


class PixelCodec(Codec):
    """Latents are the pixels themselves.

    Attributes:
        channels: of the videos.
    """

    encodes: ClassVar[bool] = False

    @property
    def factor(self) -> int:
        """1."""
        return 1

    @property
    def margin(self) -> int:
        """0."""
        return 0

    def build(self) -> "Unchanged":
        """A module without parameters."""
        return Unchanged(self)


class Unchanged(CodecNetwork):
    """The module of `PixelCodec`."""

    def posterior(self, x: Tensor) -> Posterior:
        """A point: the pixels, with no variance."""
        expect_shape("video", x, None, self.codec.channels, None, None, None)
        return Posterior(x, torch.full_like(x, float("-inf")))

    def stream(self, parts: Iterable[Tensor]) -> Iterator[Tensor]:
        """The parts."""
        yield from parts
