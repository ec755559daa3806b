"""Values for inputs beside the prompt: refused before anything runs, one for each video, told in records."""

from typing import Any

import numpy as np
import pytest
import torch

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.inputs.first_frame import FirstFrame
from zoetrope.inputs.fps import FrameRate
from zoetrope.inputs.low_res import LowRes
from zoetrope.inputs.motion_strength import MotionStrength
from zoetrope.inputs.number import Number
from zoetrope.inputs.picture import Picture
from zoetrope.inputs.structure import Structure
from zoetrope.inputs.text import Text
from zoetrope.models.asking import about_values
from zoetrope.models.cascade import Cascade
from zoetrope.models.control import control_clips
from zoetrope.networks import Network, SizedInput
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.shapes import VideoShape
from zoetrope.text.words import Words

SMALL = VideoShape(frames=4, height=4, width=4, fps=2)
HUGE = 10**400  # no float


def network(**fields: Any) -> VideoUNetConfig:
    return VideoUNetConfig(text_width=8, embedding=16, head=8, levels=(Level(width=8, text_attention=True),), **fields)


def random_network(stage: StageSpec) -> Network:
    torch.manual_seed(0)
    built = stage.network.build().eval().requires_grad_(False)
    for weight in built.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return built


BASE = StageSpec(name="base", shape=SMALL, network=network(), sampling=SamplingSpec(steps=1))
ASKED = StageSpec(
    name="ssr1",
    shape=SMALL.with_(height=8, width=8),
    inputs=(Text(), LowRes(shape=SMALL), FrameRate(), MotionStrength(), FirstFrame(), Picture()),
    network=network(low_res=True, numbers=("fps", "motion_strength"), first_frame=True, picture_width=128),
    sampling=SamplingSpec(steps=1),
)


@pytest.fixture(scope="module")
def cascade() -> Cascade:
    return Cascade(CascadeSpec(name="asked", text=Words(width=8), stages=(BASE, ASKED)), random_network)


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ({"fps": -1}, "fps: expected a positive number of frames per second, got -1"),
        ({"fps": "many"}, "fps: expected frames per second, such as 8, got 'many'"),
        ({"fps": True}, "fps: expected frames per second, such as 8, got True"),
        ({"fps": HUGE}, "fps: expected frames per second, such as 8"),
        ({"motion_strength": 101}, "motion_strength: expected a number from 0, nothing moves, to 100, got 101"),
        ({"motion_strength": HUGE}, "motion_strength: expected a number from 0, nothing moves, to 100"),
        ({"picture": "none.png"}, "none.png: there is no such file"),
        ({"picture": torch.zeros(5)}, "picture: expected an embedding of width 128"),
        ({"first_frame": np.zeros((3, 3))}, "picture: expected one picture"),
        ({"picture": torch.zeros(2, 128)}, "picture: expected one for all, or one for each of 4 videos, got 2"),
    ],
    ids=str,
)
def test_values_of_late_stages_are_refused_before_the_first_one_runs(
    cascade: Cascade, value: dict[str, Any], wrong: str
) -> None:
    seen: list[object] = []
    with pytest.raises(ValueError, match=wrong):
        cascade.generate("fog", count=4, batch=2, given=value, progress=seen.append)
    assert seen == []


def test_every_video_has_its_own_embedding_however_many_are_made_together(cascade: Cascade) -> None:
    each = torch.randn(3, 128, generator=torch.Generator().manual_seed(1))
    alone = [cascade.generate("fog", given={"picture": one}, seed=2).frames for one in each]
    for batch in (1, 2, 3):
        made = cascade.generate(["fog"] * 3, batch=batch, given={"picture": each}, seed=2)
        for one, other in zip(made, alone, strict=True):
            assert np.abs(one.frames.astype(int) - other).max() <= 1
    assert np.abs(alone[0].astype(int) - alone[1]).max() > 1
    for same in (each[0], each[:1]):  # one for all
        for one in cascade.generate(["fog"] * 2, batch=2, given={"picture": same}, seed=2):
            assert np.abs(one.frames.astype(int) - alone[0]).max() <= 1


def test_embeddings_of_any_type_are_told_in_records() -> None:
    value = torch.arange(128.0)
    ids = [about_values([ASKED], {"picture": value.to(kind)}) for kind in (torch.float32, torch.bfloat16)]
    assert ids[0] == about_values([ASKED], {"picture": value.clone()}) and ids[0] != ids[1]


def test_a_number_that_no_float_holds() -> None:
    with pytest.raises(ValueError, match="k: expected a number from 0 to 1"):
        Number(told="k", lo=0, hi=1).of_request(HUGE, 1)
    aligned = network(aligned=(SizedInput(name="structure", size=Structure().size),))
    stage = BASE.with_(inputs=(Text(), Structure()), network=aligned)
    with pytest.raises(ValueError, match="control structure: scale: expected a number"):
        control_clips([stage], np.zeros((4, 4), np.uint8), scale=HUGE)


def test_a_long_video_does_not_begin_again_with_its_picture() -> None:
    """A picture that is only told as an embedding is of the whole video."""
    stage = BASE.with_(inputs=(Text(), FirstFrame(), Picture()), network=network(first_frame=True, picture_width=128))
    cascade = Cascade(CascadeSpec(name="long", text=Words(width=8), stages=(stage,)), random_network)
    wanted: dict[str, Any] = {"seconds": 3, "prompt": "fog", "known": {"type": "replacement"}}
    shown = np.zeros((4, 4, 3), np.uint8)
    for given in ({"picture": shown}, {"first_frame": shown}):
        with pytest.raises(ValueError, match="picture: expected none, for each of the clips that stage 'base' makes"):
            next(cascade.extend(None, given=given, **wanted))
    assert len(list(cascade.extend(None, given={"picture": torch.zeros(128)}, **wanted))) == 6
