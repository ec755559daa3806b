"""Stable Diffusion's U-Net with ControlNets, as the library diffusers has them [Zhang et al. 2023, arXiv:2302.05543].

Weights come from a pipeline, see `zoetrope.interop`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from zoetrope.config import Config
from zoetrope.layers.attention import Looks
from zoetrope.networks import NetworkConfig, Reach, Width
from zoetrope.networks.hub_unet2d import HubUNet2DConfig

if TYPE_CHECKING:
    from zoetrope.networks import Network


class Hint(Config):
    """One ControlNet.

    Attributes:
        name: of the input that gives its pictures.
        channels: of these pictures.
        widths: features of the layers that encode them, from pixels to latents; each but the last halves their height
            and width.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)] = "hint"
    channels: Annotated[int, Field(ge=1, le=64)] = 3
    widths: Annotated[tuple[Width, ...], Field(min_length=1, max_length=6)] = (16, 32, 96, 256)

    @property
    def factor(self) -> int:
        """Pixels of a picture per latent, along height and along width."""
        return int(2 ** (len(self.widths) - 1))


class HubControlNetConfig(NetworkConfig):
    """A U-Net of pictures and its ControlNets, `diffusers.ControlNetModel`, each as large as half of the U-Net.

    The fields that every network has are those of the U-Net. Needs the package diffusers (extra `diffusers`).

    Attributes:
        unet: the U-Net.
        hints: what controls it; several add up.
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
    unet: HubUNet2DConfig = HubUNet2DConfig()
    hints: Annotated[tuple[Hint, ...], Field(min_length=1, max_length=8)] = (Hint(),)

    @model_validator(mode="before")
    @classmethod
    def _shared(cls, value: Any) -> Any:
        """Take the fields that every network has from the U-Net, where they are not given."""
        unet = value.get("unet") if isinstance(value, Mapping) else None
        if isinstance(unet, Mapping):
            unet = HubUNet2DConfig.model_validate(unet)
        if not isinstance(unet, HubUNet2DConfig):
            return value
        return {"channels": unet.channels, "text_width": unet.text_width, **value, "unet": unet}

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for name in ("channels", "text_width"):
            if (own := getattr(self, name)) != (wanted := getattr(self.unet, name)):
                raise ValueError(f"{name}: expected {wanted}, that of its U-Net, got {own}")
        names = [hint.name for hint in self.hints]
        if len({*names}) < len(names):
            raise ValueError(f"hints: expected different names, got {names}")
        if taken := {*names} & self.unet.reads:
            raise ValueError(f"hints: expected names of other inputs than the U-Net's, got {sorted(taken)[0]!r}")
        return self

    @property
    def reads(self) -> set[str]:
        """See `NetworkConfig`."""
        return self.unet.reads | {hint.name for hint in self.hints}

    @property
    def takes_packs(self) -> bool:
        """See `NetworkConfig`."""
        return self.unet.takes_packs

    def looking(self, looks: Looks) -> "HubControlNetConfig":
        """See `NetworkConfig.looking`: attention in the U-Net looks at these frames, in the ControlNets at its own."""
        return self.with_(unet=self.unet.looking(looks))

    def build(self) -> "Network":
        """The network with fresh weights. Raises ValueError without the package diffusers."""
        from zoetrope.networks._hub_controlnet import HubControlNet

        return HubControlNet(self)

    def check(self, frames: int, height: int, width: int) -> None:
        """Raise ValueError for a size that the U-Net cannot process."""
        self.unet.check(frames, height, width)

    def reach(self) -> Reach:
        """That of the U-Net."""
        return self.unet.reach()
