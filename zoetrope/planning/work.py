"""What it takes to sample and to train one stage, counted by a dry run of the code that does it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from zoetrope.cascade.memory import stage_cost
from zoetrope.cascade.sample import Draw, sample_stage
from zoetrope.cascade.spec import StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.diffusion.loss import squared_error
from zoetrope.diffusion.prediction import target
from zoetrope.diffusion.process import diffuse
from zoetrope.networks import Network
from zoetrope.planning.count import Meter, Tally, dry, flops_of
from zoetrope.training.spec import Phase, TrainSpec, clip_shape
from zoetrope.training.state import TrainState

TOKENS = 24  # of text: a sentence; text is padded to the longest of a batch and not to the encoder's limit

UNTILED = 10**18  # bytes that no stage needs: each runs whole, as where there is memory enough


class Sampling(NamedTuple):
    """What sampling one video takes.

    Attributes:
        parameters, weight_bytes: of the network, in memory.
        flops_per_forward: of the network on one video, once.
        flops_per_step: of a denoising step with all its network calls; guidance doubles them.
        whole: all operations from text, noise and the previous stage's video to this stage's.
        peak: bytes of weights, videos and activations that are alive at one time.
    """

    parameters: int
    weight_bytes: int
    flops_per_forward: float
    flops_per_step: int
    whole: Tally
    peak: int


class Training(NamedTuple):
    """What the training of a stage takes: of each phase the operations of one batch, and the bytes at its peak."""

    phases: Sequence[tuple[Phase, Tally, int]]

    @property
    def flops(self) -> float:
        """Of the whole curriculum."""
        return sum(flops_of(tally) * phase.examples / phase.batch for phase, tally, _ in self.phases)

    @property
    def peak(self) -> int:
        """Bytes of the phase that needs most."""
        return max(peak for _, _, peak in self.phases)

    @property
    def largest(self) -> Phase:
        """The phase that needs most memory."""
        return max(self.phases, key=lambda each: each[2])[0]


def sampling(stage: StageSpec, dtype: torch.dtype) -> Sampling:
    """Sample a video of a stage, without values, and count. All middle steps are alike: one of them is run."""
    steps = stage.sampling.steps
    short = stage.model_copy(update={"sampling": stage.sampling.model_copy(update={"steps": min(steps, 2)})})
    stage_cost(short, 1, TOKENS)  # remembered: that a stage's memory is reckoned by a run of its own is no part of it
    passed = 0

    def told(module: torch.nn.Module, args: tuple[Any, ...]) -> None:
        nonlocal passed
        passed += args[0].numel()

    with dry() as meter:
        network = stage.network.build().eval().requires_grad_(False)
        network.register_forward_pre_hook(told)
        parameters, weight_bytes = _size(network)
        text, video = _text(stage, 1), None
        if stage.source is not None:
            source = stage.source
            video = torch.zeros(1, stage.network.channels, source.frames, source.height, source.width)
        meter.restart()
        running = iter(
            sample_stage(short, network, text, video, Draw(seed=0, samples=[0], dtype=dtype, memory=UNTILED))
        )
        whole, tallies, passes = meter.tally, [], []
        for _ in range(short.sampling.steps):
            meter.tally, passed = Counter(), 0
            size = next(running).x_hat.numel()
            tallies.append(meter.tally)
            passes.append(passed / size)
        peak = meter.peak
    whole = whole + tallies[-1]
    for operation, count in tallies[0].items():
        whole[operation] += count * (steps - 1)
    per_step = flops_of(tallies[0])
    return Sampling(parameters, weight_bytes, per_step / passes[0], per_step, whole, peak)


def training(stage: StageSpec, spec: TrainSpec, dtype: torch.dtype) -> Training:
    """Train a stage on one batch of each phase, without values, and count."""
    phases: list[tuple[Phase, Tally, int]] = []
    with dry() as meter:
        state = TrainState(stage.network.build(), stage.network.build(), spec, dtype)
        update = Counter(_update(state, meter))
        for phase in spec.phases:
            part = -(-phase.batch // spec.accumulate)
            if part < phase.batch:  # gradients of one part are there while the next is learnt from
                _zero_gradients(state)
            meter.restart()
            _learn(state, stage, _example(stage, spec, phase, part), dtype)
            whole = Counter(update)
            for operation, count in meter.tally.items():
                whole[operation] += -(-phase.batch // part) * count
            phases.append((phase, whole, meter.peak))
            state.network.zero_grad(set_to_none=True)
    return Training(phases)


def _update(state: TrainState, meter: Meter) -> Tally:
    """The operations of an optimizer step; what the optimizer remembers from step to step is there afterwards."""
    _zero_gradients(state)
    meter.tally = Counter()
    state.gradient_norm()
    state.update(1)
    return meter.tally


def _zero_gradients(state: TrainState) -> None:
    for weight in state.network.parameters():
        weight.grad = torch.zeros_like(weight)


def _learn(state: TrainState, stage: StageSpec, given: tuple[Tensor, Conditioning], dtype: torch.dtype) -> None:
    """The forward and backward pass of `zoetrope.training.loop` on some examples."""
    x, conditioning = given
    level = stage.schedule(torch.zeros(len(x)))
    eps = torch.zeros_like(x)
    z = diffuse(x, eps, level)
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        output = state.network(z, level.logsnr.float(), conditioning)
    (squared_error(output, target(stage.prediction, x, eps, level)).sum() / len(x)).backward()


def _example(stage: StageSpec, spec: TrainSpec, phase: Phase, count: int) -> tuple[Tensor, Conditioning]:
    """Clips as the phase has them, and what the network is given beside them."""
    shape = clip_shape(stage, phase)
    height, width = spec.crop or (shape.height, shape.width)
    x = torch.zeros(count, stage.network.channels, spec.span or shape.frames, height, width)
    packed = phase.images > 0 and shape.frames > 1
    given = _text(stage, count, shape.frames if packed else None)
    if packed:
        given = replace(given, images=torch.zeros(count, dtype=torch.bool))
    if stage.source is not None:
        given = replace(given, low_res=torch.zeros_like(x), low_res_logsnr=torch.zeros(count))
    return x, given


def _text(stage: StageSpec, count: int, frames: int | None = None) -> Conditioning:
    each = (count,) if frames is None else (count, frames)
    text = torch.zeros(*each, TOKENS, stage.network.text_width)
    return Conditioning(text=text, text_mask=torch.ones(*each, TOKENS, dtype=torch.bool))


def _size(network: Network) -> tuple[int, int]:
    weights = list(network.parameters())
    return sum(w.numel() for w in weights), sum(w.numel() * w.itemsize for w in weights)
