"""Edits: which models can make them, how these are sampled, and where the parts of an edit are."""

from typing import Any

import pytest
import torch

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.data.clip import OneClip
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.inputs.fps import FrameRate
from zoetrope.inputs.text import Text
from zoetrope.models.cascade import Cascade
from zoetrope.models.editing import editable, edited
from zoetrope.networks import Network
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.recipes.tune_a_video import tuning
from zoetrope.routines import Ready, Routine
from zoetrope.routines.hierarchical import Hierarchical
from zoetrope.routines.straight import Straight
from zoetrope.routines.zero_shot import ZeroShot
from zoetrope.samplers.ancestral import Ancestral
from zoetrope.samplers.ddim import DDIM
from zoetrope.shapes import VideoShape
from zoetrope.text.words import Words

SHAPE = VideoShape(frames=1, height=8, width=8, fps=4)
CLIP = OneClip(path="clip.mp4", text="fog")
STRAIGHT = Straight()


def pictures(routine: Routine = STRAIGHT, **fields: Any) -> CascadeSpec:
    """A model of pictures with one stage."""
    level = Level(width=8, spatial_attention=True)
    network = VideoUNetConfig(**{"text_width": 8, "embedding": 16, "head": 8, "levels": (level,)} | fields)
    inputs = [Text()] * (network.text_width is not None) + [FrameRate()] * network.rate
    sampling = SamplingSpec(steps=6, routine=routine, sampler=Ancestral())
    stage = StageSpec(name="base", shape=SHAPE, inputs=tuple(inputs), network=network, sampling=sampling)
    return CascadeSpec(name="pictures", text=Words(width=8, limit=8), stages=(stage,))


def random(stage: StageSpec) -> Network:
    """The network of a stage whose frames see each other."""
    torch.manual_seed(0)
    network = stage.network.build()
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_(0, 0.15)
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize("routine", [STRAIGHT, ZeroShot(moved_at=0.4, noised_to=0.6, smoothing=0.5), Hierarchical()])
def test_every_frame_of_the_clip_counts_whatever_the_routine_of_the_model(routine: Routine) -> None:
    spec = tuning(pictures(routine), CLIP, frames=4).cascade
    assert spec.stages[0].sampling.sampler == DDIM() and spec.stages[0].sampling.routine == STRAIGHT
    cascade = Cascade(spec, random)
    one = 0.5 * torch.sin(torch.arange(3 * 4 * 64.0)).view(1, 3, 4, 8, 8)
    made = []
    for frame in range(5):  # 4: the clip as it is
        clip = one.clone()
        clip[:, :, frame:] *= -1
        told = [now for now in edited(cascade, clip, "ice", caption="fog") if now.stage == "base"]
        assert [(now.step, now.steps) for now in told] == [(step, 6) for step in range(1, 7)]
        made.append(told[-1].x_hat)
    assert all((each - made[4]).abs().amax((0, 1, 3, 4))[frame] > 1e-3 for frame, each in enumerate(made[:4]))


def test_a_stage_is_edited_by_ddim_from_noise_to_data() -> None:
    stage = pictures(ZeroShot()).stages[0]
    assert editable(stage).sampling == stage.sampling.with_(sampler=DDIM(), routine=STRAIGHT)


class Enough(Exception):
    """Both ways of an edit are known."""


def test_all_that_a_network_is_told_is_where_it_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device "meta" stands for a GPU, whose calls cannot be made here: they are only prepared."""
    told, levels = list[Conditioning](), [NoiseLevel.clean(1, device=torch.device("meta"))] * 2

    def prepared(stage: StageSpec, network: Network, given: Conditioning, *more: Any) -> Ready:
        told.append(given)
        if len(told) == 2:
            raise Enough
        return Ready(denoise=lambda z, level: z, levels=levels, noise=torch.zeros, sampler=DDIM())

    monkeypatch.setattr("zoetrope.models.editing.ready", prepared)
    spec = tuning(pictures(rate=True), CLIP, frames=4).cascade
    spec = spec.with_(stages=(spec.stages[0].with_(grids=(spec.stages[0].shape,)),))  # told also when frames are seen
    cascade = Cascade(spec, lambda stage: stage.network.bare())
    cascade.device = torch.device("meta")
    with pytest.raises(Enough):
        list(edited(cascade, torch.zeros(1, 3, 4, 8, 8), "ice", caption="fog"))
    for given in told:
        devices = list[str]()
        given.each(lambda value, found=devices: (found.append(value.device.type), value)[1])  # type: ignore[misc]
        assert {"text", "fps"} <= given.names and given.times is not None and set(devices) == {"meta"}


@pytest.mark.parametrize("text", [None, Words(width=8, limit=8)])
def test_a_model_whose_first_stage_reads_no_text_is_not_tuned(text: Words | None) -> None:
    with pytest.raises(ValueError, match="pictures: expected a model whose first stage reads text"):
        tuning(pictures(text_width=None).with_(text=text), CLIP, frames=4)
