"""Convolutions over space and over time, and changes of resolution."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from zoetrope.layers.attention import modulate
from zoetrope.layers.in_place import plus, silu
from zoetrope.layers.linear import Linear
from zoetrope.layers.zero import zero


class SpatialConv(nn.Module):
    """A 3x3 convolution of each frame, frames folded into the batch. h (B, F, H, W, D) -> (B, F, H, W, D')."""

    def __init__(self, width_in: int, width_out: int):
        super().__init__()
        self.conv = nn.Conv2d(width_in, width_out, 3, padding=1)

    def forward(self, h: Tensor) -> Tensor:
        frames = h.flatten(0, 1).permute(0, 3, 1, 2)  # (BF, D, H, W), a channels_last view
        return self.conv(frames).permute(0, 2, 3, 1).unflatten(0, h.shape[:2])


class ResidualBlock(nn.Module):
    """Two spatial convolutions, modulated by the conditioning vector; starts as the identity.

    h (B, F, H, W, D), e (B, F or 1, E) -> like h.
    """

    def __init__(self, width: int, embedding: int):
        super().__init__()
        self.norm_in = nn.LayerNorm(width)
        self.conv_in = SpatialConv(width, width)
        self.modulation = zero(nn.Linear(embedding, 2 * width))
        self.norm_out = nn.LayerNorm(width)
        self.conv_out = zero(SpatialConv(width, width))

    def forward(self, h: Tensor, e: Tensor) -> Tensor:
        inner = self.conv_in(silu(self.norm_in(h)))
        inner = modulate(self.norm_out(inner), self.modulation(e))
        return plus(h, self.conv_out(silu(inner)))


class TemporalConv(nn.Module):
    """A 3-tap convolution along time at each pixel, as a residual branch that starts at zero. h -> like h."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.conv = zero(nn.Conv2d(width, width, (3, 1), padding=(1, 0)))

    def stream(self, parts: Iterable[Tensor]) -> Iterator[Tensor]:
        """h and its branch, added up, of a video that comes in parts: each follows as soon as the next one is there."""
        last: Tensor | None = None  # the frame before the part that is held, ready to be convolved
        held: tuple[Tensor, Tensor] | None = None
        for h in parts:
            inner = silu(self.norm(h))
            if held is not None:
                yield plus(held[0], self._between(last, held[1], inner[:, :1]))
                last = held[1][:, -1:]
            held = (h, inner)
            del h, inner
        if held is not None:
            alone = last is None and held[0].shape[1] == 1  # an image
            yield held[0] if alone else plus(held[0], self._between(last, held[1], None))

    def _between(self, before: Tensor | None, inner: Tensor, after: Tensor | None) -> Tensor:
        """The branch of frames that lie between two; beyond the ends of a video there are zeros."""
        edge = torch.zeros_like(inner[:, :1])
        padded = torch.cat([edge if before is None else before, inner, edge if after is None else after], dim=1)
        rows = padded.flatten(2, 3).permute(0, 3, 1, 2)
        out = nn.functional.conv2d(rows, self.conv.weight, self.conv.bias)
        return out.permute(0, 2, 3, 1).reshape_as(inner)

    def forward(self, h: Tensor, images: Tensor | None) -> Tensor:
        """Examples with images (B,) True are independent images: the branch is skipped for them."""
        if h.shape[1] == 1:
            return torch.zeros_like(h)
        inner = silu(self.norm(h)).flatten(2, 3).permute(0, 3, 1, 2)  # (B, D, F, HW)
        inner = self.conv(inner).permute(0, 2, 3, 1).reshape_as(h)
        return inner if images is None else inner.masked_fill(images[:, None, None, None, None], 0)


class Downsample(nn.Module):
    """Each 2x2 block of pixels becomes one. (B, F, H, W, D) -> (B, F, H / 2, W / 2, D')."""

    def __init__(self, width_in: int, width_out: int):
        super().__init__()
        self.linear = Linear(4 * width_in, width_out)

    def forward(self, h: Tensor) -> Tensor:
        return self.linear(unshuffle(h, 2))


class Upsample(nn.Module):
    """Each pixel becomes a 2x2 block. (B, F, H, W, D) -> (B, F, 2 H, 2 W, D')."""

    def __init__(self, width_in: int, width_out: int):
        super().__init__()
        self.linear = Linear(width_in, 4 * width_out)

    def forward(self, h: Tensor) -> Tensor:
        return shuffle(self.linear(h), 2)


def unshuffle(h: Tensor, factor: int) -> Tensor:
    """Move each factor x factor block of pixels into channels: (B, F, H, W, D) -> (B, F, H / n, W / n, n n D)."""
    if factor == 1:
        return h
    b, f, height, width, d = h.shape
    blocks = h.view(b, f, height // factor, factor, width // factor, factor, d)
    return blocks.transpose(3, 4).reshape(b, f, height // factor, width // factor, factor * factor * d)


def shuffle(h: Tensor, factor: int) -> Tensor:
    """The inverse of `unshuffle`."""
    if factor == 1:
        return h
    b, f, height, width, d = h.shape
    blocks = h.view(b, f, height, width, factor, factor, d // factor**2).transpose(3, 4)
    return blocks.reshape(b, f, height * factor, width * factor, d // factor**2)
