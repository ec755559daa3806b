"""What the configurations of a pipeline's components say, as our parts.

A component is described in full: each setting is one that we know, or has the value that diffusers gives it where
nothing is said.
"""

import inspect
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, get_args

from zoetrope.codecs.hub_kl import HubKL
from zoetrope.config import Config
from zoetrope.config.errors import shown
from zoetrope.config.extras import of_diffusers
from zoetrope.diffusion.prediction import Prediction
from zoetrope.interop.folder import Component, Pipeline
from zoetrope.networks.hub_controlnet import Hint
from zoetrope.networks.hub_unet2d import HubUNet2DConfig
from zoetrope.samplers import Sampler
from zoetrope.samplers.ddim import DDIM
from zoetrope.schedules.discrete import Betas, Discrete, Spacing
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
SCHEDULERS = (
    "DDIMScheduler",
    "PNDMScheduler",
    "DDPMScheduler",
    "LMSDiscreteScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "HeunDiscreteScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "UniPCMultistepScheduler",
)
"""Those of one schedule, which differ in the solver."""
PREDICTIONS: dict[str, Prediction] = {"epsilon": "eps", "v_prediction": "v", "sample": "x"}
MOST_TOKENS = 77


class Rules(NamedTuple):
    """What a pipeline's scheduler says, and what of it is replaced, in words."""

    schedule: Discrete
    prediction: Prediction
    sampler: Sampler
    replaced: tuple[str, ...]


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


def rules_of(pipeline: Pipeline) -> Rules:
    """What the scheduler says. Its solver is replaced by DDIM, and evenly spaced timesteps (linspace) by leading ones.

    Raises ValueError for a schedule that we do not have.
    """
    part, solver = pipeline.part("scheduler", "scheduler_config.json"), pipeline.classes.get("scheduler", "none")
    if solver not in SCHEDULERS:
        raise ValueError(f"{part.path}: scheduler: expected one of {', '.join(SCHEDULERS)}, got {solver}")
    usual: dict[str, Any] = {"trained_betas": None, "rescale_betas_zero_snr": False, "thresholding": False}
    usual |= {
        "prediction_type": "epsilon",
        "set_alpha_to_one": solver != "PNDMScheduler",
    }
    named = inspect.signature(of_diffusers(solver, "import").__init__).parameters
    for name in ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule"):
        usual[name] = named[name].default
    usual["timestep_spacing"] = named["timestep_spacing"].default if "timestep_spacing" in named else "linspace"
    told = Settings(part, {**usual, **part.config})
    for name in ("trained_betas", "rescale_betas_zero_snr", "thresholding"):
        told.expect(name, usual[name])
    told.expect("beta_schedule", *get_args(Betas))
    told.expect("prediction_type", *PREDICTIONS)
    told.expect("timestep_spacing", *get_args(Spacing), "linspace")
    even = told.values["timestep_spacing"] == "linspace"
    schedule: Discrete = told.made(
        Discrete,
        betas=told.values["beta_schedule"],
        first=told.values["beta_start"],
        last=told.values["beta_end"],
        count=told.values["num_train_timesteps"],
        spacing="leading" if even else told.values["timestep_spacing"],
    )
    sampler = DDIM(sample="x_hat" if told.values["set_alpha_to_one"] else "z")
    replaced = [f"{solver} is replaced by DDIM, on the same schedule"] if solver != "DDIMScheduler" else []
    replaced += ["timesteps spaced evenly (linspace) are replaced by leading ones"] if even else []
    return Rules(schedule, PREDICTIONS[told.values["prediction_type"]], sampler, tuple(replaced))


def text_of(pipeline: Pipeline, below: str) -> CLIPText:
    """The text encoder, with its files in the folder `below` that of the model. Raises ValueError."""
    told = Settings(pipeline.part("text_encoder"), pipeline.part("text_encoder").config)
    words = pipeline.part("tokenizer", "tokenizer_config.json").config
    places = told.values.get("max_position_embeddings", MOST_TOKENS)
    limit = words.get("model_max_length", places)
    made: CLIPText = told.made(
        CLIPText,
        model=f"./{below}",
        width=told.values.get("hidden_size", 512),
        limit=min(limit, places) if isinstance(limit, int | float) and isinstance(places, int) else limit,
        padded=True,
    )
    return made


def size_of(pipeline: Pipeline) -> tuple[int, int]:
    """Height and width of the latents that the U-Net was trained on. Raises ValueError if they are none."""
    part = pipeline.part("unet")
    size = part.config.get("sample_size") or 64
    sizes = size if isinstance(size, list) else [size, size]
    if len(sizes) != 2 or not all(isinstance(each, int) and 1 <= each <= 4096 for each in sizes):
        raise ValueError(f"{part.path}: sample_size: expected a height and a width up to 4096, got {shown(size)}")
    return sizes[0], sizes[1]


def _plain(value: Any) -> Any:
    """Lists and tuples as lists, so that they can be compared."""
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value
