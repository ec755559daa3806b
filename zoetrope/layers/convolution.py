"""Convolutions over space and over time, and changes of resolution."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from zoetrope.layers.attention import modulated
from zoetrope.layers.in_place import plus, silu
from zoetrope.layers.linear import Linear, linear
from zoetrope.layers.zero import zero


class SpatialConv(nn.Module):
    """A 3x3 convolution of each frame, frames folded into the batch. h (B, F, H, W, D) -> (B, F, H, W, D')."""

    def __init__(self, width_in: int, width_out: int):
        super().__init__()
        self.conv = nn.Conv2d(width_in, width_out, 3, padding=1)

    def forward(self, h: Tensor) -> Tensor:
        return convolved(h, self.conv.weight, self.conv.bias)


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
        inner = modulated(self.norm_out, inner, self.modulation(e))
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
        row: _Row | None = None
        several = False
        for h in parts:
            inner = silu(self.norm(h))
            if held is None or row is None:
                row = _Row(inner, torch.zeros_like(inner[:, 0]))
            else:
                row.end(inner[:, 0])
                yield plus(held, self._between(row))
                row, several = row.moved_on(inner), True
            held = h
            del h, inner
        if held is not None and row is not None:
            row.end(torch.zeros_like(held[:, 0]))
            image = held.shape[1] == 1 and not several
            yield held if image else plus(held, self._between(row))

    def _between(self, row: "_Row") -> Tensor:
        """The branch of the frames of a row but its first and last, which lie beside them."""
        frames = row.frames.clone() if torch.is_grad_enabled() else row.frames
        b, f, height, width, d = frames.shape
        taps = self.conv.weight.roll(row.start, 2) if row.start else self.conv.weight
        out = nn.functional.conv2d(frames.flatten(2, 3).permute(0, 3, 1, 2), taps, self.conv.bias)
        return out.permute(0, 2, 3, 1).reshape(b, f - 2, height, width, d)

    def forward(self, h: Tensor, images: Tensor | None) -> Tensor:
        """Examples with images (B,) True are independent images: the branch is skipped for them."""
        if h.shape[1] == 1:
            return torch.zeros_like(h)
        inner = silu(self.norm(h)).flatten(2, 3).permute(0, 3, 1, 2)  # (B, D, F, HW)
        inner = self.conv(inner).permute(0, 2, 3, 1).reshape_as(h)
        return inner if images is None else inner.masked_fill(images[:, None, None, None, None], 0)


class _Row:
    """The frame before a part of a video, those of the part (B, f, H, W, D), and the frame after it.

    All parts use the same memory, for getting new one takes longer than what is done in it. Where they have one frame
    each, what came after a part is the next one already: the row then begins at another place, `start`, and goes round.
    """

    def __init__(self, part: Tensor, before: Tensor):
        b, f, *sizes = part.shape
        self.frames, self.start = part.new_empty(b, f + 2, *sizes), 0
        self.frames[:, 0] = before
        self.frames[:, 1:-1] = part

    def end(self, frame: Tensor) -> None:
        """Put in the frame after the part."""
        self.frames[:, self.start - 1] = frame

    def moved_on(self, part: Tensor) -> "_Row":
        """The row of the next part, whose first frame was the end of this one."""
        last = self.frames[:, self.start - 2]
        if part.shape[1] + 2 != self.frames.shape[1]:
            return _Row(part, last)
        if part.shape[1] == 1:
            self.start = (self.start + 1) % 3
            return self
        self.frames[:, 0] = last
        self.frames[:, 1:-1] = part
        return self


class Merge(Linear):
    """A coarse level's result and what its finer level had before, (B, F, H, W, D) both, become one of that width.

    The linear map of both side by side, without putting them there.
    """

    def __init__(self, width: int):
        super().__init__(2 * width, width)

    def forward(self, finer: "Upsample", h: Tensor, skip: Tensor, scale: float = 1.0) -> Tensor:  # type: ignore[override]
        """What `finer` makes of the coarse h, and the skip, which counts so many times as much.

        Where nothing is learnt the linear maps of both are made one, and h goes through it while it is coarse.
        """
        left, right = self.weight.chunk(2, dim=1)
        if torch.is_grad_enabled() or type(finer.linear) is not Linear:
            coarse = linear(finer(h), left, self.bias)
        else:
            with torch.autocast("cpu" if h.is_meta else h.device.type, enabled=False):
                weight = left @ finer.linear.weight.unflatten(0, (4, -1))
                bias = finer.linear.bias.unflatten(0, (4, -1)) @ left.mT + self.bias
            coarse = shuffle(linear(h, weight.flatten(0, 1), bias.flatten()), 2)
        return plus(coarse, linear(skip, right * scale, None))


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


def convolved(h: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """What `SpatialConv` does, with weights (D', D, 3, 3) and bias (D') from elsewhere."""
    frames = h.flatten(0, 1).permute(0, 3, 1, 2)  # (BF, D, H, W), a channels_last view
    out = nn.functional.conv2d(frames, weight, bias, padding=1)
    return out.permute(0, 2, 3, 1).unflatten(0, h.shape[:2])


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
