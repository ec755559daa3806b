"""How a network begins beside the one whose weights it took, measured."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from zoetrope.cascade.spec import CascadeSpec, Distilled, StageSpec
from zoetrope.data.toybox import Toybox
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.inputs.map import Map
from zoetrope.inputs.region import Region
from zoetrope.models.alike import SILENT, other_size
from zoetrope.models.weights import IfMissing, read_weights, write_weights
from zoetrope.networks import NetworkConfig, SizedInput
from zoetrope.networks.dit import DiTConfig
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.shapes import VideoShape
from zoetrope.training.inflation import BeginsAs, beginning_of
from zoetrope.training.loop import Run
from zoetrope.training.spec import Phase, Recipe, TrainSpec
from zoetrope.training.trained import InitialWeights

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


LAND, ORO = SizedInput(name="land", size=1), SizedInput(name="oro", size=1)
ATTENDS = (Level(width=8, spatial_attention=True, temporal=("attention",)),)


def made_of(aligned: tuple[SizedInput, ...], *, still: bool = False, dit: bool = False, **fields: Any) -> CascadeSpec:
    """A cascade of one stage that is given these maps."""
    own: Any = VideoUNetConfig(text_width=None, embedding=16, head=8, levels=ATTENDS, **fields)
    own = DiTConfig(text_width=None, width=16, depth=1, head=8) if dit else own.framewise() if still else own
    inputs = (*(Region(),) * ("region" in fields), *(Map(told=one.name) for one in aligned))
    stage = StageSpec(name="base", shape=SMALL, inputs=inputs, network=own.with_(aligned=aligned))
    return CascadeSpec(name="maps", text=None, stages=(stage,))


def weights(cascade: CascadeSpec, folder: Path) -> InitialWeights:
    """Random weights of its stage."""
    torch.manual_seed(0)
    network = cascade.stages[0].network.build()
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    write_weights(network, file := folder / "own.safetensors", torch.float32)
    return InitialWeights("own", file, cascade, cascade.stages[0])


def recipe(cascade: CascadeSpec, init_missing: IfMissing) -> Recipe:
    spec = TrainSpec(data=Toybox(), phases=(Phase(examples=4, batch=2),), init_missing=init_missing)
    return Recipe(name="maps", cascade=cascade, training={"base": spec})


@pytest.mark.parametrize(
    ("own", "more"),
    [((LAND,), {"region": True}), ((ORO,), {"aligned": (LAND, ORO)}), ((ORO, LAND), {"aligned": (LAND, ORO)})],
)
def test_it_is_compared_with_the_network_that_the_weights_are_of(
    own: tuple[SizedInput, ...], more: dict[str, Any], tmp_path: Path
) -> None:
    """Which sees its own maps, however many more this one is given, and in whatever order."""
    known, new = weights(made_of(own, still=True), tmp_path), made_of(**({"aligned": own} | more))
    known.check(recipe(new, "fresh"), "base")
    stage = new.stages[0]
    network = stage.network.build()
    fresh = read_weights(network, known.file, missing="fresh", maps=known.concatenated)
    assert fresh and all("temporal" in name for name in fresh)
    begun = beginning_of(network, stage.network, stage, fresh, known.source)
    assert begun is not None and begun.near
    with torch.no_grad():
        last = network.get_parameter("enter.conv.weight")
        last[:, 3:] = last[:, 3:].roll(1, dims=1)  # as if maps were taken for others
    begun = beginning_of(network, stage.network, stage, fresh, known.source)
    assert begun is not None and not begun.near


def test_weights_of_a_video_network_say_nothing_of_single_frames(tmp_path: Path) -> None:
    known, new = weights(made_of((LAND,)), tmp_path), made_of((LAND,), region=True)
    network = new.stages[0].network.build()
    assert read_weights(network, known.file, missing="fresh", maps=known.concatenated) == []
    assert beginning_of(network, new.stages[0].network, new.stages[0], ["up"], known.source) is None


@pytest.mark.parametrize("dit", [False, True])
def test_maps_in_another_order_are_no_weights_of_the_network(dit: bool, tmp_path: Path) -> None:
    """Though all shapes are equal."""
    known, other = weights(made_of((ORO, LAND), dit=dit), tmp_path), made_of((LAND, ORO), dit=dit)
    told = r"expected oro \(2\) and land \(2\), in this order, as the weights have, got land \(2\) and oro \(2\)"
    with pytest.raises(ValueError, match=told) as refused:
        known.check(recipe(other, "refuse"), "base")
    assert ("--set base.training.init_missing=fresh" in str(refused.value)) is not dit
    if dit:
        with pytest.raises(ValueError, match=told):
            known.check(recipe(other, "fresh"), "base")
    else:
        known.check(recipe(other, "fresh"), "base")
    known.check(recipe(made_of((ORO, LAND), dit=dit), "refuse"), "base")
    with pytest.raises(ValueError, match=r"got oro \(2\) and lake \(2\)"):
        known.check(recipe(made_of((ORO, SizedInput(name="lake", size=1)), dit=dit), "refuse"), "base")


def test_a_run_gives_each_map_its_weights(tmp_path: Path) -> None:
    known, new = weights(made_of((ORO,), still=True), tmp_path), made_of((LAND, ORO))
    made = Run(recipe(new, "fresh"), "base", tmp_path / "run", torch.device("cpu"), known)
    own, theirs = made.state.network.get_parameter("enter.conv.weight"), load_file(known.file)["enter.conv.weight"]
    assert torch.equal(own[:, 5:], theirs[:, 3:]) and not own[:, 3:5].any()
    with pytest.raises(ValueError, match="name its model or run"):
        Run(recipe(new, "fresh"), "base", tmp_path / "other", torch.device("cpu"), known.file)
