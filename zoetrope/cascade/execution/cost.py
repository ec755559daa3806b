"""How much memory sampling a stage takes, known before it runs.

Nothing is guessed about a network or a sampler: both run on tensors without data, and a meter counts the bytes of those
that are alive at the same time.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from zoetrope.cascade.between import source_grid
from zoetrope.cascade.execution.call import Calls, in_one_call
from zoetrope.cascade.execution.meter import Meter, dry
from zoetrope.cascade.execution.overlap import overlapping
from zoetrope.cascade.execution.streamed import streamed
from zoetrope.cascade.execution.tiles import Tile, Tiling, best_tiles
from zoetrope.cascade.spec import StageSpec
from zoetrope.codecs import decoded
from zoetrope.conditioning import Conditioning
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.inputs import Extent
from zoetrope.known import Known, Method, Task, keeping_known
from zoetrope.layers.fused import fused
from zoetrope.networks import Network, NetworkConfig, Reach
from zoetrope.routines import Ready
from zoetrope.shapes import Window

PROCESS = 500_000_000  # Python, PyTorch, memory that allocators keep, and a small text encoder
ENOUGH = 5  # sampler steps to measure: the first, the last, and some between
PART, PART_GPU = 2**19, 2**24  # pixels of each part that a streaming network processes: sized for caches


class Cost(NamedTuple):
    """Bytes of memory that sampling a stage holds.

    Attributes:
        fixed: the process, the weights, a codec's among them, and the source video.
        state: the stage's videos between network calls; resting: those that stay in memory while the network runs.
        call, pixel: a network call on a window takes `call`, plus `pixel` for each pixel of each frame.
        decoding: latents, the videos that a codec makes of them, and what it holds meanwhile; 0 for a stage of pixels.
    """

    fixed: int
    state: int
    resting: int
    call: float
    pixel: float
    decoding: int = 0

    def peak(self, volume: int) -> int:
        """Peak bytes if the largest window has `volume` pixels over all its frames."""
        return self.fixed + max(self.state, self.resting + self.window(volume), self.decoding)

    def window(self, volume: int) -> int:
        """Bytes that a network call on a window of `volume` pixels holds."""
        return round(self.call + self.pixel * volume)

    def largest(self, memory: int) -> float:
        """The volume of the largest window that stays within a budget of bytes."""
        return (memory - self.fixed - self.resting - self.call) / self.pixel


def differentiates(stage: StageSpec) -> bool:
    """Whether the stage needs the gradient of its denoiser, that of whole videos, to agree with known frames."""
    return stage.sampling.known is not None and stage.sampling.known.differentiates


def reach_of(stage: StageSpec) -> Reach:
    """How far the network's output depends on its input, as far as sampling in parts goes: no gradient is in parts."""
    reach = stage.network.reach()
    return reach._replace(frames=None, pixels=None, streams=False) if differentiates(stage) else reach


def parts_of(stage: StageSpec, device: torch.device) -> tuple[int | None, ...]:
    """How many frames a streaming network may process at a time, the most first; (None,) for one that needs all.

    On a GPU many are faster, and fewer are better than tiles, which overlap.
    """
    if not reach_of(stage).streams:
        return (None,)
    seen, sizes = stage.seen, [PART]
    while device.type != "cpu" and sizes[-1] < PART_GPU:
        sizes.append(2 * sizes[-1])
    parts = (max(1, min(seen.frames, pixels // (seen.height * seen.width))) for pixels in reversed(sizes))
    return tuple(dict.fromkeys(parts))


def tiles_within(stage: StageSpec, part: int | None, largest: float) -> Tiling:
    """The tiles of a window that take the least work if no network call may exceed `largest` pixels."""
    reach, seen = reach_of(stage), stage.seen
    if part is None:
        return best_tiles(seen, reach, largest)
    flat = best_tiles(seen.with_(frames=part), reach._replace(frames=None), largest)
    frames = range(seen.frames)
    return Tiling((((frames, frames),), *flat.axes[1:]))


def largest_call(tiles: Sequence[Tile], part: int | None) -> int:
    """The volume, in pixels, of the largest network call."""
    sizes = [tiles.longest] if isinstance(tiles, Tiling) else [tile.seen.sizes for tile in tiles]
    return max((frames if part is None else min(part, frames)) * rows * columns for frames, rows, columns in sizes)


@lru_cache(maxsize=64)
def stage_cost(stage: StageSpec, batch: int, tokens: int, part: int | None = None) -> Cost:
    """The memory cost of sampling a stage `part` frames at a time, in float32."""
    small, large = (call_bytes(stage, batch, tokens, part, smallest=smallest) for smallest in (True, False))
    volumes = [largest_call([tile], part) for tile in (smallest_tiles(stage, part)[0], whole_tile(stage))]
    pixel = (large - small) / max(1, volumes[1] - volumes[0])
    calls = _without_data(stage, batch, tokens)
    weights = sum(parameter.nbytes for parameter in calls.network.parameters())
    state, resting = sampler_bytes(stage, batch)
    codec, decoding = codec_bytes(stage, batch)
    return Cost(
        fixed=PROCESS + weights + codec + (0 if calls.video is None else calls.video.nbytes),
        state=state,
        resting=resting,
        call=small - pixel * volumes[0] if pixel else small,
        pixel=pixel or 1.0,
        decoding=decoding,
    )


@lru_cache(maxsize=64)
def codec_bytes(stage: StageSpec, batch: int) -> tuple[int, int]:
    """Bytes of the weights of a stage's codec, and those that decoding its videos holds, their latents included."""
    if not stage.codec.encodes:
        return 0, 0
    meter: Meter[Any]
    with dry() as meter:
        codec = stage.codec.build().eval().requires_grad_(False)
        weights = sum(value.nbytes for value in codec.state_dict().values())
        before = meter.live.now
        z = _video(stage, batch, Window.whole(stage.shape))
        meter.restart()
        decoded(codec, z)
        return weights, meter.live.peak - before


@lru_cache(maxsize=64)
def sampler_bytes(stage: StageSpec, batch: int) -> tuple[int, int]:
    """Bytes that a stage's routine and sampler hold at their peak, and while the network runs, its output included.

    They run without data, for `ENOUGH` steps: further ones are all alike.
    """
    whole, most = Window.whole(stage.shape), _all_but_one(stage)
    resting = 0
    meter: Meter[Any]
    with dry() as meter, torch.no_grad():

        def called(z: Tensor, level: NoiseLevel) -> Tensor:
            nonlocal resting
            x_hat = torch.empty_like(z)
            resting = max(resting, meter.live.now)
            return x_hat

        denoise = overlapping(lambda window: called, stage.windows, stage.shape.sizes)

        steps = min(stage.sampling.steps, ENOUGH)
        levels = [_level(batch) for _ in range(steps + 1)]
        ready = Ready(
            denoise=denoise,
            levels=levels,
            noise=lambda purpose: _video(stage, batch, whole),
            sampler=stage.sampling.sampler,
            part=lambda frames: called,
        )
        if stage.sampling.known is not None:
            ready = _knowing(ready, stage.sampling.known, Known(most, _video(stage, batch, whole)))
        for step in stage.sampling.routine(ready):
            del step
        video = _video(stage, batch, whole).nbytes
    return max(meter.live.peak, 2 * video), max(resting, 2 * video)


def _knowing(ready: Ready, method: Method, known: Known) -> Ready:
    """The same with known frames."""
    denoise = ready.denoise
    if not method.differentiates:  # otherwise it is part of the call
        denoise = method.denoiser(denoise, _task(known, ready.levels))
    denoise = keeping_known(denoise, known)
    if not method.holds:
        return replace(ready, denoise=denoise)
    levels = [known.level(level, level) for level in ready.levels]
    return replace(ready, denoise=denoise, levels=levels, held=known)


def _task(known: Known, levels: Sequence[NoiseLevel]) -> Task:
    return Task(stage="", known=known, levels=levels, noise=lambda purpose, frames: known.video[:, :, frames])


def _all_but_one(stage: StageSpec) -> Tensor:
    """Known frames, made outside of dry runs."""
    return torch.arange(stage.shape.frames, device="cpu") > 0


@lru_cache(maxsize=64)
def call_bytes(stage: StageSpec, batch: int, tokens: int, part: int | None, *, smallest: bool) -> int:
    """Bytes that a network call holds on a stage's smallest tile, or on its whole frame.

    A streaming network runs on only as many parts as it holds at the same time.
    """
    window = (smallest_tiles(stage, part)[0] if smallest else whole_tile(stage)).seen
    calls, some, reach, most = _without_data(stage, batch, tokens), window, reach_of(stage).frames, _all_but_one(stage)
    if part is not None and reach is not None:
        some = window._replace(frames=window.frames[: (reach + 3) * part])
    elif differentiates(stage):  # whole videos in all their windows
        window = some = Window.whole(stage.shape)
    with dry():
        z, level = _video(stage, batch, some), _level(batch)

    def call() -> None:
        if part is not None and part < len(some.frames):
            streamed(calls, some, part, keep=False, in_place=False)(z, level)
        elif stage.sampling.known is not None and stage.sampling.known.differentiates:
            task = _task(Known(most, torch.empty_like(z)), [level, level])
            denoise = overlapping(partial(in_one_call, calls), stage.windows, stage.shape.sizes)
            stage.sampling.known.denoiser(denoise, task)(z, level)
        else:
            in_one_call(calls, some)(z, level)

    meter: Meter[Any]
    with dry() as meter, torch.no_grad():
        call()
    return meter.live.peak + 2 * (window.volume - some.volume) * z.nbytes // some.volume  # z and the output


@lru_cache(maxsize=16)
def _built(network: NetworkConfig, *, textbook: bool = False) -> Network:
    """The network without weights, built once and cached; in textbook form it has gradients."""
    with dry():
        made = network.build().eval().requires_grad_(False)
        return made if textbook else fused(made)


def _without_data(stage: StageSpec, batch: int, tokens: int) -> Calls:
    """The network calls of a stage, on tensors without data."""
    network = _built(stage.network, textbook=differentiates(stage))
    with dry():
        given = blank_request(stage, batch, tokens)
        grid = source_grid(stage)
        video = None if grid is None else torch.empty(batch, stage.network.channels, *grid.sizes)
    return Calls(
        stage=stage,
        network=network,
        given=given,
        video=video,
        noise=lambda purpose, window: _video(stage, batch, window),
        step=lambda level: 0,
    )


def blank_request(stage: StageSpec, batch: int, tokens: int) -> Conditioning:
    """A stage's conditioning without values, except for inputs that are made from another stage's video."""
    extent = Extent(batch, stage.shape.sizes, tokens, stage.network.text_width or 0, channels=stage.network.channels)
    given = Conditioning()
    for each in stage.inputs:
        if each.source is None:
            given = given | each.blank(extent)
    return given


def smallest_tiles(stage: StageSpec, part: int | None) -> Tiling:
    """The smallest tiles that a stage can be sampled in."""
    return tiles_within(stage, part, 0)


def whole_tile(stage: StageSpec) -> Tile:
    """A single tile: all that the network sees at once, a window or the whole video."""
    return Tile(Window.whole(stage.seen), Window.whole(stage.seen))


def _level(batch: int) -> NoiseLevel:
    return NoiseLevel(*torch.ones(3, batch, dtype=torch.float64))


def _video(stage: StageSpec, batch: int, window: Window) -> Tensor:
    return torch.empty(batch, stage.network.channels, *window.sizes)
