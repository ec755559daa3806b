"""A KL autoencoder of frames, whose decoder may have layers along time.

The encoder outputs the mean and the log-variance of each latent [Rombach et al. 2022, arXiv:2112.10752, Sec. 3.1]. With
`temporal` the decoder has a convolution along time after each of its residual blocks, which starts at zero: the
decoder of videos begins as that of images [Blattmann et al. 2023, arXiv:2304.08818, Sec. 3.1.1].

Unlike the papers' it has no attention, and normalises each pixel's features alone instead of groups over the frame.
So its receptive field is bounded, and videos in tiles and in parts equal the whole.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from zoetrope.codecs import Codec, CodecNetwork, Posterior
from zoetrope.layers.convolution import Downsample, SpatialConv, TemporalConv, Upsample
from zoetrope.layers.elementwise import SiLU, Sum
from zoetrope.layers.zero import zero
from zoetrope.shapes import expect_shape

SPREAD = (-30.0, 20.0)
"""The range that log-variances are clipped to."""


class Autoencoder(Codec):
    """A KL autoencoder.

    Attributes:
        channels: of the latents.
        f: pixels per latent, along height and along width.
        width: features at full size; the next level has twice, the others four times as many.
        blocks: residual blocks per level.
        temporal: whether the decoder sees neighbouring frames.
    """

    channels: Annotated[int, Field(ge=1, le=64)] = 4
    f: Literal[2, 4, 8, 16, 32] = 4
    width: Annotated[int, Field(ge=1, le=1024)] = 32
    blocks: Annotated[int, Field(ge=1, le=16)] = 2
    temporal: bool = False

    @property
    def factor(self) -> int:
        """f."""
        return self.f

    @property
    def levels(self) -> list[int]:
        """Features of each level, from pixels to latents."""
        return [self.width * min(2**level, 4) for level in range(self.f.bit_length())]

    @property
    def margin(self) -> int:
        """The receptive field's radius in latents, rounded up.

        A 3x3 convolution at a level reaches 1 of its cells, which are 2^level pixels; a block has two. A first and a
        last one are at the two ends of the levels.
        """
        blocks = sum(2 * self.blocks * 2**level for level in range(len(self.levels)))
        return -(-(blocks + 1 + self.f) // self.f)

    def plain(self) -> "Autoencoder":
        """See `Codec`: the one of pictures."""
        return self.with_(temporal=False)

    def build(self) -> "AutoencoderNetwork":
        """The module with fresh weights."""
        return AutoencoderNetwork(self)


class AutoencoderNetwork(CodecNetwork):
    """The module of `Autoencoder`.

    The names in the state dict of an image codec are those of the video codec without its temporal layers.
    """

    decoding: ClassVar[tuple[str, ...]] = ("decoder.",)

    codec: Autoencoder

    def __init__(self, codec: Autoencoder):
        super().__init__(codec)
        self.encoder = _Encoder(codec)
        self.decoder = _Decoder(codec)

    def posterior(self, x: Tensor) -> Posterior:
        """See `CodecNetwork`: x (B, 3, F, H, W); log-variances are in `SPREAD`."""
        expect_shape("video", x, None, 3, None, None, None)
        self.codec.check(*x.shape[-2:])
        mean, logvar = self.encoder(x.movedim(1, -1)).movedim(-1, 1).chunk(2, dim=1)
        return Posterior(mean, logvar.clamp(*SPREAD))

    def stream(self, parts: Iterable[Tensor]) -> Iterator[Tensor]:
        """See `CodecNetwork`. Each temporal layer holds one part and computes no frame twice."""
        yield from (x.movedim(-1, 1) for x in self.decoder.stream(z.movedim(1, -1) for z in parts))

    def last(self) -> Tensor:
        """See `CodecNetwork`."""
        return self.decoder.last.conv.weight

    def temporal_parameters(self) -> Iterator[nn.Parameter]:
        """The weights of the layers along time."""
        yield from chain.from_iterable(m.parameters() for m in self.modules() if isinstance(m, TemporalConv))

    def load_images(self, network: "AutoencoderNetwork") -> None:
        """Take an image codec's weights and scale; layers along time are as if fresh, so that both decode the same.

        Raises ValueError if the two differ in more than `temporal`.
        """
        if network.codec.with_(temporal=self.codec.temporal) != self.codec:
            raise ValueError(
                f"codec: expected one that differs in temporal alone from {self.codec}, got {network.codec}"
            )
        if network.codec.temporal:
            raise ValueError("codec: expected an image codec, temporal = false, got one with layers along time")
        self.load_state_dict(network.state_dict(), strict=False)
        with torch.no_grad():
            for layer in self.modules():
                if isinstance(layer, TemporalConv):
                    nn.init.ones_(layer.norm.weight)
                    nn.init.zeros_(layer.norm.bias)
                    zero(layer.conv)


class _Block(nn.Module):
    """Two convolutions of each frame as a residual branch. h (B, F, H, W, D) -> like h; starts as the identity."""

    def __init__(self, width: int):
        super().__init__()
        self.norm_in, self.norm_out = nn.LayerNorm(width), nn.LayerNorm(width)
        self.conv_in, self.conv_out = SpatialConv(width, width), zero(SpatialConv(width, width))
        self.silu, self.sum = SiLU(), Sum()

    def forward(self, h: Tensor) -> Tensor:
        inner = self.conv_in(self.silu(self.norm_in(h)))
        return self.sum(h, self.conv_out(self.silu(self.norm_out(inner))))


class _Last(nn.Module):
    """Features to the output: normalised, and convolved."""

    def __init__(self, width_in: int, width_out: int):
        super().__init__()
        self.norm, self.silu = nn.LayerNorm(width_in), SiLU()
        self.conv = SpatialConv(width_in, width_out)

    def forward(self, h: Tensor) -> Tensor:
        return self.conv(self.silu(self.norm(h)))


class _Encoder(nn.Sequential):
    """Frames (B, F, H, W, 3) -> means and log-variances (B, F, H / f, W / f, 2 channels)."""

    def __init__(self, codec: Autoencoder):
        widths = codec.levels
        layers: list[nn.Module] = [SpatialConv(3, widths[0])]
        for level, width in enumerate(widths):
            layers += [Downsample(widths[level - 1], width)] if level else []
            layers += [_Block(width) for _ in range(codec.blocks)]
        super().__init__(*layers, _Last(widths[-1], 2 * codec.channels))


class _Decoder(nn.Module):
    """Latents (B, F, h, w, channels) -> frames (B, F, f h, f w, 3), as parts of a video."""

    def __init__(self, codec: Autoencoder):
        super().__init__()
        widths = codec.levels[::-1]
        self.layers, self.temporal = nn.ModuleList([SpatialConv(codec.channels, widths[0])]), nn.ModuleDict()
        for level, width in enumerate(widths):
            if level:
                self.layers.append(Upsample(widths[level - 1], width))
            for _ in range(codec.blocks):
                if codec.temporal:
                    self.temporal[str(len(self.layers))] = TemporalConv(width)
                self.layers.append(_Block(width))
        self.layers.append(_Last(widths[-1], 3))
        self.sum = Sum()

    @property
    def last(self) -> SpatialConv:
        """The layer whose output is frames."""
        made: _Last = self.layers[-1]  # type: ignore[assignment]
        return made.conv

    def stream(self, parts: Iterable[Tensor]) -> Iterator[Tensor]:
        """The frames of latents that arrive in parts: layer by layer, each a map of a stream of parts."""
        for number, layer in enumerate(self.layers):
            parts = map(layer, parts)
            if str(number) in self.temporal:
                along: TemporalConv = self.temporal[str(number)]  # type: ignore[assignment]
                parts = along.stream(parts, self.sum)
        yield from parts


def tiled(function: Callable[[Tensor], Tensor], x: Tensor, tile: int, margin: int, shrink: int, grow: int) -> Tensor:
    """A codec's function of x (..., H, W), computed on one tile after the other, and equal to the whole.

    Each tile of `tile` x `tile` latents is computed with `margin` latents around it, see `Codec.margin`, as far as
    there are any, which are then cut off. A latent is `shrink` pixels of x and `grow` pixels of the output: f, 1 for an
    encoder and 1, f for a decoder.

    Raises ValueError for a tile below 1.
    """
    if tile < 1:
        raise ValueError(f"tile: expected at least 1 latent, got {tile}; the nearest is 1")
    rows = []
    for top, bottom, above in _spans(x.shape[-2] // shrink, tile, margin):
        row = []
        for left, right, before in _spans(x.shape[-1] // shrink, tile, margin):
            part = x[..., shrink * max(0, top - margin) : shrink * (bottom + margin), :]
            y = function(part[..., shrink * max(0, left - margin) : shrink * (right + margin)])
            y = y[..., grow * above : grow * (above + bottom - top), :]
            row.append(y[..., grow * before : grow * (before + right - left)])
        rows.append(torch.cat(row, dim=-1))
    return torch.cat(rows, dim=-2)


def _spans(size: int, tile: int, margin: int) -> Iterator[tuple[int, int, int]]:
    """Where each tile begins and ends, and the width of the margin before it."""
    for start in range(0, size, tile):
        yield start, min(start + tile, size), min(start, margin)
