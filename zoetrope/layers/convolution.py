"""Convolutions over space and over time, and changes of resolution."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from zoetrope.layers.attention import modulate
from zoetrope.layers.in_place import plus, silu
from zoetrope.layers.linear import Linear, linear
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
        held: Tensor | None = None
        # What is convolved: the frame before the part that is held, the part, and the frame after it. One memory for
        # all parts; getting new one takes longer than what is done in it.
        row: Tensor | None = None
        several = False
        for h in parts:
            inner = silu(self.norm(h))
            if held is not None and row is not None:
                row[:, -1:] = inner[:, :1]
                yield plus(held, self._between(row))
                several = True
            row = _moved_on(row, inner)
            held = h
            del h, inner
        if held is not None and row is not None:
            row[:, -1:] = torch.zeros_like(row[:, -1:])
            image = held.shape[1] == 1 and not several
            yield held if image else plus(held, self._between(row))

    def _between(self, row: Tensor) -> Tensor:
        """The branch of the frames of a row but its first and last, which lie beside them."""
        row = row.clone() if torch.is_grad_enabled() else row
        b, f, height, width, d = row.shape
        out = nn.functional.conv2d(row.flatten(2, 3).permute(0, 3, 1, 2), self.conv.weight, self.conv.bias)
        return out.permute(0, 2, 3, 1).reshape(b, f - 2, height, width, d)

    def forward(self, h: Tensor, images: Tensor | None) -> Tensor:
        """Examples with images (B,) True are independent images: the branch is skipped for them."""
        if h.shape[1] == 1:
            return torch.zeros_like(h)
        inner = silu(self.norm(h)).flatten(2, 3).permute(0, 3, 1, 2)  # (B, D, F, HW)
        inner = self.conv(inner).permute(0, 2, 3, 1).reshape_as(h)
        return inner if images is None else inner.masked_fill(images[:, None, None, None, None], 0)


def _moved_on(row: Tensor | None, part: Tensor) -> Tensor:
    """A row (B, f + 2, ...) with the next part (B, f, ...) in it, the last frame of the part before it, and room."""
    b, f, *sizes = part.shape
    before = torch.zeros_like(part[:, :1]) if row is None else row[:, -2:-1].clone()
    if row is None or row.shape[1] != f + 2:
        row = part.new_empty(b, f + 2, *sizes)
    row[:, :1] = before
    row[:, 1:-1] = part
    return row


class Merge(Linear):
    """A coarse level's result and what its finer level had before, (B, F, H, W, D) both, become one of that width.

    The linear map of both side by side, without putting them there.
    """

    def __init__(self, width: int):
        super().__init__(2 * width, width)

    def forward(self, coarse: Tensor, skip: Tensor, scale: float = 1.0) -> Tensor:  # type: ignore[override]
        """The skip counts so many times as much."""
        left, right = self.weight.chunk(2, dim=1)
        return plus(linear(coarse, left, self.bias), linear(skip, right * scale, None))


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
