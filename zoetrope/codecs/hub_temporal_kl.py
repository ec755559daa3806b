"""The autoencoder of Stable Video Diffusion, as the library diffusers has it: a decoder with layers along time.

[Blattmann et al. 2023, arXiv:2311.15127, App. D]. Weights come from a pipeline, see `zoetrope.interop`.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from zoetrope.codecs import Codec, CodecNetwork, Posterior
from zoetrope.codecs.hub_kl import LARGEST, SPREAD, UNLIMITED
from zoetrope.config.extras import of_diffusers
from zoetrope.shapes import expect_shape

GROUPS = 32
"""Of each normalisation."""


class HubTemporalKL(Codec):
    """A `diffusers.AutoencoderKLTemporalDecoder`; the defaults are those of Stable Video Diffusion.

    The encoder sees each frame alone. The decoder normalises over all frames, so that it needs the whole video at once.
    Needs the package diffusers (extra `diffusers`).

    Attributes:
        channels: of the latents.
        widths: features of each level, from pixels to latents.
        blocks: residual blocks per level of the encoder; the decoder has one more.
        scaling: the scale of latents before it is measured or read from a file.
    """

    wrapped: ClassVar[bool] = True

    channels: Annotated[int, Field(ge=1, le=64)] = 4
    widths: Annotated[tuple[Annotated[int, Field(ge=1, le=8192)], ...], Field(min_length=1, max_length=6)] = (
        128,
        256,
        512,
        512,
    )
    blocks: Annotated[int, Field(ge=1, le=16)] = 2
    scaling: Annotated[float, Field(gt=0, le=1000)] = 0.18215

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for level, width in enumerate(self.widths):
            if width % GROUPS:
                near = max(1, round(width / GROUPS)) * GROUPS
                raise ValueError(f"widths.{level}: expected a multiple of {GROUPS}, got {width}; the nearest is {near}")
        if (size := (2 * self.blocks + 3) * sum(width**2 for width in self.widths)) > LARGEST:
            raise ValueError(f"widths: expected a sum of blocks x width^2 of at most {LARGEST:,}, got {size:,}")
        return self

    @property
    def factor(self) -> int:
        """Each level but the last halves height and width."""
        return int(2 ** (len(self.widths) - 1))

    @property
    def margin(self) -> int:
        """More than any frame has."""
        return UNLIMITED

    def build(self) -> "HubTemporalKLNetwork":
        """The module with fresh weights. Raises ValueError without the package diffusers."""
        return HubTemporalKLNetwork(self)


class HubTemporalKLNetwork(CodecNetwork):
    """The module of `HubTemporalKL`: its encoder and decoder, and the map between the encoder and the latents."""

    decoding: ClassVar[tuple[str, ...]] = ("vae.decoder.",)

    codec: HubTemporalKL

    def __init__(self, codec: HubTemporalKL):
        super().__init__(codec)
        self.vae = of_diffusers("AutoencoderKLTemporalDecoder", "codec hub_temporal_kl")(
            down_block_types=("DownEncoderBlock2D",) * len(codec.widths),
            block_out_channels=codec.widths,
            layers_per_block=codec.blocks,
            latent_channels=codec.channels,
        )
        self.scale.fill_(codec.scaling)

    def posterior(self, x: Tensor) -> Posterior:
        """See `CodecNetwork`: x (B, 3, F, H, W); log-variances are in `SPREAD`."""
        expect_shape("video", x, None, 3, None, None, None)
        self.codec.check(*x.shape[-2:])
        vae: Any = self.vae
        moments = torch.stack([vae.quant_conv(vae.encoder(frame)) for frame in x.unbind(2)], dim=2)
        mean, logvar = moments.chunk(2, dim=1)
        return Posterior(mean, logvar.clamp(*SPREAD))

    def stream(self, parts: Iterable[Tensor]) -> Iterator[Tensor]:
        """See `CodecNetwork`. The parts are gathered: the decoder sees all frames."""
        given = list(parts)
        whole = torch.cat(given, dim=2)
        vae: Any = self.vae
        made: Tensor = vae.decode(whole.movedim(2, 1).flatten(0, 1), num_frames=whole.shape[2], return_dict=False)[0]
        video = made.unflatten(0, (len(whole), -1)).movedim(2, 1)
        yield from video.split([part.shape[2] for part in given], dim=2)
