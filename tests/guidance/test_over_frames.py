"""Guidance that rises over frames: each frame has its own weight, and with equal ends it is constant guidance."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoetrope.cascade.sample import Draw, stage_video
from zoetrope.cascade.spec import CascadeSpec, Distilled, SamplingSpec, StageSpec
from zoetrope.cascade.tuning import Tuning, tuned
from zoetrope.conditioning import Conditioning, Tokens
from zoetrope.guidance import Guidance, combined
from zoetrope.guidance.over_frames import OverFrames
from zoetrope.guidance.text import TextGuidance
from zoetrope.inputs.text import text_given
from zoetrope.networks import Network
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.shapes import VideoShape
from zoetrope.text.words import Words

SHAPE = VideoShape(frames=5, height=4, width=6, fps=5)
NETWORK = VideoUNetConfig(
    text_width=8, embedding=16, head=8, levels=(Level(width=8, text_attention=True, temporal=("attention",)),)
)


def stage(guidance: Guidance, **sampling: Any) -> StageSpec:
    """A stage guided so."""
    return StageSpec(
        name="base", shape=SHAPE, network=NETWORK, sampling=SamplingSpec(steps=3, guidance=guidance, **sampling)
    )


@pytest.fixture(scope="module")
def network() -> Network:
    """Random weights, also where a fresh network has zeros."""
    torch.manual_seed(0)
    made = NETWORK.build()
    for weight in made.parameters():
        nn.init.normal_(weight, std=0.2)
    return made.eval().requires_grad_(False)


def video(network: Network, own: StageSpec) -> Tensor:
    """What a stage makes."""
    given = text_given(torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(1)))
    return stage_video(own, network, given, None, Draw(seed=3, samples=[0, 1]))


def test_equal_ends_are_constant_guidance_exactly(network: Network) -> None:
    constant = video(network, stage(TextGuidance(weight=1.7)))
    assert torch.equal(video(network, stage(OverFrames(first=1.7, last=1.7))), constant)
    assert not torch.equal(video(network, stage(OverFrames(first=0.0, last=1.7))), constant)
    assert torch.equal(video(network, stage(OverFrames())), video(network, stage(TextGuidance(weight=0.0))))


def test_each_frame_has_its_own_weight() -> None:
    given, free = torch.randn(2, 2, 3, 5, 2, 2, dtype=torch.float64)
    made = combined([given, free], OverFrames(first=0.5, last=2.5).shares_of_frames(0, 1, 5))
    for frame, weight in enumerate((0.5, 1.0, 1.5, 2.0, 2.5)):
        torch.testing.assert_close(made[:, :, frame], ((1 + weight) * given - weight * free)[:, :, frame])
    [share, _] = OverFrames(first=0.5, last=2.5).shares_of_frames(0, 1, 1)
    assert isinstance(share, Tensor) and share.tolist() == [1.5]  # a single frame is the first


def test_frames_of_a_longer_video_keep_their_weights(network: Network) -> None:
    """A network of single frames gives the same in parts, in which the weights are those of the whole video."""
    alone = NETWORK.with_(levels=(Level(width=8, text_attention=True),))
    torch.manual_seed(0)
    made = alone.build()
    for weight in made.parameters():
        nn.init.normal_(weight, std=0.2)
    own = stage(OverFrames(first=0.0, last=3.0)).with_(network=alone)
    whole = video(made, own)
    parts = own.with_(sampling=own.sampling.with_(windows={"frames": 3, "overlap": 1}))
    torch.testing.assert_close(video(made, parts), whole, rtol=1e-5, atol=1e-5)


def test_what_guidance_leads_away_from_is_told_nothing() -> None:
    told = text_given(torch.randn(2, 3, 8)) | Conditioning(
        tokens={"picture": Tokens.real(torch.randn(2, 1, 4))},
        maps={"first_frame": torch.randn(2, 3, *SHAPE.sizes)},
        numbers={"first_frame_logsnr": torch.zeros(2)},
    )
    with_all, without = OverFrames(first=0.0, last=1.0).variants(told, None)
    assert with_all is told and not without.maps["first_frame"].any()
    assert not any(without.tokens[name].mask.any() for name in ("text", "picture"))
    assert torch.equal(without.numbers["first_frame_logsnr"], told.numbers["first_frame_logsnr"])
    alone = replace(told, tokens={}, numbers={})
    assert len(OverFrames(last=1.0).variants(alone, None)) == 2
    assert len(OverFrames(last=1.0).variants(Conditioning(), None)) == 1


def test_options_change_the_last_frame_or_both() -> None:
    spec = CascadeSpec(name="one", text=Words(width=8, limit=8), stages=(stage(OverFrames(first=0.0, last=2.0)),))
    changed = tuned(spec, Tuning(guidance=1.5)).stages[0].sampling.guidance
    assert changed == OverFrames(first=0.0, last=1.5)
    fields = [("base.sampling.guidance", {"type": "over_frames", "first": 1.0, "last": 1.0})]
    assert tuned(spec, Tuning(fields=fields)).stages[0].sampling.guidance == OverFrames(first=1.0, last=1.0)


def test_a_distilled_network_has_one_weight_for_all_frames() -> None:
    own = stage(OverFrames(first=0.0, last=2.0))
    distilled = own.with_(network=NETWORK.with_(guided=True), distilled=Distilled(steps=3, weights=(0.0, 4.0)))
    with pytest.raises(ValueError, match="stage 'base': guidance: expected one weight for all frames"):
        distilled.check_sampling()
    same = distilled.with_(sampling=own.sampling.with_(guidance=OverFrames(first=2.0, last=2.0)))
    same.check_sampling()
