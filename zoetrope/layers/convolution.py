"""Convolutions over space and time, and changes of resolution in space and time."""

from collections.abc import Callable, Iterable, Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn

from zoetrope.layers.elementwise import Modulated, SiLU, Sum
from zoetrope.layers.linear import Linear, linear
from zoetrope.layers.zero import zero


class SpatialConv(nn.Module):
    """A 3x3 convolution of each frame, frames folded into the batch. h (B, F, H, W, D) -> (B, F, H, W, D')."""

    def __init__(self, width_in: int, width_out: int):
        super().__init__()
        self.conv = nn.Conv2d(width_in, width_out, 3, padding=1)

    def forward(self, h: Tensor) -> Tensor:
        return convolved(h, self.conv.weight, self.conv.bias)


class AlongTime(nn.Module):
    """A 3-tap convolution along time at each pixel that starts as the identity. h (B, F, H, W, D) -> like h.

    After a spatial convolution it makes a pseudo-3D one [Singer et al. 2022, arXiv:2209.14792, Sec. 3.2.1]. Its weights
    are the difference from the identity.
    """

    def __init__(self, width: int):
        super().__init__()
        self.conv = zero(nn.Conv2d(width, width, (3, 1), padding=(1, 0)))
        self.sum = Sum()

    def forward(self, h: Tensor, images: Tensor | None) -> Tensor:
        """Frames with images (B, F or 1) True are independent images, which stay as they are, as does a lone frame."""
        if h.shape[1] == 1:
            return h
        seen = unseen_as_zeros(h, images).flatten(2, 3).permute(0, 3, 1, 2)  # (B, D, F, HW)
        branch = self.conv(seen).permute(0, 2, 3, 1).reshape_as(h)
        return self.sum(h, unseen_as_zeros(branch, images))


class ResidualBlock(nn.Module):
    """Two spatial convolutions, modulated by the conditioning vector; starts as the identity.

    h (B, F, H, W, D), e (B, F or 1, E) -> like h. If `temporal`, each is followed by one along time.
    """

    def __init__(self, width: int, embedding: int, temporal: bool = False):
        super().__init__()
        self.norm_in = nn.LayerNorm(width)
        self.conv_in = SpatialConv(width, width)
        self.modulation = zero(nn.Linear(embedding, 2 * width))
        self.norm_out = nn.LayerNorm(width)
        self.conv_out = zero(SpatialConv(width, width))
        self.modulated, self.silu, self.sum = Modulated(), SiLU(), Sum()
        self.temporal_in = AlongTime(width) if temporal else None
        self.temporal_out = AlongTime(width) if temporal else None

    def forward(self, h: Tensor, e: Tensor, images: Tensor | None = None) -> Tensor:
        """Frames with images (B, F or 1) True are independent images."""
        inner = self.conv_in(self.silu(self.norm_in(h)))
        if self.temporal_in is not None:
            inner = self.temporal_in(inner, images)
        inner = self.modulated(self.norm_out, inner, self.modulation(e))
        inner = self.conv_out(self.silu(inner))
        if self.temporal_out is not None:
            inner = self.temporal_out(inner, images)
        return self.sum(h, inner)


class PaddedPart:
    """A part (B, f, H, W, D) of a video, with the frame before it and the frame after it."""

    def __init__(self, part: Tensor, before: Tensor):
        self._frames = [before[:, None], part]

    @property
    def frames(self) -> Tensor:
        """All frames, (B, f + 2, H, W, D), as a ring: the first is at index `start`."""
        return torch.cat(self._frames, dim=1)

    @property
    def start(self) -> int:
        """0."""
        return 0

    def end(self, frame: Tensor) -> None:
        """Set the frame after the part."""
        self._frames.append(frame[:, None])

    def moved_on(self, part: Tensor) -> "PaddedPart":
        """The row of the next part, which begins with the frame after this one."""
        return type(self)(part, self._frames[1][:, -1])


class TemporalConv(nn.Module):
    """A 3-tap convolution along time at each pixel, as a residual branch that starts at zero. h -> like h."""

    row: ClassVar[type[PaddedPart]] = PaddedPart

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.conv = zero(nn.Conv2d(width, width, (3, 1), padding=(1, 0)))
        self.silu = SiLU()

    def stream(
        self, parts: Iterable[Tensor], joined: Callable[[Tensor, Tensor], Tensor], images: Tensor | None = None
    ) -> Iterator[Tensor]:
        """`joined(h, branch)` for a video in parts: each part is yielded once the next has arrived.

        A single image has no branch, nor have frames with images (B, F or 1) True.
        """
        held: Tensor | None = None
        row: PaddedPart | None = None
        several, start = False, 0
        for h in parts:
            inner = unseen_as_zeros(self.silu(self.norm(h)), images, start)
            if held is None or row is None:
                row = self.row(inner, torch.zeros_like(inner[:, 0]))
            else:
                row.end(inner[:, 0])
                yield joined(held, unseen_as_zeros(self._between(row), images, start - held.shape[1]))
                row, several = row.moved_on(inner), True
            held, start = h, start + h.shape[1]
            del h, inner
        if held is not None and row is not None:
            row.end(torch.zeros_like(held[:, 0]))
            image = held.shape[1] == 1 and not several
            branch = unseen_as_zeros(self._between(row), images, start - held.shape[1])
            yield held if image else joined(held, branch)

    def _between(self, row: PaddedPart) -> Tensor:
        """The branch for all frames of a row except the first and the last, which are only neighbours."""
        frames = row.frames
        b, f, height, width, d = frames.shape
        taps = self.conv.weight.roll(row.start, 2) if row.start else self.conv.weight
        out = nn.functional.conv2d(frames.flatten(2, 3).permute(0, 3, 1, 2), taps, self.conv.bias)
        return out.permute(0, 2, 3, 1).reshape(b, f - 2, height, width, d)

    def forward(self, h: Tensor, images: Tensor | None) -> Tensor:
        """Frames with images (B, F or 1) True are independent images: no branch, and for others they are zeros."""
        if h.shape[1] == 1:
            return torch.zeros_like(h)
        inner = unseen_as_zeros(self.silu(self.norm(h)), images).flatten(2, 3).permute(0, 3, 1, 2)  # (B, D, F, HW)
        return unseen_as_zeros(self.conv(inner).permute(0, 2, 3, 1).reshape_as(h), images)


class Merge(Linear):
    """Merges an upsampled coarse level with the skip of the finer one, (B, F, H, W, D) both.

    Equal to a linear map of their concatenation, without concatenating them.
    """

    def __init__(self, width: int):
        super().__init__(2 * width, width)
        self.sum = Sum()

    def forward(self, finer: "Upsample", h: Tensor, skip: Tensor, scale: float = 1.0) -> Tensor:  # type: ignore[override]
        """Merge `finer(h)` of the coarse h with the skip, which is multiplied by `scale`."""
        left, right = self.weight.chunk(2, dim=1)
        return self.sum(finer.mapped(h, left, self.bias), linear(skip, right * scale, None))


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

    def mapped(self, h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """The upsampled h after another linear map."""
        return linear(self(h), weight, bias)


class KeepFrames(nn.Module):
    """Each run of n frames becomes one: its first plus a linear map of all of them, which starts at zero.

    (B, F, H, W, D) -> (B, F / n, H, W, D), as the space-time U-Net begins [Bar-Tal et al. 2024, arXiv:2401.12945,
    Sec. 3.1].
    """

    def __init__(self, width: int, n: int):
        super().__init__()
        self.n = n
        self.linear = zero(Linear(n * width, width))
        self.sum = Sum()

    def forward(self, h: Tensor) -> Tensor:
        runs = h.unflatten(1, (-1, self.n))
        return self.sum(runs[:, :, 0], self.linear(runs.movedim(2, -2).flatten(-2)))


class RepeatFrames(nn.Module):
    """Each frame becomes n: copies of it, each plus a linear map of its own, which starts at zero."""

    def __init__(self, width: int, n: int):
        super().__init__()
        self.n = n
        self.linear = zero(Linear(width, n * width))
        self.sum = Sum()

    def forward(self, h: Tensor) -> Tensor:
        own = self.linear(h).unflatten(-1, (self.n, -1)).movedim(-2, 2).flatten(1, 2)
        return self.sum(h.repeat_interleave(self.n, dim=1), own)


def unseen_as_zeros(h: Tensor, images: Tensor | None, start: int = 0) -> Tensor:
    """Features (B, f, H, W, D) of the frames from `start`, with zeros in those with images (B, F or 1) True."""
    if images is None:
        return h
    here = images if images.shape[1] == 1 else images[:, start : start + h.shape[1]]
    return h.masked_fill(here[:, :, None, None, None], 0)


def convolved(h: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The function of `SpatialConv`, with weights (D', D, 3, 3) and bias (D') as arguments."""
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
