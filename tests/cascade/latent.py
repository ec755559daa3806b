"""A cascade whose base makes latents, with a stage of pixels after it: a few thousand weights."""

from pathlib import Path

import torch

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.codecs import CodecNetwork, save_codec
from zoetrope.codecs.autoencoder import Autoencoder
from zoetrope.data.latents import Latents
from zoetrope.data.toybox import Toybox
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.networks import Network
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.shapes import VideoShape
from zoetrope.text.words import Words
from zoetrope.training.spec import Phase, Recipe, TrainSpec

CODEC = Autoencoder(f=2, channels=2, width=4, blocks=1)
Z = VideoShape(frames=2, height=4, width=6, fps=3)
MADE = Z.with_(height=8, width=12)
LARGE = Z.with_(height=16, width=24)
SAMPLING = SamplingSpec(steps=2, threshold=None)


def network(channels: int, low_res: bool) -> VideoUNetConfig:
    """A tiny network."""
    levels = (Level(width=8, text_attention=True, temporal="convolution"),)
    return VideoUNetConfig(channels=channels, low_res=low_res, text_width=8, embedding=16, head=8, levels=levels)


BASE = StageSpec(name="base", shape=Z, network=network(2, False), codec=CODEC, sampling=SAMPLING)
SSR = StageSpec(
    name="ssr1", shape=LARGE, inputs=usual_inputs(MADE), network=network(3, True), sampling=SamplingSpec(steps=2)
)
SPEC = CascadeSpec(name="latent", text=Words(width=8, limit=16), stages=(BASE, SSR))


def codec(seed: int = 0, codec: Autoencoder = CODEC) -> CodecNetwork:
    """A codec with random weights, also where a fresh one has zeros, and some scale."""
    torch.manual_seed(seed)
    made = codec.build()
    for weight in made.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    made.scale.fill_(1.5)
    return made.eval().requires_grad_(False)


def random_network(stage: StageSpec) -> Network:
    """A stage's network with random weights, also where a fresh one has zeros."""
    torch.manual_seed(1)
    made = stage.network.build()
    for weight in made.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    return made.eval().requires_grad_(False)


def recipe(folder: Path) -> Recipe:
    """The base's training on the latents of a codec that is written into the folder, if it is not there."""
    if not folder.exists():
        save_codec(codec(), folder)
    data = Latents(source=Toybox(scripts=3), codec=str(folder))
    spec = TrainSpec(
        data=data,
        phases=(Phase(examples=24, batch=4, peak=1e-3),),
        warm_up=0,
        weight="v",
        precision="fp32",
        sample_every=16,
        log_every=8,
        checkpoint_every=16,
    )
    return Recipe(name="latent", cascade=SPEC, training={"base": spec})
