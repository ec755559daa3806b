"""What is compared between a GPU and the CPU: networks with all their options, and stages sampled in all ways."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from zoetrope.cascade.execution.layout import Layout
from zoetrope.cascade.execution.tiles import tiles_of
from zoetrope.cascade.spec import SamplingSpec, StageSpec
from zoetrope.cascade.windows import Windows
from zoetrope.codecs.autoencoder import Autoencoder
from zoetrope.conditioning import Conditioning, Tokens
from zoetrope.guidance import Guidance
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.inputs.picture import Picture
from zoetrope.inputs.text import Text
from zoetrope.known import Known, Method
from zoetrope.networks import NetworkConfig, SizedInput
from zoetrope.networks.controlled import Control, ControlledConfig
from zoetrope.networks.dit import DiTConfig
from zoetrope.networks.patch_critic import PatchCriticConfig
from zoetrope.networks.reconstruction import ReconstructionConfig
from zoetrope.networks.towers import TowersConfig
from zoetrope.networks.vector import VectorConfig
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.pictures.small import SmallPictures
from zoetrope.samplers import Sampler
from zoetrope.schedules import Schedule
from zoetrope.shapes import VideoShape

TEXT, TOKENS, FRAMES, SIDE = 32, 8, 4, 16
SHAPE = VideoShape(frames=FRAMES, height=SIDE, width=SIDE, fps=4)
SMALL = VideoShape(frames=FRAMES, height=SIDE // 2, width=SIDE // 2, fps=4)


class Sampled(NamedTuple):
    """A stage, the known frames, the layout (None: as planned) and how many videos are sampled."""

    stage: StageSpec
    known: Known | None = None
    layout: Layout | None = None
    count: int = 2


unet = partial(VideoUNetConfig, text_width=TEXT, embedding=32, head=16)
dit = partial(DiTConfig, text_width=TEXT, patch=(1, 4, 4), width=32, depth=2, head=16)
CONTROLS = (Control(name="edges"), Control(name="luma", channels=2, width=16))
INPUTS: dict[str, Any] = {
    "numbers": ("ef",),
    "labels": (SizedInput(name="view", size=3),),
    "actions": (SizedInput(name="keys", size=2),),
    "aligned": (SizedInput(name="land", size=2),),
}


def levels(*fine: str, coarse: Sequence[str] = ("attention",), **fields: Any) -> tuple[Level, ...]:
    """Two levels: the fine one convolves, the coarse one attends to space and text, and has the fields."""
    attends = Level(width=32, spatial_attention=True, text_attention=True, temporal=tuple(coarse), **fields)
    return Level(width=16, temporal=fine), attends


FULLY = (Level(width=16, temporal="convolution"), Level(width=32, text_attention=True, temporal="convolution"))
NETWORKS: dict[str, NetworkConfig] = {
    "video_unet": unet(levels=levels("convolution")),
    "video_unet, positions, patch 2": unet(levels=levels("attention"), positions=True, fps=4.0, patch=2),
    "video_unet, relative network": unet(levels=levels(), relative="network"),
    "video_unet, looks first": unet(levels=levels(looks="first")),
    "video_unet, looks first_and_previous": unet(levels=levels(looks="first_and_previous")),
    "video_unet, looks all": unet(levels=levels(looks="all")),
    "video_unet, pseudo_3d": unet(levels=levels("pseudo_3d", coarse=("pseudo_3d", "attention"))),
    "video_unet, join mix": unet(levels=levels("convolution", join="mix")),
    "video_unet, every 2": unet(levels=levels("convolution", every=2)),
    "video_unet, anchored": unet(levels=FULLY, low_res=True, anchored=True),
    "video_unet, region": unet(levels=levels(), region=True),
    "video_unet, guided": unet(levels=levels(), guided=True),
    "video_unet, picture, rate": unet(levels=levels(), picture_width=SmallPictures().width, rate=True),
    "video_unet, number, label, action, map": unet(levels=levels(), **INPUTS),
    "video_unet, checkpointing": unet(levels=levels("convolution"), checkpointing=True),
    "video_unet, no text": unet(levels=(Level(width=16, temporal=("convolution", "attention")),), text_width=None),
    "dit, factorised": dit(attention="factorised"),
    "dit, full": dit(attention="full"),
    "dit, causal": dit(causal=True),
    "dit, shared maps, patches of 2 frames": dit(modulation="shared", patch=(2, 4, 4)),
    "dit, anchored": dit(low_res=True, anchored=True),
    "dit, guided, picture, rate": dit(guided=True, picture_width=SmallPictures().width, rate=True),
    "dit, number, label, action, map": dit(causal=True, **INPUTS),
    "dit, checkpointing": dit(checkpointing=True),
    "vector": VectorConfig(channels=16, text_width=TEXT, width=32, depth=2),
    "towers": TowersConfig(text_width=TEXT, width=16),
    "controlled": ControlledConfig(network=unet(levels=levels("convolution")), controls=CONTROLS, adaptive=True),
    "reconstruction": ReconstructionConfig(codec=Autoencoder(width=16, blocks=1)),
    "reconstruction, temporal": ReconstructionConfig(codec=Autoencoder(width=16, blocks=1, temporal=True)),
    "patch_critic": PatchCriticConfig(width=16),
    "patch_critic, temporal": PatchCriticConfig(width=16, temporal=True),
}
LEFT_OUT = ("hub_controlnet", "hub_svd", "hub_unet2d", "mobilenet_v2")
"""Networks that are not compared: those of measures and of other libraries."""


def narrow(stage: StageSpec) -> StageSpec:
    """The stage with a U-Net that is a few channels wide and a few blocks deep, for a rehearsal."""
    network = stage.network
    assert isinstance(network, VideoUNetConfig)
    few = tuple(level.with_(width=32, blocks=1) for level in network.levels)
    return stage.with_(network=network.with_(levels=few, embedding=32))


def z_of(config: NetworkConfig, count: int, draw: torch.Generator, frames: int = FRAMES, side: int = SIDE) -> Tensor:
    """Noise (B, C, F, H, W) of a size that suits the network."""
    sizes = (1, 1, 1) if config.vectors else (1, 2 * side, 2 * side) if not config.denoises else (frames, side, side)
    return torch.randn(count, config.channels, *sizes, generator=draw)


def given(config: NetworkConfig, z: Tensor, draw: torch.Generator) -> Conditioning:
    """Random values of all that the network is told, some text unseen."""
    count, reads = len(z), config.reads
    told = Conditioning()
    if "text" in reads:
        mask = torch.ones(count, TOKENS, dtype=torch.bool)
        mask[-1, TOKENS // 2 :] = False
        told |= Conditioning(
            tokens={"text": Tokens(torch.randn(count, TOKENS, config.text_width or 0, generator=draw), mask)}
        )
    if "picture" in reads:
        picture = Tokens.real(torch.randn(count, 1, config.picture_width or 0, generator=draw))
        told |= Conditioning(tokens={"picture": picture})
    if "low_res" in reads:
        told |= Conditioning(
            maps={"low_res": torch.randn(z.shape, generator=draw)}, numbers={"low_res_logsnr": torch.zeros(count)}
        )
    if "region" in reads:
        mask = (torch.rand(count, 1, *z.shape[2:], generator=draw) < 0.5).float()
        told |= Conditioning(maps={"region": mask * torch.randn(z.shape, generator=draw), "region_mask": mask})
    if "fps" in reads:
        told |= Conditioning(numbers={"fps": torch.tensor([3.0, float("nan")])[:count]})
    if config.guided:
        told |= Conditioning(numbers={"guidance": torch.linspace(0, 4, count)})
    for name in config.numbers:
        told |= Conditioning(numbers={name: torch.tensor([0.4, float("nan")])[:count]})
    for label in config.labels:
        told |= Conditioning(numbers={label.name: torch.arange(float(count)) % label.size})
    for action in config.actions:
        values = torch.randn(count, z.shape[2], 1, action.size, generator=draw)
        told |= Conditioning(tokens={action.name: Tokens.real(values)})
    if isinstance(config, ControlledConfig):
        told |= Conditioning(numbers={f"{name}_scale": torch.tensor([1.0, 0.5])[:count] for name in maps_of(config)})
    for name, channels in maps_of(config).items():
        told |= Conditioning(maps={name: torch.rand(count, channels, *z.shape[2:], generator=draw)})
    return told


def maps_of(config: NetworkConfig) -> dict[str, int]:
    """The channels of aligned maps, with that of what is known, and of controls."""
    if isinstance(config, ControlledConfig):
        return {control.name: control.channels for control in config.controls}
    aligned = config.aligned if isinstance(config, VideoUNetConfig | DiTConfig) else ()
    return {one.name: one.size + 1 for one in aligned}


def stage(network: NetworkConfig | None = None, shape: VideoShape = SHAPE, **fields: Any) -> StageSpec:
    """A stage with a small network, or the one given, sampled as the fields say."""
    network = network or unet(levels=levels("convolution"))
    source = SMALL if network.low_res else None
    inputs = [*usual_inputs(source, logsnr=1.0), *([Picture()] if network.picture_width is not None else [])]
    if network.text_width is None:
        inputs = [each for each in inputs if not isinstance(each, Text)]
    sampling = SamplingSpec(**{"steps": 4, "guidance": 2.0} | fields)
    return StageSpec(name="stage", shape=shape, inputs=tuple(inputs), network=network, sampling=sampling)


def stages() -> dict[str, Sampled]:
    """Everything that is sampled, by name."""
    fully = unet(levels=FULLY, low_res=True)
    frames = torch.tensor([True] + [False] * (FRAMES - 1))
    known = Known(frames, torch.rand(2, 3, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(3)) * 2 - 1)
    picture = unet(levels=levels(), picture_width=SmallPictures().width)
    found: dict[str, Sampled] = {}
    for sampler in Sampler.every():
        found[f"sampler {sampler.kind()}"] = Sampled(stage(sampler=sampler()))
    for guidance in Guidance.every():
        own = picture if guidance.kind() == "picture" else None
        found[f"guidance {guidance.kind()}"] = Sampled(stage(own, guidance=guidance()))
    for schedule in Schedule.every():
        found[f"schedule {schedule.kind()}"] = Sampled(stage().with_(schedule=schedule()))
    for prediction in ("x", "eps", "v", "flow"):
        found[f"prediction {prediction}"] = Sampled(stage().with_(prediction=prediction))
    for threshold in ("static", 0.9, None):
        found[f"threshold {threshold}"] = Sampled(stage(threshold=threshold, sampler="ancestral"))
    for method in Method.every():
        found[f"known {method.kind()}"] = Sampled(stage(known=method()), known)
    for name, layout in (
        ("at once", None),
        ("a frame at a time", Layout([*whole()], part=1)),
        ("two frames, maps made anew", Layout([*whole()], part=2, keep=False)),
        ("tiles", Layout([*tiles_of(SHAPE, (FRAMES, SIDE // 2, SIDE), fully.reach())])),
        ("one by one", Layout([*whole()], one_at_a_time=True)),
    ):
        found[f"layout {name}"] = Sampled(stage(fully, threshold=0.9, sampler="ancestral"), layout=layout)
    found["windows"] = Sampled(stage(windows=Windows(frames=2, overlap=1)))
    found["shared noise"] = Sampled(stage(shared_noise=True))
    return found


def whole() -> Sequence[Any]:
    """The one tile that is the whole video."""
    return tiles_of(SHAPE, SHAPE.sizes, unet(levels=FULLY).reach())
