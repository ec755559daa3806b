"""Editing a clip: its noise, found by inversion, and the video that another text makes of that noise.

A network that was tuned to one clip, `zoetrope.recipes.tune_a_video`, keeps the clip's motion so
[Wu et al. 2022, arXiv:2212.11565, Sec. 3.3].
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zoetrope.cascade.sample import Draw, ready
from zoetrope.cascade.spec import StageSpec
from zoetrope.cascade.start import Start
from zoetrope.diffusion.inversion import inverted
from zoetrope.guidance.text import TextGuidance
from zoetrope.models.asking import conditioning_of
from zoetrope.models.places import memory_told
from zoetrope.models.progress import Progress
from zoetrope.routines.straight import Straight
from zoetrope.samplers.ddim import DDIM
from zoetrope.shapes import expect_shape

if TYPE_CHECKING:
    from zoetrope.models.cascade import Cascade

INVERSION = "inversion"


def edited(
    cascade: "Cascade",
    video: Tensor,
    prompt: str,
    *,
    caption: str | None = None,
    negative: str | None = None,
    until: str | None = None,
    seed: int = 0,
    memory: int | None = None,
) -> Iterator[Progress]:
    """A clip as another text tells it: one Progress after each step of the inversion and of each stage.

    `video` (1, C, F, H, W) in [-1, 1] is of the first stage's shape. DDIM without guidance takes it to noise, and from
    there back, guided by the prompt, in as many steps: what the text does not tell stays. On the way to noise the
    network is told the `caption` of the clip, with which it comes back more exactly, or with None no text, as in the
    paper. The stages after the first enlarge the result, with noise from `seed`. `memory` is the largest peak of the
    process, in bytes.

    Raises ValueError for a video of another shape or a single picture, and what `Cascade.stream` raises.
    """
    stage = editable(cascade.spec.stages[0])
    shape = stage.shape
    expect_shape("video", video, 1, stage.network.channels, shape.frames, shape.height, shape.width)
    if shape.frames == 1:
        raise ValueError("video: expected two frames or more, whose motion stays, got one picture")
    with memory_told(f"stage {stage.name!r} ({shape})"):
        network = cascade._network(stage)
        here = Draw(seed=seed, samples=[0], device=cascade.device, dtype=cascade.dtype, memory=memory)
        text, _ = cascade._encode([caption], None)
        told = conditioning_of(stage, {}, 1).to(cascade.device, torch.float32)
        unguided = stage.with_(sampling=stage.sampling.with_(guidance=TextGuidance(weight=0.0)))
        start = ready(unguided, network, text | told, None, here)
        steps = stage.sampling.length
        for number, z in enumerate(inverted(start.denoise, video.to(cascade.device), start.levels), start=1):
            yield Progress(stage=INVERSION, step=number, steps=steps, shape=shape, x_hat=z)
        text, against = cascade._encode([prompt], negative)
        drawn = ready(stage, network, text | told, None, replace(here, negative=against))
        begun = replace(drawn, noise=lambda purpose: z if purpose == "start" else drawn.noise(purpose))
        for number, step in enumerate(stage.sampling.routine(begun), start=1):
            x_hat = step.x_hat
            yield Progress(stage=stage.name, step=number, steps=steps, shape=shape, x_hat=x_hat)
    del network
    if (until or cascade.spec.default_until or cascade.spec.stages[-1].name) != stage.name:
        made = Start(stage=stage.name, video=x_hat)
        yield from cascade.stream(prompt, seed=seed, until=until, negative=negative, start=made, memory=memory)


def editable(stage: StageSpec) -> StageSpec:
    """The stage as it is sampled in an edit: by DDIM, which can be inverted, straight from noise to the video.

    Raises ValueError for a stage that enlarges a video or makes vectors, and for a distilled one.
    """
    if stage.kind != "base":
        raise ValueError(f"stage {stage.name!r}: expected one that makes videos from noise, got a {stage.kind}")
    if stage.distilled is not None:
        raise ValueError(
            f"stage {stage.name!r}: expected one that is not distilled, for inversion takes many small steps; its "
            "original can be used with --teacher"
        )
    return stage.with_(sampling=stage.sampling.with_(sampler=DDIM(), routine=Straight()))
