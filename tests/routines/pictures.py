"""A stage of single pictures with a network of a few thousand weights, for routines that make videos of it."""

from typing import Any

import torch
from torch import Tensor

from zoetrope.cascade.sample import Draw, stage_video
from zoetrope.cascade.spec import SamplingSpec, StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.inputs.text import text_given
from zoetrope.layers.attention import Looks
from zoetrope.networks import Network
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.shapes import VideoShape

PICTURES = VideoUNetConfig(
    text_width=6,
    embedding=16,
    head=8,
    levels=(Level(width=8), Level(width=16, spatial_attention=True, text_attention=True)),
)
SHAPE = VideoShape(frames=5, height=8, width=12, fps=4)


def stage(looks: Looks = "own", frames: int = SHAPE.frames, **sampling: Any) -> StageSpec:
    """The stage with videos of so many frames."""
    spec = SamplingSpec(**{"steps": 8, "guidance": 1.0, "threshold": "static"} | sampling)
    return StageSpec(name="base", shape=SHAPE.with_(frames=frames), network=PICTURES.looking(looks), sampling=spec)


def network_of(stage: StageSpec, scale: float = 0.25) -> Network:
    """Its network with weights that are random everywhere: the same for every choice of frames to look at."""
    network, draw = stage.network.build().eval().requires_grad_(False), torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        parameter.copy_(scale * torch.randn(parameter.shape, generator=draw))
    return network


def told(count: int = 2) -> Conditioning:
    """A text for each video."""
    return text_given(torch.randn(count, 4, 6, generator=torch.Generator().manual_seed(2)))


def made(stage: StageSpec, count: int = 2, **draw: Any) -> Tensor:
    """Videos of the stage."""
    asked = Draw(**{"seed": 3, "samples": list(range(count))} | draw)
    return stage_video(stage, network_of(stage), told(count), None, asked)
