"""The recipes of Video Diffusion Models and of flexible diffusion modelling: the published sizes, and narrow passes."""

import shlex
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from zoetrope.cascade.spec import StageSpec
from zoetrope.commands._options import changes
from zoetrope.conditioning import Conditioning
from zoetrope.inputs.text import text_given
from zoetrope.known.learnt import Learnt
from zoetrope.layers.attention import SpatialAttention, TemporalAttention, TextAttention
from zoetrope.layers.convolution import TemporalConv
from zoetrope.networks.video_unet import VideoUNetConfig
from zoetrope.recipes import flexible, load_recipe, vdm, vdm_128
from zoetrope.samplers.ancestral import Ancestral
from zoetrope.samplers.langevin import Langevin
from zoetrope.schedules.cosine import Cosine
from zoetrope.training.known.any import AnyFrames
from zoetrope.training.spec import Recipe

MODULES = {"vdm": vdm, "vdm_128": vdm_128, "flexible": flexible}
every_recipe = pytest.mark.parametrize("name", MODULES)
# Published: frames and side, channels of each level, which of them attend, from the side, and channels of a head.
TABLE = {
    "vdm": (16, 64, (256, 512, 1024, 2048), {32, 16, 8}, 64),
    "vdm_128": (9, 128, (128, 256, 512, 1024, 2048), {32, 16, 8}, 128),
    "flexible": (20, 64, (128, 256, 384, 512), {16, 8}, 128),
}


def base(name: str, width: float = 1.0) -> StageSpec:
    """The recipe's only stage."""
    [stage] = MODULES[name].recipe(width).cascade.stages
    return stage


def network_of(stage: StageSpec) -> VideoUNetConfig:
    """Its network."""
    assert isinstance(stage.network, VideoUNetConfig)
    return stage.network


@every_recipe
def test_sizes_are_the_published_ones(name: str) -> None:
    frames, side, widths, attends, head = TABLE[name]
    stage = base(name)
    config = network_of(stage)
    assert stage.shape.sizes == (frames, side, side)
    assert tuple(level.width for level in config.levels) == widths and config.head == head
    for index, level in enumerate(config.levels):
        both = side >> index in attends  # attention over time follows that over space
        assert level.spatial_attention is both and level.temporal == (("attention",) if both else ())
        assert not level.text_attention


@every_recipe
def test_frames_are_told_apart_by_their_distances_alone(name: str) -> None:
    stage = base(name)
    config = network_of(stage)
    assert not config.positions and config.fps == stage.shape.fps
    assert config.relative == ("network" if name == "flexible" else "table")
    network = config.bare()
    kinds = {type(module) for module in network.modules()}
    assert {SpatialAttention, TemporalAttention} <= kinds and not {TextAttention, TemporalConv} & kinds
    assert (config.text_width is None) is (name == "flexible")


def test_the_papers_ways() -> None:
    for name, steps in (("vdm", 700_000), ("vdm_128", 800_000)):
        stage, training = base(name), MODULES[name].recipe().train_spec("base")
        assert (stage.prediction, training.weight, stage.schedule) == (
            "eps",
            "eps",
            Cosine(logsnr_min=-20, logsnr_max=20),
        )
        assert isinstance(stage.sampling.sampler, Langevin) and stage.sampling.sampler.delta == 0.1
        [phase] = training.phases
        assert phase.appended == 8 and phase.examples == steps * phase.batch
    stage, training = base("flexible"), flexible.recipe().train_spec("base")
    assert (stage.prediction, training.weight) == ("eps", "eps") and training.known == AnyFrames(length=500)
    assert stage.sampling.sampler == Ancestral(gamma=1) and stage.sampling.steps == 1000
    assert isinstance(stage.sampling.known, Learnt) and stage.inputs == ()


def commands(name: str) -> list[list[str]]:
    """The words of the commands in a recipe's docstring."""
    text = (MODULES[name].__doc__ or "").replace("\\\n", " ")
    return [shlex.split(line) for line in text.splitlines() if line.startswith("    zoetrope ")]


@every_recipe
def test_commands_of_the_docstring_fit_the_recipe(name: str) -> None:
    """Every recipe and every `--set` in them, and the last one is of a narrow network that fits its size."""
    for words in commands(name):
        recipe = load_recipe(words[2])
        sets = [value for option, value in pairwise(words) if option == "--set"]
        changed: Recipe = recipe.overridden(dict(changes(sets)))
    size = words[words.index("--size") + 1]
    [stage] = changed.cascade.stages
    width, height = (int(value) for value in size.split("x"))
    frames = int(words[words.index("--frames") + 1]) if "--frames" in words else stage.shape.frames
    stage.on(stage.shape.with_(frames=frames, height=height, width=width))
    count = sum(weight.numel() for weight in stage.network.bare().parameters())
    assert count < 20_000_000 and changed.train_spec("base").phases[0].batch <= 8


@every_recipe
@pytest.mark.parametrize("factor", [0, -1, 1.5])
def test_factors_that_are_refused(name: str, factor: float) -> None:
    with pytest.raises(ValueError, match="width: expected a factor above 0 and at most 1"):
        MODULES[name].recipe(factor)


@every_recipe
def test_a_narrow_stage_learns_with_all_its_parameters(name: str) -> None:
    stage = base(name, 1 / 16)
    config, draw = network_of(stage), torch.Generator().manual_seed(0)
    side, frames = 2 ** len(config.levels), 4
    network: nn.Module = config.build()
    with torch.no_grad():
        for parameter in network.parameters():  # nothing rests at zero, where it would keep gradients from others
            parameter.add_(torch.randn(parameter.shape, generator=draw), alpha=0.02)
    z = torch.randn(2, 3, frames, side, side, generator=draw)
    # The last frame is an appended image, or comes from another clip; the first is known.
    images = torch.tensor([[False, False, False, True]] * 2)
    times = torch.tensor([[0.0, 5.0, 5.5, 0.0], [1.0, 1.1, 1.2, 0.0]])
    given: Any = Conditioning(images=images, times=times)
    if config.text_width is not None:
        mask = torch.tensor([[[True, True]] * frames, [[False, False]] * frames])
        given = given | text_given(torch.randn(2, frames, 2, config.text_width, generator=draw), mask)
    levels = torch.tensor([[20.0, -1.0, -1.0, 1.0], [20.0, 2.0, 2.0, -3.0]])
    out = network(z, levels, given)
    assert out.shape == z.shape and out.isfinite().all()
    (out * torch.randn(out.shape, generator=draw)).sum().backward()
    for label, weight in network.named_parameters():
        assert weight.grad is not None and weight.grad.isfinite().all() and weight.grad.any(), label
