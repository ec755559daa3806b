"""The network of a `zoetrope.networks.hub_controlnet.HubControlNetConfig`."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle

from zoetrope.conditioning import Conditioning
from zoetrope.config.extras import of_diffusers
from zoetrope.networks import Network
from zoetrope.networks._given import number, per_frame, videos_given
from zoetrope.networks._hub_unet2d import applied, frames_of, unet2d
from zoetrope.networks.hub_controlnet import Hint, HubControlNetConfig
from zoetrope.networks.hub_unet2d import HubUNet2DConfig
from zoetrope.shapes import expect_shape


class HubControlNet(Network):
    """A `diffusers.UNet2DConditionModel` with several `diffusers.ControlNetModel`, on the frames of a video.

    Attributes:
        null: the tokens of the empty text, (L, D).
    """

    null: Tensor

    def __init__(self, config: HubControlNetConfig):
        super().__init__()
        self.config = config
        self.unet = unet2d(config.unet)
        self.register_buffer("null", torch.zeros(config.unet.null, config.text_width))
        self.controls = nn.ModuleDict({hint.name: controlnet(config.unet, hint) for hint in config.hints})

    def forward(self, z: Tensor, logsnr: Tensor, conditioning: Conditioning) -> Tensor:
        """Output like z (B, C, F, H, W) at noise level logsnr, (B,) or (B, F).

        Each control needs its pictures, in [0, 1], as a map on z's grid (B, C' f^2, F, H, W): the f x f pixels of a
        latent are its channels, see `torch.nn.functional.pixel_unshuffle`. And in the numbers its scale,
        "<name>_scale", (B,) or (B, F): 1 is as in training, and 0 is without it. Raises ValueError for missing or
        misshapen ones.
        """
        named = frames_of(self.config.unet, self.null, z, logsnr, conditioning)
        looks, added = named.pop("cross_attention_kwargs", None), list[list[Tensor]]()
        for hint in self.config.hints:
            control: Any = self.controls[hint.name]
            down, middle = control(**named, controlnet_cond=pictures_of(hint, z, conditioning), return_dict=False)
            scale = scale_of(hint, z, conditioning)
            added.append([scale * feature for feature in (*down, middle)])
        *down, middle = [sum(features[1:], features[0]) for features in zip(*added, strict=True)]
        named |= {"down_block_additional_residuals": tuple(down), "mid_block_additional_residual": middle}
        return applied(self.unet, {**named, "cross_attention_kwargs": looks}, z)

    def blocks(self) -> Iterator[nn.Module]:
        """The levels of each control and its middle, then those of the U-Net."""
        for network in (*self.controls.values(), self.unet):
            parts: Any = network
            yield from (*parts.down_blocks, parts.mid_block)
        yield from self.unet.up_blocks


def controlnet(config: HubUNet2DConfig, hint: Hint) -> Any:
    """The module of diffusers for a U-Net of these sizes. Raises ValueError without the package."""
    return of_diffusers("ControlNetModel", "network hub_controlnet")(
        **config.hub_sizes, conditioning_channels=hint.channels, conditioning_embedding_out_channels=hint.widths
    )


def pictures_of(hint: Hint, z: Tensor, conditioning: Conditioning) -> Tensor:
    """The pictures (B F, C', f H, f W) that a control reads. Raises ValueError if they are missing or misshapen."""
    _, map_ = videos_given(z, conditioning.maps, {hint.name: hint.channels * hint.factor**2})
    return pixel_shuffle(map_.movedim(2, 1).flatten(0, 1), hint.factor)


def scale_of(hint: Hint, z: Tensor, conditioning: Conditioning) -> Tensor:
    """How strongly a control acts on each frame, (B F, 1, 1, 1). Raises ValueError if it is missing or misshapen."""
    name = f"{hint.name}_scale"
    values = number(conditioning, name, f"the strength of {hint.name}")
    expect_shape(f"numbers[{name!r}]", values, *((len(z),) if values.ndim == 1 else (len(z), z.shape[2])))
    return per_frame(values, z.shape[2]).reshape(-1, 1, 1, 1).to(z.dtype)
