"""The network of a `zoetrope.networks.hub_unet2d.HubUNet2DConfig`."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from zoetrope.conditioning import Conditioning, Tokens
from zoetrope.config.extras import of_diffusers
from zoetrope.diffusion.tensors import has_data
from zoetrope.layers.attention import frames_seen
from zoetrope.networks import Network
from zoetrope.networks._given import lone_frames, per_frame
from zoetrope.networks.hub_unet2d import HubUNet2DConfig
from zoetrope.shapes import expect_shape

PictureInputs = dict[str, Any]


class HubUNet2D(Network):
    """A `diffusers.UNet2DConditionModel` on the frames of a video.

    Attributes:
        null: the tokens of the empty text, (L, D).
    """

    null: Tensor

    def __init__(self, config: HubUNet2DConfig):
        super().__init__()
        self.config = config
        self.unet = unet2d(config)
        self.register_buffer("null", torch.zeros(config.null, config.text_width))

    def forward(self, z: Tensor, logsnr: Tensor, conditioning: Conditioning) -> Tensor:
        """Output like z (B, C, F, H, W) at noise level logsnr, (B,) or (B, F)."""
        return applied(self.unet, frames_of(self.config, self.null, z, logsnr, conditioning), z)

    def blocks(self) -> Iterator[nn.Module]:
        """The levels on the way down, the middle, and the levels on the way up."""
        yield from (*self.unet.down_blocks, self.unet.mid_block, *self.unet.up_blocks)


def unet2d(config: HubUNet2DConfig) -> Any:
    """The module of diffusers, of these sizes. Raises ValueError without the package."""
    up = ["CrossAttnUpBlock2D" if attends else "UpBlock2D" for attends in reversed(config.attends)]
    kind = of_diffusers("UNet2DConditionModel", "network hub_unet2d")
    unet = kind(**config.hub_sizes, out_channels=config.channels, up_block_types=tuple(up))
    if config.looks != "own":
        own = unet.attn_processors
        unet.set_attn_processor(
            {name: LooksAtFrames(each, among_pixels=".attn1." in name) for name, each in own.items()}
        )
    return unet


def frames_of(
    config: HubUNet2DConfig, null: Tensor, z: Tensor, logsnr: Tensor, conditioning: Conditioning
) -> PictureInputs:
    """The arguments of a network of pictures, one for each frame (B F, ...) of z (B, C, F, H, W).

    Raises ValueError for misshapen inputs.
    """
    expect_shape("z", z, None, config.channels, None, None, None)
    videos, frames = len(z), z.shape[2]
    expect_shape("logsnr", logsnr, *((videos,) if logsnr.ndim == 1 else (videos, frames)))
    steps = per_frame(config.timesteps.timestep(logsnr), frames)
    named: PictureInputs = {"sample": z.movedim(2, 1).flatten(0, 1), "timestep": steps.flatten().to(torch.float32)}
    named["encoder_hidden_states"] = text_of(conditioning.tokens.get("text"), null, videos, frames).to(z.dtype)
    if config.looks != "own" and frames > 1:
        images = lone_frames(conditioning.images, z)
        if images is not None and config.looks == "all":
            raise ValueError("images: expected none, for each frame looks at all others (looks = 'all')")
        named["cross_attention_kwargs"] = {"seen": frames_seen(config.looks, videos, frames, images, z.device)}
    return named


def text_of(given: Tokens | None, null: Tensor, videos: int, frames: int) -> Tensor:
    """Tokens (B F, L, D) for each frame; `null` (L, D) where no token is real.

    Texts are padded with tokens that are real to the network. Raises ValueError for a text with others, or of another
    shape than the encoder's.
    """
    if given is None:
        return null.expand(videos * frames, -1, -1)
    values, mask = given.values, given.mask
    if values.shape[-1] != null.shape[-1]:
        raise ValueError(f"text: expected width {null.shape[-1]}, got {values.shape[-1]}: another encoder?")
    known = mask.any(-1)
    if has_data(mask):
        if not bool(known.any()):
            return null.expand(videos * frames, -1, -1)
        if mask.shape[-1] != len(null) or bool((mask.all(-1) != known).any()):
            wanted = f"expected {len(null)} tokens, all real (an encoder with padded = true)"
            raise ValueError(f"text: {wanted}, got {mask.shape[-1]}, of which {int(mask.sum(-1).min())} are real")
    if mask.shape[-1] == len(null):  # in a dry run it may be another
        values = torch.where(known[..., None, None], values, null.to(values.dtype))
    if values.ndim == 3:
        values = values[:, None].expand(-1, frames, -1, -1)
    expect_shape("text", values, videos, frames, None, None)
    return values.flatten(0, 1)


def applied(unet: Any, named: Mapping[str, Any], z: Tensor) -> Tensor:
    """The output like z of a U-Net on frames."""
    made: Tensor = unet(**named, return_dict=False)[0]
    return made.unflatten(0, (len(z), z.shape[2])).movedim(1, 2).to(z.dtype)


class LooksAtFrames:
    """A processor of diffusers' attention: among pixels, keys and values come from the frames that each looks at.

    Text2Video-Zero's cross-frame attention [Khachatryan et al. 2023, arXiv:2303.13439, Sec. 3.3] for "first".
    """

    def __init__(self, processor: Any, *, among_pixels: bool):
        self.processor, self.among_pixels = processor, among_pixels

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        seen: Tensor | None = None,
    ) -> Tensor:
        """Pixels (B F, N, D) with the frames `seen` (B, F, n) by each; None: each sees itself."""
        looked = encoder_hidden_states
        if self.among_pixels and seen is not None:
            b, f = seen.shape[:2]
            frames = hidden_states.unflatten(0, (b, f))
            looked = frames[torch.arange(b, device=seen.device)[:, None, None], seen].flatten(2, 3).flatten(0, 1)
        made: Tensor = self.processor(attn, hidden_states, looked, attention_mask, temb)
        return made
