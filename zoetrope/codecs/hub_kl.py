"""The KL autoencoder of Stable Diffusion, as the library diffusers has it [Rombach et al. 2022, arXiv:2112.10752].

Weights come from a pipeline, see `zoetrope.interop`.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from zoetrope.codecs import Codec, CodecNetwork, Posterior
from zoetrope.config.extras import of_diffusers
from zoetrope.shapes import expect_shape

LARGEST = 2**26
"""Of the sum of blocks x width^2, some 40 parameters each: ten times what the published ones have."""
UNLIMITED = 2**20
SPREAD = (-30.0, 20.0)
"""The range that log-variances are clipped to."""


class HubKL(Codec):
    """A `diffusers.AutoencoderKL`; the defaults are those of Stable Diffusion 1.5. Frames are coded one by one.

    It has attention, and normalises over whole frames: a tile equals the whole only with all of the frame around it.
    Needs the package diffusers (extra `diffusers`).

    Attributes:
        channels: of the latents.
        widths: features of each level, from pixels to latents.
        blocks: residual blocks per level of the encoder; the decoder has one more.
        groups: of each normalisation.
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
    groups: Annotated[int, Field(ge=1, le=1024)] = 32
    scaling: Annotated[float, Field(gt=0, le=1000)] = 0.18215

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for level, width in enumerate(self.widths):
            if width % self.groups:
                near = max(1, round(width / self.groups)) * self.groups
                wanted = f"expected a multiple of groups = {self.groups}"
                raise ValueError(f"widths.{level}: {wanted}, got {width}; the nearest is {near}")
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

    def build(self) -> "HubKLNetwork":
        """The module with fresh weights. Raises ValueError without the package diffusers."""
        return HubKLNetwork(self)


class HubKLNetwork(CodecNetwork):
    """The module of `HubKL`: its encoder and decoder, and the maps between them and the latents."""

    decoding: ClassVar[tuple[str, ...]] = ("vae.post_quant_conv.", "vae.decoder.")

    codec: HubKL

    def __init__(self, codec: HubKL):
        super().__init__(codec)
        levels = len(codec.widths)
        self.vae = of_diffusers("AutoencoderKL", "codec hub_kl")(
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            block_out_channels=codec.widths,
            layers_per_block=codec.blocks,
            latent_channels=codec.channels,
            norm_num_groups=codec.groups,
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
        """See `CodecNetwork`: frame by frame."""
        vae: Any = self.vae
        for part in parts:
            yield torch.stack([vae.decoder(vae.post_quant_conv(frame)) for frame in part.unbind(2)], dim=2)
