"""The U-Net of Stable Diffusion, as the library diffusers has it [Rombach et al. 2022, arXiv:2112.10752, App. E].

A network of pictures: each frame of a video is one. Weights come from a pipeline, see `zoetrope.interop`.
"""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from zoetrope.layers.attention import Looks
from zoetrope.networks import NetworkConfig, Reach, Width, expect_multiples
from zoetrope.schedules.discrete import Discrete

if TYPE_CHECKING:
    from zoetrope.networks import Network

LARGEST = 2**28
"""Of the sum of blocks x width^2, some 40 parameters each: ten times what the largest published ones have."""
Heads = Annotated[int, Field(ge=1, le=1024)]


class HubUNet2DConfig(NetworkConfig):
    """The sizes of a `diffusers.UNet2DConditionModel`; the defaults are those of Stable Diffusion 1.5.

    Needs the package diffusers (extra `diffusers`).

    Attributes:
        channels: of the latents.
        text_width: features of a token of text.
        widths: channels of each level, the finest first; each has half the height and width of the one before it.
        attends: which levels have attention to pixels and to text.
        heads: of attention, at each level.
        blocks: residual blocks per level on the way down; there is one more on the way up.
        depth: transformer layers after each block.
        groups: of each normalisation.
        linear: whether attention's maps to and from pixels are linear layers, as in Stable Diffusion 2, or
            convolutions.
        null: the number of tokens of the empty text, which stands for unknown text and is stored with the weights.
        looks: the frames whose pixels give keys and values to attention among pixels, see
            `zoetrope.layers.attention.SpatialAttention`. It has no parameters: "own" is what the weights learnt.
        timesteps: the schedule that the network was trained on. It is told the timestep with the noise level's logsnr.
    """

    wrapped: ClassVar[bool] = True

    channels: Annotated[int, Field(ge=1, le=64)] = 4
    low_res: Literal[False] = False
    text_width: Width = 768
    picture_width: None = None
    rate: Literal[False] = False
    numbers: tuple[()] = ()
    labels: tuple[()] = ()
    actions: tuple[()] = ()
    guided: Literal[False] = False
    widths: Annotated[tuple[Width, ...], Field(min_length=1, max_length=8)] = (320, 640, 1280, 1280)
    attends: Annotated[tuple[bool, ...], Field(min_length=1, max_length=8)] = (True, True, True, False)
    heads: Annotated[tuple[Heads, ...], Field(min_length=1, max_length=8)] = (8, 8, 8, 8)
    blocks: Annotated[int, Field(ge=1, le=16)] = 2
    depth: Annotated[int, Field(ge=1, le=32)] = 1
    groups: Annotated[int, Field(ge=1, le=1024)] = 32
    linear: bool = False
    null: Annotated[int, Field(ge=1, le=1024)] = 77
    looks: Looks = "own"
    timesteps: Discrete = Discrete()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        expect_levels(self.widths, self.attends, self.heads, self.groups)
        size = (2 * self.blocks + 3) * self.depth * sum(width**2 for width in self.widths)
        if size > LARGEST:
            raise ValueError(f"widths: expected a sum of blocks x width^2 of at most {LARGEST:,}, got {size:,}")
        return self

    def build(self) -> "Network":
        """The network with fresh weights. Raises ValueError without the package diffusers."""
        from zoetrope.networks._hub_unet2d import HubUNet2D

        return HubUNet2D(self)

    @property
    def takes_packs(self) -> bool:
        """Unless each frame looks at all others."""
        return self.looks != "all"

    def looking(self, looks: Looks) -> "HubUNet2DConfig":
        """See `NetworkConfig.looking`. Raises ValueError for a network without attention."""
        if not any(self.attends):
            raise ValueError("network.attends: expected true for some level, whose attention can look at other frames")
        return self.with_(looks=looks)

    @property
    def hub_sizes(self) -> dict[str, Any]:
        """What diffusers' networks and their encoders alone are told of the sizes, by its names."""
        down = ["CrossAttnDownBlock2D" if attends else "DownBlock2D" for attends in self.attends]
        return {
            "in_channels": self.channels,
            "down_block_types": tuple(down),
            "block_out_channels": self.widths,
            "layers_per_block": self.blocks,
            "cross_attention_dim": self.text_width,
            "attention_head_dim": self.heads,
            "transformer_layers_per_block": self.depth,
            "norm_num_groups": self.groups,
            "use_linear_projection": self.linear,
        }

    def check(self, frames: int, height: int, width: int) -> None:
        """Raise ValueError unless height and width are multiples of the coarsest level's pixel."""
        pixel = 2 ** (len(self.widths) - 1)
        expect_multiples(("height", height, pixel), ("width", width, pixel))

    def reach(self) -> Reach:
        """Each frame depends on itself alone, unless it looks at others; on all of its pixels, by attention."""
        return Reach(frames=0 if self.looks == "own" else None, pixels=None, grid=2 ** (len(self.widths) - 1))


def expect_levels(widths: tuple[int, ...], attends: tuple[bool, ...], heads: tuple[int, ...], groups: int) -> None:
    """Raise ValueError unless there is one value of each for every level, and they fit."""
    for name, values in (("attends", attends), ("heads", heads)):
        if len(values) != len(widths):
            raise ValueError(f"{name}: expected one for each of {len(widths)} widths, got {len(values)}")
    for level, (width, count) in enumerate(zip(widths, heads, strict=True)):
        for name, step in (("groups", groups), (f"heads.{level}", count)):
            if width % step:
                near = max(1, round(width / step)) * step
                raise ValueError(f"widths.{level}: expected a multiple of {name} = {step}, got {width}; nearest {near}")
