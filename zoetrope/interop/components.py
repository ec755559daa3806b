"""What the configurations of a pipeline's components say, as our parts.

A component is described in full: each setting is one that we know, or has the value that diffusers gives it where
nothing is said.
"""

import inspect
import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from zoetrope.codecs.hub_kl import HubKL
from zoetrope.config import Config
from zoetrope.config.errors import shown
from zoetrope.config.extras import of_diffusers
from zoetrope.interop.folder import MENDED, Component, Pipeline
from zoetrope.networks.hub_controlnet import Hint
from zoetrope.networks.hub_unet2d import HubUNet2DConfig
from zoetrope.text.clip import CLIPText

UNET = "UNet2DConditionModel"
SIZES = {
    "in_channels",
    "out_channels",
    "down_block_types",
    "up_block_types",
    "block_out_channels",
    "layers_per_block",
    "cross_attention_dim",
    "attention_head_dim",
    "transformer_layers_per_block",
    "norm_num_groups",
    "use_linear_projection",
    "sample_size",
}
PRECISION = {"upcast_attention", "force_upcast", "dropout"}
"""Settings that say how to compute, not what."""
MOST_TOKENS = 77
BEFORE = re.compile(r"0\.[0-8]\.")
"""Versions of diffusers before 0.9."""


class Settings(NamedTuple):
    """A component's settings, those that are not said with the value that they have then."""

    part: Component
    values: Mapping[str, Any]

    @classmethod
    def of(cls, part: Component, kind: str, known: Collection[str]) -> "Settings":
        """Those of a component of this class. Raises ValueError for a setting beyond `known` of another value."""
        named = inspect.signature(of_diffusers(kind, "import").__init__).parameters.values()
        usual = {each.name: each.default for each in named if each.name not in ("self", "kwargs")}
        for name, value in part.config.items():
            wanted = usual.get(name)
            if not name.startswith("_") and name not in known and _plain(value) != _plain(wanted):
                raise ValueError(
                    f"{part.path}: {name}: expected {shown(wanted)}, others cannot be read, got {shown(value)}"
                )
        return cls(part, {**usual, **part.config})

    def expect(self, name: str, *legal: Any) -> None:
        """Raise ValueError unless a setting has one of these values."""
        if _plain(self.values[name]) not in [_plain(value) for value in legal]:
            wanted = " or ".join(map(shown, legal))
            raise ValueError(f"{self.part.path}: {name}: expected {wanted}, got {shown(self.values[name])}")

    def listed(self, name: str, count: int | None = None) -> list[Any]:
        """A list; with a `count`, of so many, where a single value holds for all. Raises ValueError."""
        value = self.values[name]
        if count is not None and not isinstance(value, list | tuple):
            return [value] * count
        if not isinstance(value, list | tuple) or not 1 <= len(value) <= 16:
            raise ValueError(f"{self.part.path}: {name}: expected a list of up to 16, got {shown(value)}")
        return list(value)

    def number(self, name: str) -> float:
        """A number. Raises ValueError for anything else."""
        value = self.values[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{self.part.path}: {name}: expected a number, got {shown(value)}")
        return value

    def made(self, kind: type[Config], **fields: Any) -> Any:
        """A config of these fields. Raises ValueError that names the file if they are impossible."""
        try:
            return kind.from_json(fields)
        except ValueError as error:
            raise ValueError(f"{self.part.path}: {str(error).removeprefix(f'{kind.__name__}: ')}") from None


def unet_of(pipeline: Pipeline) -> HubUNet2DConfig:
    """The U-Net. Raises ValueError for one that we cannot read."""
    told = Settings.of(pipeline.part("unet"), UNET, SIZES | PRECISION)
    told.expect("out_channels", told.values["in_channels"])
    fields = _levels(told)
    up = ["CrossAttnUpBlock2D" if attends else "UpBlock2D" for attends in reversed(fields["attends"])]
    told.expect("up_block_types", up)
    made: HubUNet2DConfig = told.made(HubUNet2DConfig, **fields)
    return made


def _levels(told: Settings) -> dict[str, Any]:
    """The fields that say the sizes of a U-Net or of a ControlNet."""
    down = told.listed("down_block_types")
    legal = ("CrossAttnDownBlock2D", "DownBlock2D")
    if wrong := [name for name in down if name not in legal]:
        wanted = " or ".join(legal)
        raise ValueError(
            f"{told.part.path}: down_block_types: expected {wanted}, others cannot be read, got {wrong[0]!r}"
        )
    return {
        "channels": told.values["in_channels"],
        "text_width": told.values["cross_attention_dim"],
        "widths": told.listed("block_out_channels"),
        "attends": [name == legal[0] for name in down],
        "heads": told.listed("attention_head_dim", len(down)),
        "blocks": told.values["layers_per_block"],
        "depth": told.values["transformer_layers_per_block"],
        "groups": told.values["norm_num_groups"],
        "linear": told.values["use_linear_projection"],
    }


def hint_of(part: Component, unet: HubUNet2DConfig, codec: HubKL, name: str) -> Hint:
    """A ControlNet for a U-Net and a codec, as the control of that name. Raises ValueError for one of others."""
    hints = {"conditioning_channels", "conditioning_embedding_out_channels"}
    told = Settings.of(part, "ControlNetModel", SIZES | PRECISION | hints)
    for field, value in _levels(told).items():
        own = getattr(unet, field)
        if _plain(own) != _plain(value):
            raise ValueError(f"{part.path}: expected a ControlNet of the pipeline's U-Net, {field} {own}, got {value}")
    told.expect("conditioning_channels", 3)
    made: Hint = told.made(Hint, name=name, widths=told.listed("conditioning_embedding_out_channels"))
    if made.factor != codec.factor:
        what = "the pixels of a latent, by as many halvings"
        raise ValueError(
            f"{part.path}: conditioning_embedding_out_channels: expected {codec.factor}, {what}, got {made.factor}"
        )
    return made


def codec_of(pipeline: Pipeline, unet: HubUNet2DConfig) -> HubKL:
    """The autoencoder of a U-Net. Raises ValueError for one that we cannot read, and for one of another U-Net."""
    own = {"latent_channels", "scaling_factor"}
    told = Settings.of(pipeline.part("vae"), "AutoencoderKL", SIZES | PRECISION | own)
    widths = told.listed("block_out_channels")
    if (count := told.values["latent_channels"]) != unet.channels:
        wanted = f"expected {unet.channels}, those of the U-Net"
        raise ValueError(f"{told.part.path}: latent_channels: {wanted}, got {shown(count)}")
    told.expect("in_channels", 3)
    told.expect("out_channels", 3)
    told.expect("down_block_types", ["DownEncoderBlock2D"] * len(widths))
    told.expect("up_block_types", ["UpDecoderBlock2D"] * len(widths))
    made: HubKL = told.made(
        HubKL,
        channels=told.values["latent_channels"],
        widths=widths,
        blocks=told.values["layers_per_block"],
        groups=told.values["norm_num_groups"],
        scaling=told.values["scaling_factor"],
    )
    return made


def text_of(pipeline: Pipeline, below: str) -> CLIPText:
    """The text encoder, with its files in the folder `below` that of the model. Raises ValueError."""
    part, words = pipeline.part("text_encoder"), pipeline.part("tokenizer", "tokenizer_config.json")
    usual: dict[str, Any] = {"hidden_size": 512, "max_position_embeddings": MOST_TOKENS, "use_attention_mask": False}
    told = Settings(part, {**usual, **part.config})
    told.expect("use_attention_mask", False, None)
    places = told.number("max_position_embeddings")
    usual = {"model_max_length": places, "padding_side": "right", "truncation_side": "right"}
    read = Settings(words, {**usual, **words.config})
    for side in ("padding_side", "truncation_side"):
        read.expect(side, "right")
    made: CLIPText = told.made(
        CLIPText,
        model=f"./{below}",
        width=told.values["hidden_size"],
        limit=min(read.number("model_max_length"), places),
        padded=True,
    )
    return made


def size_of(pipeline: Pipeline) -> tuple[int, int]:
    """Height and width of the latents that the U-Net was trained on. Raises ValueError if they are none.

    Configurations from before diffusers 0.9 may say a smaller side than 64, the one that the weights were trained on.
    """
    part = pipeline.part("unet")
    size = part.config.get("sample_size") or 64
    sizes = size if isinstance(size, list) else [size, size]
    if len(sizes) != 2 or not all(type(each) is int and 1 <= each <= 4096 for each in sizes):
        raise ValueError(f"{part.path}: sample_size: expected a height and a width up to 4096, got {shown(size)}")
    old = pipeline.kind in MENDED and BEFORE.match(str(part.config.get("_diffusers_version")))
    if old and not isinstance(size, list):
        return max(size, 64), max(size, 64)
    return sizes[0], sizes[1]


def _plain(value: Any) -> Any:
    """Lists and tuples as lists, so that they can be compared."""
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value
