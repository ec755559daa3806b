"""How a network begins beside the one whose weights it took, measured."""

from typing import Any

import pytest
import torch

from zoetrope.cascade.spec import Distilled, StageSpec
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.networks import NetworkConfig
from zoetrope.networks.dit import DiTConfig
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.shapes import VideoShape
from zoetrope.training.inflation import SILENT, BeginsAs, beginning_of, other_size

STILL = (Level(width=8), Level(width=16, spatial_attention=True, text_attention=True))
SMALL = VideoShape(frames=8, height=8, width=16, fps=4)
LARGE = VideoShape(frames=8, height=16, width=32, fps=4)


def begun(config: VideoUNetConfig, *unknown: str, **own: Any) -> BeginsAs:
    """How a stage of this network begins with random weights of an image network that lacks what is called so."""
    image = config.framewise()
    taken = {name for name in image.bare().state_dict() if not name.startswith(unknown or ("none of them",))}
    torch.manual_seed(0)
    still, network = image.build(), config.build()
    for name, weight in still.named_parameters():
        if not name.startswith("frame_position"):
            torch.nn.init.normal_(weight, std=0.3)
    network.load_state_dict({name: value for name, value in still.state_dict().items() if name in taken}, strict=False)
    source = SMALL if config.low_res else None
    shape = LARGE if config.low_res else SMALL
    stage = StageSpec(name="base", shape=shape, inputs=usual_inputs(source), network=config, **own)
    made = beginning_of(network, config, stage, network.state_dict().keys() - taken)
    assert made is not None
    return made


def config(**fields: Any) -> VideoUNetConfig:
    changes = ({"temporal": ("convolution",)}, {"temporal": ("pseudo_3d", "attention")})
    levels = tuple(level.with_(**change) for level, change in zip(STILL, changes, strict=True))
    return VideoUNetConfig(**{"text_width": 8, "embedding": 16, "head": 8, "levels": levels} | fields)


@pytest.mark.parametrize("fields", [{}, {"low_res": True, "anchored": True}, {"positions": True, "patch": 2}])
def test_it_begins_equal(fields: dict[str, Any]) -> None:
    assert begun(config(**fields)) == BeginsAs(every=1, distance=0.0)


def test_it_begins_equal_though_it_is_told_more() -> None:
    """What an image network does not have and what begins at zero: positions, the weight of guidance."""
    assert begun(config(positions=True), "frame_position", "pixel_positions").near
    guided = {"distilled": Distilled(steps=4, weights=(0.0, 3.0))}
    assert begun(config(guided=True), "guidance", **guided) == BeginsAs(every=1, distance=0.0)


def test_it_is_seen_that_it_begins_otherwise() -> None:
    looking = config(levels=(STILL[0], STILL[1].with_(looks="first")))
    for made in (begun(looking), begun(config(), "text_pool")):  # pooled text has no zero at its end
        assert not made.near and "begins otherwise than the image network's" in made.told()
    assert not BeginsAs(every=2, distance=float("nan")).near
    assert BeginsAs(every=4, distance=1e-7).told() == (
        "frames 0, 4, 8 and so on of its output begin up to rounding as the image network's, frame by frame"
    )


def test_some_networks_begin_as_none() -> None:
    own = DiTConfig(text_width=8, width=16, depth=1, head=8)
    stage = StageSpec(name="base", shape=SMALL, network=own)
    assert beginning_of(own.build(), own, stage, ()) is None


def test_sizes_that_cannot_begin_equal_are_named() -> None:
    def stage(network: NetworkConfig) -> StageSpec:
        return StageSpec(name="base", shape=SMALL, network=network)

    still = DiTConfig(text_width=8, width=16, depth=1, head=8)
    moving = stage(still.with_(patch=(2, 2, 2)))
    told = "base.network.patch.0: expected 1, as the weights have, got 2"
    assert other_size(still, moving) == told and other_size(still, moving, SILENT) is None
    assert other_size(still, stage(still)) is None
    unet = stage(config())
    assert other_size(still, unet) == "network: expected 'dit', as the weights are of, got 'video_unet'"
    assert other_size(config().framewise(), unet) is None
    assert other_size(config(head=16), unet, SILENT) == "base.network.head: expected 16, as the weights have, got 8"
    other = config(levels=(STILL[0].with_(temporal=("attention",)), STILL[1]), fps=3.0)
    assert other_size(other, unet) is None
    deep = config(levels=(*STILL, STILL[1]))
    assert other_size(deep, unet, SILENT) == "base.network.levels: expected 3, as the weights have, got 2"
