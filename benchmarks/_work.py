"""What the benchmarks run on stages: sampling, and training on one batch, from noise, random text and fresh weights.

Neither time nor memory depends on values, so that no weights are read.
"""

from collections.abc import Callable, Sequence

import torch
from _machine import Place
from torch import Tensor

from zoetrope.cascade.sample import Draw, sample_stage
from zoetrope.cascade.spec import StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.data.toybox import Toybox
from zoetrope.diffusion.loss import squared_error
from zoetrope.diffusion.prediction import target
from zoetrope.diffusion.process import diffuse
from zoetrope.inputs.low_res import low_res_given
from zoetrope.inputs.text import text_given
from zoetrope.layers.fused import fused
from zoetrope.networks import Network
from zoetrope.planning.count import Tally
from zoetrope.planning.work import TOKENS
from zoetrope.training.spec import Phase, TrainSpec
from zoetrope.training.state import TrainState


def network_of(stage: StageSpec, here: Place) -> Network:
    """A stage's network as a cascade has it, with fresh weights."""
    return fused(stage.network.build().to(here.device).eval(), channels_last=True)


def text_of(stage: StageSpec, here: Place, batch: int) -> Conditioning:
    """Random text of as many tokens as `zoetrope plan` counts with."""
    text = torch.randn(batch, TOKENS, stage.network.text_width, device=here.device)
    return text_given(text, torch.ones(batch, TOKENS, dtype=torch.bool, device=here.device))


def sample(
    stage: StageSpec, network: Network, here: Place, video: Tensor | None = None, batch: int = 1
) -> tuple[Tensor, list[float]]:
    """What a stage makes (B, C, F, H, W), and what the clock says before the first step and after each.

    `video` (B, C, f, h, w) is what it is made from; for None, one that is grey.
    """
    if stage.source is not None and video is None:
        video = torch.zeros(batch, stage.network.channels, *stage.source.sizes, device=here.device)
    draw = Draw(seed=0, samples=list(range(batch)), device=here.device, dtype=here.dtype)
    times, made = [here.now()], None
    for x_hat in sample_stage(stage, network, text_of(stage, here, batch), video, draw):
        times.append(here.now())
        made = x_hat
        del x_hat
    assert made is not None
    return made, times


def run_cascade(stages: Sequence[StageSpec], networks: Sequence[Network], here: Place) -> Tensor:
    """The stages one after the other, each from what the one before it made."""
    video = None
    for stage, network in zip(stages, networks, strict=True):
        video, _ = sample(stage, network, here, video)
    assert video is not None
    return video


def lesson(batch: int) -> TrainSpec:
    """How `learning` trains: whole clips, one batch."""
    return TrainSpec(data=Toybox(), phases=(Phase(examples=batch, batch=batch),))


def learning(stage: StageSpec, here: Place, batch: int) -> Callable[[], None]:
    """A function that learns from one batch: noise, forward and backward pass, clipping, update, moving average."""
    network = stage.network.build().to(here.device)
    state = TrainState.alone(network, lesson(batch), here.dtype)
    x = torch.randn(batch, stage.network.channels, *stage.shape.sizes, device=here.device).clamp(-1, 1)
    given = text_of(stage, here, batch)
    if stage.source is not None:
        given = given | low_res_given(x, torch.zeros(batch, device=here.device))

    def learn() -> None:
        level = stage.schedule((torch.arange(batch, device=here.device) + 0.5) / batch)
        eps = torch.randn_like(x)
        z = diffuse(x, eps, level)
        with torch.autocast(here.device.type, here.dtype, enabled=here.dtype != torch.float32):
            output = state.network(z, level.logsnr.float(), given)
        (squared_error(output, target(stage.prediction, x, eps, level)).sum() / batch).backward()
        state.gradient_norm()
        state.update()
        state.advance(batch)

    return learn


def moved(tally: Tally) -> int:
    """Bytes that operations read and write, each for itself; caches spare some of them the way to memory."""
    return sum(operation.moved * count for operation, count in tally.items())
