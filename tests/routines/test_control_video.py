"""ControlVideo as a whole: a controlled network of pictures on videos of any length, and its recipe from end to end."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.commands.conftest import Cli, cli  # noqa: F401
from zoetrope.cascade.execution.cost import PROCESS, Cost, stage_cost, whole_tile
from zoetrope.cascade.execution.layout import Layout
from zoetrope.cascade.execution.meter import peak_bytes
from zoetrope.cascade.framewise import with_routine
from zoetrope.cascade.grid import on_grid
from zoetrope.cascade.sample import Draw, ready, stage_video
from zoetrope.cascade.spec import SamplingSpec, StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.inputs.edges import Edges
from zoetrope.inputs.text import Text, text_given
from zoetrope.layers.attention import Looks
from zoetrope.networks import Network
from zoetrope.networks.controlled import Control, ControlledConfig
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.recipes import load_recipe
from zoetrope.routines.hierarchical import Hierarchical
from zoetrope.routines.straight import Straight
from zoetrope.shapes import VideoShape
from zoetrope.video import Video, read

SIZE = (8, 8)


def stage(frames: int, looks: Looks = "all", width: int = 16, **sampling: Any) -> StageSpec:
    """A stage of pictures that edges control, with videos of so many frames."""
    levels = (Level(width=width), Level(width=width, spatial_attention=True, text_attention=True))
    plain = VideoUNetConfig(text_width=6, embedding=16, head=8, levels=levels)
    network = ControlledConfig(network=plain, controls=(Control(name="edges", width=8),)).looking(looks)
    spec = SamplingSpec(**{"steps": 4, "guidance": 1.0, "threshold": "static", "shared_noise": True} | sampling)
    shape = VideoShape(frames=frames, height=SIZE[0], width=SIZE[1], fps=4)
    return StageSpec(name="base", shape=shape, inputs=(Text(), Edges()), network=network, sampling=spec)


def network_of(stage: StageSpec) -> Network:
    """Its network with random weights everywhere, the same for every choice of frames to look at."""
    network, draw = stage.network.build().eval().requires_grad_(False), torch.Generator().manual_seed(1)
    for weight in network.parameters():
        weight.copy_(0.2 * torch.randn(weight.shape, generator=draw))
    return network


def told(frames: int, still: bool = False) -> Conditioning:
    """A text, and the edges of a clip: different in every frame, or the same."""
    clip = 0.3 * torch.randn(1, frames, 3, *SIZE, generator=torch.Generator().manual_seed(2)).transpose(1, 2)
    clip = clip[:, :, :1].expand_as(clip) if still else clip
    return text_given(torch.randn(1, 4, 6, generator=torch.Generator().manual_seed(3))) | Edges().of_clips(clip)


def made(stage: StageSpec, given: Conditioning) -> Tensor:
    """Its video."""
    return stage_video(stage, network_of(stage), given, None, Draw(seed=3, samples=[0]))


def test_one_frame_is_the_controlled_picture() -> None:
    plain = made(stage(1, "own", routine=Straight()), told(1))
    assert torch.equal(made(stage(1, routine=Hierarchical()), told(1)), plain)
    without = told(1) | Conditioning(numbers={"edges_scale": torch.zeros(1)})
    assert not torch.equal(made(stage(1, "own", routine=Straight()), without), plain)


def test_frames_with_the_same_control_are_made_as_one() -> None:
    """Attention among copies of a frame is the frame's own, in the network and in the copies that read the control."""
    video = made(stage(7, routine=Hierarchical(most=3)), told(7, still=True))
    one = made(stage(1, "own", routine=Straight()), told(1, still=True))
    torch.testing.assert_close(video, one.expand_as(video), rtol=0, atol=1e-5)


def test_every_frame_follows_its_own_control() -> None:
    """Calls have the maps of their frames: without attention between frames, each is as it is made by itself."""
    given, spec = told(7), stage(7, "own", routine=Hierarchical(most=3, smoothed_at=()))
    video = made(spec, given)
    for frame in (0, 3, 6):
        alone = made(stage(1, "own", routine=Straight()), given.at_frames([frame]))
        torch.testing.assert_close(video[:, :, frame : frame + 1], alone, rtol=0, atol=1e-5)
    assert (video[:, :, 0] - video[:, :, 6]).abs().max() > 1e-3


def test_sixty_frames_take_the_memory_of_fifteen() -> None:
    """Within 15 %, counted in a run: what is held is that of a call of at most 8 frames."""
    held = {}
    for frames in (15, 60):
        spec = stage(frames, width=128, routine=Hierarchical(most=8), steps=2)
        draw = Draw(seed=0, samples=[0], layout=Layout([whole_tile(spec)]))
        there = ready(spec, network_of(spec), told(frames), None, draw)
        held[frames] = peak_bytes(lambda spec=spec, there=there: list(spec.sampling.routine(there)))  # type: ignore[misc]
    assert 0.85 * held[15] < held[60] < 1.15 * held[15]


def test_the_recipes_videos_of_sixty_frames_take_the_memory_of_those_of_fifteen() -> None:
    """Of its full network, without data: beyond the process and the weights, and a fifth of all frames at once."""
    recipe = load_recipe("control_video")
    spec = {frames: on_grid(recipe.cascade, frames=frames).stage("base") for frames in (15, 60)}
    costs = {frames: stage_cost(each, 1, 16) for frames, each in spec.items()}
    weights = {cost.fixed - PROCESS for cost in costs.values()}
    assert len(weights) == 1

    def held(cost: Cost, stage: StageSpec) -> int:
        return cost.peak(stage.seen.frames * stage.shape.height * stage.shape.width) - cost.fixed

    fifteen, sixty = (held(costs[frames], spec[frames]) for frames in (15, 60))
    assert 0.85 * fifteen < sixty < 1.15 * fifteen
    whole = spec[60].with_(sampling=spec[60].sampling.with_(routine=Straight()))
    assert held(stage_cost(whole, 1, 16), whole) > 5 * sixty


def test_the_recipe_is_a_controlled_mini_image_with_the_routine() -> None:
    ours, plain = load_recipe("control_video"), load_recipe("controlnet@mini_image")
    assert with_routine(plain.cascade, Hierarchical(most=8)).stages[1:] == ours.cascade.stages[1:]
    base = ours.cascade.stage("base")
    assert base.sampling.routine == Hierarchical(most=8) and base.sampling.shared_noise
    assert base.network == plain.cascade.stage("base").network.looking("all")
    assert ours.training == plain.training
    assert base.network.bare().state_dict().keys() == plain.cascade.stage("base").network.bare().state_dict().keys()


def test_from_training_to_a_video(cli: Cli) -> None:  # noqa: F811
    """On the shipped model: two steps, two more after an interruption, and a video by what was trained."""
    short = {"phases": [{"examples": 4, "batch": 2}], "checkpoint_every": 4, "data.scripts": 4, "sample_every": 0}
    quick = [word for name, value in short.items() for word in ("--set", f"base.training.{name}={json.dumps(value)}")]
    done = cli("train", "control_video", "--init", "mini_image", "--out", "runs", *quick)
    assert done.code == 0, done.err
    assert "its output begins exactly as that of the network that it extends" in done.err
    more = json.dumps([{"examples": 8, "batch": 2}])
    assert cli("train", "--out", "runs", "--resume", "--set", f"base.training.phases={more}").code == 0
    frames = np.zeros((5, 24, 40, 3), np.uint8)
    for number in range(5):
        frames[number, 8:16, 4 + 4 * number] = 255
    Video(frames, 3).save("edges/")
    words = ("generate", "a red star", "--model", "runs/base", "--model", "mini_image", "--frames", 5, "--steps", 2)
    done = cli(*words, "--control", "edges/", "--set", "base.sampling.routine.most=3", "--json", "-o", "a/")
    assert done.code == 0, done.err
    told = json.loads(done.out)["settings"]["base"]
    assert told["routine"]["most"] == 3 and told["shared_noise"]
    assert read("a/", fps=3).frames.shape == (5, 48, 80, 3)
    done = cli(*words, "--control-from", "a/", "-o", "b/")
    assert done.code == 0, done.err
    refused = cli(*words[:-4], "--frames", 4, "--control", "edges/", "-o", "c/")
    assert refused.code == 2 and "expected 4 frames, or one picture for all, got 5" in refused.err
    assert not Path("c").exists()


@pytest.mark.parametrize("looks", ["first", "first_and_previous", "all"])
def test_the_copies_look_at_the_same_frames(looks: Looks) -> None:
    network = stage(3, looks).network
    assert isinstance(network, ControlledConfig)
    assert [level.looks for level in network.network.levels] == ["own", looks]
    copies = network.build().get_submodule("controls.edges.copy")
    assert isinstance(copies.config, VideoUNetConfig) and copies.config.levels[1].looks == looks
