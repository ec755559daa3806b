"""The U-Net of Stable Video Diffusion, as the library diffusers has it [Blattmann et al. 2023, arXiv:2311.15127].

It makes videos of a picture: its latents lie beside those of each frame, and its embedding is what pixels attend to.
Weights come from a pipeline, see `zoetrope.interop`.
"""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from zoetrope.networks import NetworkConfig, Reach, Width, expect_multiples
from zoetrope.networks.hub_unet2d import LARGEST, Heads, expect_levels

if TYPE_CHECKING:
    from zoetrope.networks import Network

GROUPS = 32
"""Of each normalisation."""
BUCKET = "motion_bucket"
"""The number that tells how much moves, from 0 to `MOST`."""
MOST = 255.0


class HubSVDConfig(NetworkConfig):
    """The sizes of a `diffusers.UNetSpatioTemporalConditionModel`; the defaults are those of Stable Video Diffusion.

    It predicts v. Needs the package diffusers (extra `diffusers`).

    Attributes:
        channels: of the latents of the video, and of those of the picture.
        picture_width: features of the picture's embedding.
        widths: channels of each level, the finest first; each has half the height and width of the one before it.
        attends: which levels have attention, to pixels, to the picture and over time.
        heads: of attention, at each level.
        blocks: residual blocks per level on the way down; there is one more on the way up.
        depth: transformer layers after each block.
        told: features of each number that it is told: frames a second, motion, and the noise of the picture.
        scaling: the scale of latents, which those of the picture are seen without.
        bucket: the motion where none is told.
    """

    wrapped: ClassVar[bool] = True

    channels: Annotated[int, Field(ge=1, le=64)] = 4
    low_res: Literal[False] = False
    text_width: None = None
    picture_width: Width = 1024
    rate: Literal[True] = True
    numbers: tuple[()] = ()
    labels: tuple[()] = ()
    actions: tuple[()] = ()
    guided: Literal[False] = False
    widths: Annotated[tuple[Width, ...], Field(min_length=1, max_length=8)] = (320, 640, 1280, 1280)
    attends: Annotated[tuple[bool, ...], Field(min_length=1, max_length=8)] = (True, True, True, False)
    heads: Annotated[tuple[Heads, ...], Field(min_length=1, max_length=8)] = (5, 10, 20, 20)
    blocks: Annotated[int, Field(ge=1, le=16)] = 2
    depth: Annotated[int, Field(ge=1, le=32)] = 1
    told: Width = 256
    scaling: Annotated[float, Field(gt=0, le=1000)] = 0.18215
    bucket: Annotated[float, Field(ge=0, le=MOST)] = 127.0

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        expect_levels(self.widths, self.attends, self.heads, GROUPS)
        size = (2 * self.blocks + 3) * self.depth * sum(width**2 for width in self.widths)
        if size > LARGEST:
            raise ValueError(f"widths: expected a sum of blocks x width^2 of at most {LARGEST:,}, got {size:,}")
        return self

    @property
    def reads(self) -> set[str]:
        """See `NetworkConfig`."""
        return {"picture", "fps", "first_frame", BUCKET}

    @property
    def predicts(self) -> Literal["v"]:
        """v: EDM's preconditioning [Karras et al. 2022, arXiv:2206.00364, Tab. 1]."""
        return "v"

    @property
    def needs_even_frames(self) -> bool:
        """True: it has convolutions along time."""
        return True

    @property
    def takes_packs(self) -> bool:
        """False: all frames are of one video."""
        return False

    def build(self) -> "Network":
        """The network with fresh weights. Raises ValueError without the package diffusers."""
        from zoetrope.networks._hub_svd import HubSVD

        return HubSVD(self)

    @property
    def hub_sizes(self) -> dict[str, Any]:
        """What diffusers' network is told of the sizes, by its names."""
        down = [("CrossAttn" if attends else "") + "DownBlockSpatioTemporal" for attends in self.attends]
        up = [("CrossAttn" if attends else "") + "UpBlockSpatioTemporal" for attends in reversed(self.attends)]
        return {
            "in_channels": 2 * self.channels,
            "out_channels": self.channels,
            "down_block_types": tuple(down),
            "up_block_types": tuple(up),
            "block_out_channels": self.widths,
            "addition_time_embed_dim": self.told,
            "projection_class_embeddings_input_dim": 3 * self.told,
            "layers_per_block": self.blocks,
            "cross_attention_dim": self.picture_width,
            "transformer_layers_per_block": self.depth,
            "num_attention_heads": self.heads,
        }

    def check(self, frames: int, height: int, width: int) -> None:
        """Raise ValueError unless height and width are multiples of the coarsest level's pixel."""
        pixel = 2 ** (len(self.widths) - 1)
        expect_multiples(("height", height, pixel), ("width", width, pixel))

    def reach(self) -> Reach:
        """All frames and pixels, by attention."""
        return Reach(frames=None, pixels=None, grid=2 ** (len(self.widths) - 1))
