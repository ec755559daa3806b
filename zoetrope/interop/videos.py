"""Pipelines of Stable Video Diffusion as models of one stage, from a picture to a video."""

import inspect
import shutil
from pathlib import Path
from typing import Any

import torch

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.codecs import FOLDER as CODEC
from zoetrope.codecs import save_codec
from zoetrope.codecs.hub_temporal_kl import HubTemporalKL
from zoetrope.config.errors import shown
from zoetrope.config.extras import of_diffusers
from zoetrope.guidance.over_frames import OverFrames
from zoetrope.inputs.first_frame import FirstFrame
from zoetrope.inputs.fps import FrameRate
from zoetrope.inputs.number import Number
from zoetrope.inputs.picture import Picture
from zoetrope.interop.components import PRECISION, Settings, size_of
from zoetrope.interop.folder import CONFIG, Pipeline
from zoetrope.interop.tensors import filled, weights_in
from zoetrope.layers.bare import bare
from zoetrope.models.folder import WEIGHTS, describe, expect_readable
from zoetrope.models.weights import write_weights
from zoetrope.networks.hub_svd import BUCKET, MOST, HubSVDConfig
from zoetrope.pictures.hub_clip import HubCLIPPictures
from zoetrope.pretrained import located
from zoetrope.samplers.ddim import DDIM
from zoetrope.schedules.karras import Karras
from zoetrope.shapes import VideoShape

STAGE, PICTURES, PICTURE_WEIGHTS = "base", "pictures", "model"
STEPS, FPS, GUIDANCE, NOISE = 25, 7.0, (0.0, 2.0), 0.02
"""Of the pipeline, whose guidance scale 1 + w rises from 1 to 3."""
SAMPLE, TRAINED = 96, (72, 128)
"""The `sample_size` of the published models, and the height and width of the latents that they were trained on."""
UNET = {
    "sample_size",
    "in_channels",
    "out_channels",
    "down_block_types",
    "up_block_types",
    "block_out_channels",
    "addition_time_embed_dim",
    "projection_class_embeddings_input_dim",
    "layers_per_block",
    "cross_attention_dim",
    "transformer_layers_per_block",
    "num_attention_heads",
    "num_frames",
}
VAE = {"down_block_types", "block_out_channels", "layers_per_block", "latent_channels", "sample_size", "scaling_factor"}
SOLVER = "EulerDiscreteScheduler"
BY_SIGMA = {"use_karras_sigmas": True, "timestep_type": "continuous", "prediction_type": "v_prediction"}
"""What its schedule must say, so that it is EDM's."""


def video_spec(pipeline: Pipeline) -> CascadeSpec:
    """The description of a pipeline as a model. Raises ValueError for what cannot be read."""
    codec, part = video_codec_of(pipeline), pipeline.part("unet")
    unet = video_unet_of(pipeline, codec)
    encoder = pictures_of(pipeline, unet)
    height, width = size_of(pipeline)
    if (height, width) == (SAMPLE, SAMPLE):
        height, width = TRAINED
    frames = part.config.get("num_frames", 25)
    if not isinstance(frames, int) or not 1 <= frames <= 4096:
        raise ValueError(f"{part.path}: num_frames: expected a number up to 4096, got {shown(frames)}")
    first, last = GUIDANCE
    stage = StageSpec(
        name=STAGE,
        shape=VideoShape(frames=frames, height=height, width=width, fps=FPS),
        inputs=(
            Picture(encoder=encoder),
            FirstFrame(sigma=NOISE, noised="pixels"),
            FrameRate(),
            Number(told=BUCKET, lo=0.0, hi=MOST),
        ),
        network=unet,
        codec=codec,
        sampling=SamplingSpec(sampler=DDIM(), steps=STEPS, guidance=OverFrames(first=first, last=last), threshold=None),
        schedule=video_schedule_of(pipeline),
        prediction="v",
    )
    spec = CascadeSpec(name=pipeline.name[:200], stages=(stage,))
    expect_readable(spec)
    return spec


def video_unet_of(pipeline: Pipeline, codec: HubTemporalKL) -> HubSVDConfig:
    """The U-Net of a codec's latents. Raises ValueError for one that we cannot read."""
    told = Settings.of(pipeline.part("unet"), "UNetSpatioTemporalConditionModel", UNET | PRECISION)
    told.expect("out_channels", codec.channels)
    told.expect("in_channels", 2 * codec.channels)
    down = told.listed("down_block_types")
    attending, plain = "CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"
    if wrong := [name for name in down if name not in (attending, plain)]:
        raise ValueError(
            f"{told.part.path}: down_block_types: expected {attending} or {plain}, others cannot be read, got "
            f"{wrong[0]!r}"
        )
    numbers = told.values["addition_time_embed_dim"]
    made: HubSVDConfig = told.made(
        HubSVDConfig,
        channels=codec.channels,
        picture_width=told.values["cross_attention_dim"],
        widths=told.listed("block_out_channels"),
        attends=[name == attending for name in down],
        heads=told.listed("num_attention_heads", len(down)),
        blocks=told.values["layers_per_block"],
        depth=told.values["transformer_layers_per_block"],
        told=numbers,
        scaling=codec.scaling,
    )
    told.expect("up_block_types", made.hub_sizes["up_block_types"])
    told.expect("projection_class_embeddings_input_dim", 3 * made.told)
    return made


def video_codec_of(pipeline: Pipeline) -> HubTemporalKL:
    """The autoencoder. Raises ValueError for one that we cannot read."""
    told = Settings.of(pipeline.part("vae"), "AutoencoderKLTemporalDecoder", VAE | PRECISION)
    widths = told.listed("block_out_channels")
    told.expect("down_block_types", ["DownEncoderBlock2D"] * len(widths))
    made: HubTemporalKL = told.made(
        HubTemporalKL,
        channels=told.values["latent_channels"],
        widths=widths,
        blocks=told.values["layers_per_block"],
        scaling=told.values["scaling_factor"],
    )
    return made


def video_schedule_of(pipeline: Pipeline) -> Karras:
    """The schedule, EDM's. Raises ValueError for another one."""
    part, solver = pipeline.part("scheduler", "scheduler_config.json"), pipeline.classes.get("scheduler", "none")
    if solver != SOLVER:
        raise ValueError(f"{part.path}: scheduler: expected {SOLVER}, got {solver}")
    named = inspect.signature(of_diffusers(SOLVER, "import").__init__).parameters.values()
    usual = {each.name: each.default for each in named if each.name not in ("self", "kwargs")}
    told = Settings(part, {**usual, **part.config})
    for name, value in BY_SIGMA.items():
        told.expect(name, value)
    for name in ("rescale_betas_zero_snr", "use_exponential_sigmas", "use_beta_sigmas", "final_sigmas_type"):
        told.expect(name, usual[name])
    made: Karras = told.made(
        Karras, sigma_min=told.values["sigma_min"], sigma_max=told.values["sigma_max"], reaches_least=True
    )
    return made


def pictures_of(pipeline: Pipeline, unet: HubSVDConfig) -> HubCLIPPictures:
    """The encoder of pictures, with its files in the model's folder. Raises ValueError."""
    part, seen = pipeline.part("image_encoder"), pipeline.part("feature_extractor", "preprocessor_config.json")
    told, prepared = Settings(part, {"projection_dim": 512, "image_size": 224, **part.config}), Settings(
        seen, {"image_mean": HubCLIPPictures().mean, "image_std": HubCLIPPictures().deviation, **seen.config}
    )  # fmt: skip
    told.expect("projection_dim", unet.picture_width)
    # The pipeline resizes pictures to 224, whatever the encoder's own size is.
    told.expect("image_size", HubCLIPPictures().pixels)
    made: HubCLIPPictures = told.made(
        HubCLIPPictures,
        model=f"./{PICTURES}",
        width=unet.picture_width,
        mean=prepared.listed("image_mean"),
        deviation=prepared.listed("image_std"),
    )
    return made


def write_video_model(pipeline: Pipeline, spec: CascadeSpec, folder: Path) -> None:
    """Write the model of a pipeline into a new folder. Raises ValueError for weights that are missing or damaged."""
    files = {name: weights_in(pipeline.part(name)) for name in ("unet", "vae")}
    encoder = pipeline.part("image_encoder")
    own, below = weights_in(encoder, PICTURE_WEIGHTS), folder / PICTURES
    below.mkdir()
    shutil.copyfile(encoder.inside(CONFIG), below / CONFIG)
    shutil.copyfile(own, below / f"{PICTURE_WEIGHTS}.safetensors")
    [stage] = spec.stages
    _expect_sees(stage, folder)
    network: Any = stage.network.bare()
    filled(network.unet, files["unet"])
    (folder / STAGE).mkdir()
    write_weights(network, folder / STAGE / WEIGHTS, dtype=None)
    save_codec(_codec(stage.codec, files["vae"]), folder / CODEC)
    describe(folder, spec, _card(pipeline, stage))


def _expect_sees(stage: StageSpec, folder: Path) -> None:
    """Raise ValueError unless the encoder of pictures in a model's folder can be read, and gives finite embeddings."""
    given: Any = stage.input("picture")
    encoder = given.encoder.renamed(lambda model: located(model, folder))
    with torch.no_grad():
        made = encoder.load()(torch.zeros(1, 3, *encoder.size))
    if not made.isfinite().all():
        raise ValueError(f"{folder / PICTURES}: expected weights that give finite embeddings, got NaN or infinity")


def _codec(codec: Any, file: Path) -> Any:
    with bare():
        network: Any = codec.build()
    filled(network.vae, file)
    network.scale = torch.tensor(codec.scaling)
    return network


def _card(pipeline: Pipeline, stage: StageSpec) -> str:
    """The README.md of the model."""
    made = stage.made
    lines = [
        f"# {pipeline.name}",
        "",
        f"A picture to a video of {made.frames} frames of {made.width}x{made.height}, imported by `zoetrope import`",
        f"from `{pipeline.name}`, a {pipeline.kind} of diffusers. The weights are the same, and so is their licence:",
        "see where they come from.",
        "",
        "- `--picture FILE`: the picture that the video begins with",
        f"- `--given {BUCKET}=127`: how much moves, from 0 to {MOST:g}",
        "- `--given fps=7`: frames a second that the video is told to have",
    ]
    return "\n".join(lines) + "\n"
