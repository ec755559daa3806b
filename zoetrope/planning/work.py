"""The work of sampling and training one stage, counted by a dry run of the real code."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from zoetrope.cascade.between import every_nth, source_grid
from zoetrope.cascade.execution.call import Calls
from zoetrope.cascade.execution.cost import blank_request, whole_tile
from zoetrope.cascade.execution.layout import Layout, layout_bytes, plan_layout
from zoetrope.cascade.execution.meter import Meter
from zoetrope.cascade.execution.run import of_window
from zoetrope.cascade.sample import CPU, Draw, calls_of, ready
from zoetrope.cascade.spec import StageSpec
from zoetrope.codecs import decoded
from zoetrope.conditioning import Conditioning
from zoetrope.inputs import Extent
from zoetrope.layers.fused import fused
from zoetrope.networks import Network
from zoetrope.planning.count import Operation, Tally, dry, flops_of
from zoetrope.planning.once import Once
from zoetrope.routines import Ready
from zoetrope.shapes import VideoShape, Window
from zoetrope.training.grids import clip_shapes, stretches
from zoetrope.training.learner import Learner
from zoetrope.training.objectives import Lesson
from zoetrope.training.parallel.replicated import Replicated
from zoetrope.training.players import Player, networks_of, players_of
from zoetrope.training.spec import Phase, TrainSpec
from zoetrope.training.state import TrainState

TOKENS = 24  # of text: a sentence; text is padded to the longest of a batch and not to the encoder's limit


class Sampling(NamedTuple):
    """The cost of sampling one video.

    Attributes:
        parameters, weight_bytes: of the network, in memory.
        flops_per_forward: of the network on one video, once: in all its windows, or in all parts of a routine's.
        flops_per_step: of the denoising step that takes most, with all its network calls; guidance doubles them.
        whole: all operations from text, noise and the previous stage's video to this stage's, decoding included.
        peak: bytes of weights, a codec's among them, videos and activations that are alive at one time.
    """

    parameters: int
    weight_bytes: int
    flops_per_forward: float
    flops_per_step: int
    whole: Tally
    peak: int


class Training(NamedTuple):
    """The cost of training a stage: for each phase the operations of one batch, and the peak bytes.

    A phase whose batches have one of several grids each is divided, see `zoetrope.training.grids.stretches`.
    """

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
    def largest(self) -> int:
        """The number, in `phases`, of the one that needs most memory."""
        return max(range(len(self.phases)), key=lambda number: self.phases[number][2])


def sampling(
    stage: StageSpec, dtype: torch.dtype, memory: int | None = None, device: torch.device = CPU, card: int | None = None
) -> Sampling:
    """Sample a video of a stage on tensors without data, and count.

    The stage runs whole. If `memory`, the peak of the whole process, or for None what this machine can spare, or a GPU
    with `card` bytes, requires tiles or streaming, the denoiser's calls on tiles or parts replace those on the whole
    video in the count. Raises ValueError if not even the smallest tiles fit into `memory`.
    """
    even = stage.sampling.routine.even
    short = shortened(stage, 2) if even else shortened(stage, stage.sampling.steps)
    layout = plan_layout(short, 1, TOKENS, memory, device, card)
    whole = Layout([whole_tile(short)])
    draw, source = Draw(seed=0, samples=[0], dtype=dtype, layout=whole), source_grid(stage)
    if stage.fills is not None:
        every_nth(stage.shape.frames, stage.shape.frames // stage.fills.frames)
    with dry() as meter:
        network = fused(stage.network.build().eval())
        parameters, weight_bytes = _size(network)
        given, video = blank_request(stage, 1, TOKENS), None
        if source is not None:
            video = torch.zeros(1, stage.network.channels, *source.sizes)
        meter.restart()
        calls = calls_of(short, network, given, video, draw)
        made, call = _call(calls, whole, meter, whole.tiles[0].seen)
        once = Once(meter)
        begun, tallies, peak = _steps(short, partial(ready, short, network, given, video, draw), once)
        if layout != whole and once.whole:
            parts, held = _parts(calls, meter, layout)
            tallies = [_replaced(tally, call, parts) for tally in tallies]
            if (not layout.keep or len(layout.tiles) > 1) and len(stage.windows) == 1:
                begun = begun - made
            peak = min(peak, held)
        decoding, codec, most = _decoding(stage, meter)
    peak = max(peak + codec, most)
    forward = flops_of(call) * len(stage.windows) if once.whole else sum(once.parts.values())
    times = [stage.sampling.length - 1, 1][-len(tallies) :] if even else [1] * len(tallies)
    every = begun + decoding
    for tally, count in zip(tallies, times, strict=True):
        every.update({operation: count * number for operation, number in tally.items()})
    step = max(map(flops_of, tallies))
    return Sampling(parameters, weight_bytes, forward / calls.variants, step, every, peak)


def _steps(stage: StageSpec, made: Callable[[], Ready], once: Once) -> tuple[Tally, list[Tally], int]:
    """The operations of a stage before its first step and those of each step, and the bytes at their peak."""
    stage.check_sampling()
    once.meter.restart()
    there = once.ready(made())
    running = stage.sampling.routine(there)
    begun, tallies = once.meter.tally, list[Tally]()
    for _ in range(stage.sampling.length):
        once.meter.tally = Counter()
        there.keep(next(running).x_hat)
        tallies.append(once.meter.tally)
    return begun, tallies, once.meter.live.peak


def _decoding(stage: StageSpec, meter: Meter[Operation]) -> tuple[Tally, int, int]:
    """The operations of decoding a video, the bytes of the codec's weights, and those that are then alive."""
    if not stage.codec.encodes:
        return Counter(), 0, 0
    codec = stage.codec.build().eval().requires_grad_(False)
    weights = sum(value.nbytes for value in codec.state_dict().values())
    z = torch.zeros(1, stage.network.channels, *stage.shape.sizes)
    meter.restart()
    decoded(codec, z)
    return meter.tally, weights, meter.live.peak


def shortened(stage: StageSpec, steps: int) -> StageSpec:
    """The stage with at most so many steps, as if distilled for any number; the result is never used."""
    sampling = stage.sampling.with_(steps=min(stage.sampling.steps, steps))
    distilled = None if stage.distilled is None else stage.distilled.with_(steps=None)
    return stage.with_(sampling=sampling, distilled=distilled)


def _call(calls: Calls, layout: Layout, meter: Meter[Operation], window: Window) -> tuple[Tally, Tally]:
    """The operations that prepare the denoiser of a window, and those of a call of it."""
    z = torch.zeros(1, calls.stage.network.channels, *window.sizes)
    meter.tally = Counter()
    denoise = of_window(calls, layout)(window)
    made, meter.tally = meter.tally, Counter()
    denoise(z, calls.stage.schedule(torch.ones(1, dtype=torch.float64)))
    return made, meter.tally


def _parts(calls: Calls, meter: Meter[Operation], layout: Layout) -> tuple[Tally, int]:
    """The operations of a step's calls in a layout, and the bytes that sampling in it holds."""
    largest = max((tile.seen for tile in layout.tiles), key=lambda window: window.volume)
    call = _under_way(calls, layout, meter, largest)
    held = min(layout_bytes(calls.stage, 1, TOKENS, layout, each) for each in (None, call))
    if len(layout.tiles) == 1:
        return _streamed(calls, layout, meter, largest), held
    total, sizes = Counter[Operation](), Counter(tile.seen.sizes for tile in layout.tiles)
    for window in {tile.seen.sizes: tile.seen for tile in layout.tiles}.values():
        if layout.part is None:
            one = sum(_call(calls, layout, meter, window), Counter())
        else:
            one = _streamed(calls, layout, meter, window)
        for operation, count in one.items():
            total[operation] += count * sizes[window.sizes]
    return total, held


def _streamed(calls: Calls, layout: Layout, meter: Meter[Operation], window: Window) -> Tally:
    """The operations of a streamed call; parts between the first and the last, which may be smaller, are alike."""
    part = layout.part
    assert part is not None
    full, last = divmod(len(window.frames), part)

    def call(parts: int) -> Tally:
        return _call(calls, layout, meter, window._replace(frames=window.frames[: parts * part + last]))[1]

    if full <= 3:
        return call(full)
    two, three = call(2), call(3)
    return Counter({operation: count + (full - 3) * (count - two[operation]) for operation, count in three.items()})


def _under_way(calls: Calls, layout: Layout, meter: Meter[Operation], window: Window) -> int:
    """The bytes that a call holds beside its input; in a streamed one each layer that mixes frames waits for a part."""
    some = window
    if layout.part is not None:
        reach = calls.stage.network.reach().frames
        assert reach is not None
        some = window._replace(frames=window.frames[: (reach + 3) * layout.part])
    z = torch.zeros(1, calls.stage.network.channels, *some.sizes)
    meter.restart()
    before = meter.live.now
    denoise = of_window(calls, layout)(some)
    if layout.part is not None:  # maps that it keeps are counted with the layout
        meter.restart()
        before = meter.live.now
    denoise(z, calls.stage.schedule(torch.ones(1, dtype=torch.float64)))
    answer = 0 if layout.in_place(calls.stage) else (len(window.frames) - len(some.frames)) * z[:, :, :1].nbytes
    return meter.live.peak - before + answer


def _replaced(step: Tally, call: Tally, parts: Tally) -> Tally:
    """The operations of a step whose calls of the denoiser on the whole are calls on parts instead."""
    times = round(flops_of(step) / flops_of(call))  # a step of a second-order solver has two
    left = Counter({operation: count - times * call[operation] for operation, count in step.items()})
    return left + Counter({operation: times * count for operation, count in parts.items()})


def training(stage: StageSpec, spec: TrainSpec, dtype: torch.dtype) -> Training:
    """Train a stage on one batch of each phase, on tensors without data, and count all networks that run."""
    phases: list[tuple[Phase, Tally, int]] = []
    with dry() as meter:
        networks = {name: config.build() for name, config in networks_of(stage, spec).items()}
        state = TrainState(players_of(networks, stage, spec, dtype), spec)
        alone = spec.with_(parallel=Replicated())
        learner = Learner(stage, alone, state.players, CPU, dtype)
        updates = {name: _update(state, name, meter) for name in state.turns()}
        learning = _Learning(stage, spec, state, learner, updates, meter)
        for phase, sizes in stretches(spec):
            phases.append((phase, *learning.batch(phase, sizes)))
    return Training(phases)


class _Learning(NamedTuple):
    """A training on tensors without data; `updates` are the operations of each player's optimizer step."""

    stage: StageSpec
    spec: TrainSpec
    state: TrainState
    learner: Learner
    updates: Mapping[str, Tally]
    meter: Meter[Operation]

    def batch(self, phase: Phase, sizes: Sequence[int]) -> tuple[Tally, int]:
        """The operations of a step on a batch with so many examples of each grid, and the bytes at its peak."""
        parts = [-(-size // self.spec.accumulate) for size in sizes]
        grids = zip(parts, clip_shapes(self.stage, self.spec, phase), strict=True)
        lessons = [_lesson(self.stage, self.spec, phase, count, shape) for count, shape in grids if count]
        passes, whole, peak = -(-sum(sizes) // sum(parts)), Counter[Operation](), 0
        for name, update in self.updates.items():
            player = self.state.players[name]
            if passes > 1:  # gradients of one part are there while the next is learnt from
                _zero_gradients(player)
            self.meter.restart()
            with self.learner.others_still(name):
                errors = self.learner.packed_errors(name, lessons)
                (torch.stack([each.sum() for each in errors]).sum() / sum(parts)).backward()
            batch = Counter(update)
            for operation, count in self.meter.tally.items():
                batch[operation] += passes * count
            every = 1 if player.learning is None else player.learning.every
            whole.update({operation: -(-count // every) for operation, count in batch.items()})
            peak = max(peak, self.meter.live.peak)
            player.forget()
        return whole, peak


def _update(state: TrainState, name: str, meter: Meter[Operation]) -> Tally:
    """The operations of a player's optimizer step, which also allocates the optimizer's state."""
    player = state.players[name]
    _zero_gradients(player)
    meter.tally = Counter()
    state.gradient_norm(name)
    state.update(name)
    player.averages.update(player.network, 1, 1)
    return meter.tally


def _zero_gradients(player: Player) -> None:
    for weight in player.network.parameters():
        weight.grad = torch.zeros_like(weight)


def _lesson(stage: StageSpec, spec: TrainSpec, phase: Phase, count: int, shape: VideoShape) -> Lesson:
    """Blank examples of a phase on a grid."""
    x, given = _example(stage, spec, phase, count, shape)
    return Lesson(x, torch.zeros_like(x), torch.zeros(count), given, spec.times, spec.weight)


def _example(
    stage: StageSpec, spec: TrainSpec, phase: Phase, count: int, shape: VideoShape
) -> tuple[Tensor, Conditioning]:
    """Blank clips of the phase on a grid, and their conditioning."""
    height, width = spec.crop or (shape.height, shape.width)
    frames = (spec.span or shape.frames) + phase.appended
    x = torch.zeros(count, stage.network.channels, frames, height, width)
    packed = (phase.images > 0 and shape.frames > 1) or phase.appended > 0
    grid = (x.shape[2], x.shape[3], x.shape[4])
    width, channels = stage.network.text_width or 0, stage.network.channels
    extent = Extent(count, grid, TOKENS, width, packed=packed, channels=channels)
    given = Conditioning(images=torch.zeros(count, dtype=torch.bool) if packed else None)
    for each in stage.all_inputs:
        given = given | each.blank(extent)
    return x, given


def _size(network: Network) -> tuple[int, int]:
    weights = list(network.parameters())
    return sum(w.numel() for w in weights), sum(w.numel() * w.itemsize for w in weights)
