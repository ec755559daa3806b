"""What sampling a stage costs in memory, known before it runs.

Nothing is guessed about a network or a sampler: both run on tensors without data, and the bytes of those that live at
the same time are counted.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from zoetrope.cascade.execution.call import Calls, in_one_call
from zoetrope.cascade.execution.meter import Meter, dry
from zoetrope.cascade.execution.streamed import streamed
from zoetrope.cascade.execution.tiles import Tile, Tiling, best_tiles
from zoetrope.cascade.spec import StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.inputs import Extent
from zoetrope.layers.fused import fused
from zoetrope.networks import Network, NetworkConfig
from zoetrope.routines import Ready
from zoetrope.shapes import Window

PROCESS = 500_000_000  # Python, PyTorch, what allocators keep, and a text encoder of the small sort while it reads
ENOUGH = 5  # steps of a sampler: first, middle and last ones
PART, PART_GPU = 2**19, 2**24  # pixels that a network which streams is given at a time: what its caches like


class Cost(NamedTuple):
    """Bytes that sampling a stage holds.

    Attributes:
        fixed: the process, the weights and what the stage is made from.
        state: the stage's videos between network calls; resting: those that remain while the network runs.
        call, pixel: a network call on a window costs `call`, and `pixel` for each pixel of each frame.
    """

    fixed: int
    state: int
    resting: int
    call: float
    pixel: float

    def peak(self, volume: int) -> int:
        """The most that is held at any time if windows have no more than so many pixels over all frames."""
        return self.fixed + max(self.state, self.resting + self.window(volume))

    def window(self, volume: int) -> int:
        """What a network call on a window holds."""
        return round(self.call + self.pixel * volume)

    def largest(self, memory: int) -> float:
        """The pixels of the largest window that stays within a budget."""
        return (memory - self.fixed - self.resting - self.call) / self.pixel


def part_of(stage: StageSpec, device: torch.device) -> int | None:
    """Frames that a network is given at a time; None for one that needs all of them."""
    if not stage.network.reach().streams:
        return None
    pixels = PART if device.type == "cpu" else PART_GPU
    return max(1, min(stage.shape.frames, pixels // (stage.shape.height * stage.shape.width)))


def tiles_within(stage: StageSpec, part: int | None, largest: float) -> Tiling:
    """The tiles that take the least work, for calls of the network on no more than so many pixels."""
    reach = stage.network.reach()
    if part is None:
        return best_tiles(stage.shape, reach, largest)
    flat = best_tiles(stage.shape.with_(frames=part), reach._replace(frames=None), largest)
    frames = range(stage.shape.frames)
    return Tiling((((frames, frames),), *flat.axes[1:]))


def largest_call(tiles: Sequence[Tile], part: int | None) -> int:
    """The pixels of the largest call of the network."""
    sizes = [tiles.longest] if isinstance(tiles, Tiling) else [tile.seen.sizes for tile in tiles]
    return max((frames if part is None else min(part, frames)) * rows * columns for frames, rows, columns in sizes)


@lru_cache(maxsize=64)
def stage_cost(stage: StageSpec, batch: int, tokens: int, part: int | None = None) -> Cost:
    """What sampling a stage holds in memory, with `part` frames at a time; the network computes in float32."""
    small, large = (call_bytes(stage, batch, tokens, part, smallest=smallest) for smallest in (True, False))
    volumes = [largest_call([tile], part) for tile in (smallest_tiles(stage, part)[0], whole_tile(stage))]
    pixel = (large - small) / max(1, volumes[1] - volumes[0])
    calls = _without_data(stage, batch, tokens)
    weights = sum(parameter.nbytes for parameter in calls.network.parameters())
    state, resting = sampler_bytes(stage, batch)
    return Cost(
        fixed=PROCESS + weights + (0 if calls.video is None else calls.video.nbytes),
        state=state,
        resting=resting,
        call=small - pixel * volumes[0] if pixel else small,
        pixel=pixel or 1.0,
    )


@lru_cache(maxsize=64)
def sampler_bytes(stage: StageSpec, batch: int) -> tuple[int, int]:
    """What routine and sampler of a stage hold at their peak, and what of it while the network runs, answer included.

    They run without data, for as many steps as it takes until all steps are alike.
    """
    whole = Window.whole(stage.shape)
    resting = 0
    meter: Meter[Any]
    with dry() as meter, torch.no_grad():

        def denoise(z: Tensor, level: NoiseLevel) -> Tensor:
            nonlocal resting
            x_hat = torch.empty_like(z)
            resting = max(resting, meter.live.now)
            return x_hat

        steps = min(stage.sampling.steps, ENOUGH)
        levels = [_level(batch) for _ in range(steps + 1)]
        ready = Ready(
            denoise=denoise,
            levels=levels,
            noise=lambda purpose: _video(stage, batch, whole),
            sampler=stage.sampling.sampler,
        )
        for step in stage.sampling.routine(ready):
            del step
        video = _video(stage, batch, whole).nbytes
    return max(meter.live.peak, 2 * video), max(resting, 2 * video)


@lru_cache(maxsize=64)
def call_bytes(stage: StageSpec, batch: int, tokens: int, part: int | None, *, smallest: bool) -> int:
    """What a network call on the smallest tile of a stage holds, or on its whole picture.

    Where parts of the video follow one another, no more of them are run than meet in the network.
    """
    window = (smallest_tiles(stage, part)[0] if smallest else whole_tile(stage)).seen
    calls, some, reach = _without_data(stage, batch, tokens), window, stage.network.reach().frames
    if part is not None and reach is not None:
        some = window._replace(frames=window.frames[: (reach + 3) * part])
    with dry():
        z, level = _video(stage, batch, some), _level(batch)

    def call() -> None:
        if part is not None and part < len(some.frames):
            streamed(calls, some, part, keep=False, in_place=False)(z, level)
        else:
            in_one_call(calls, some)(z, level)

    meter: Meter[Any]
    with dry() as meter, torch.no_grad():
        call()
    return meter.live.peak + 2 * (window.volume - some.volume) * z.nbytes // some.volume  # z and the answer


@lru_cache(maxsize=16)
def _built(network: NetworkConfig) -> Network:
    """The network without weights, built once for all questions about it."""
    with dry():
        return fused(network.build().eval())


def _without_data(stage: StageSpec, batch: int, tokens: int) -> Calls:
    """The calls of a stage, without data."""
    with dry():
        network, given = _built(stage.network), blank_request(stage, batch, tokens)
        video = None if stage.source is None else torch.empty(batch, stage.network.channels, *stage.source.sizes)
    return Calls(
        stage=stage,
        network=network,
        given=given,
        video=video,
        noise=lambda purpose, window: _video(stage, batch, window),
        step=lambda level: 0,
    )


def blank_request(stage: StageSpec, batch: int, tokens: int) -> Conditioning:
    """What a stage's network is told that is not made from another stage's video, without values."""
    extent = Extent(batch, stage.shape.sizes, tokens, stage.network.text_width or 0, channels=stage.network.channels)
    given = Conditioning()
    for each in stage.inputs:
        if each.source is None:
            given = given | each.blank(extent)
    return given


def smallest_tiles(stage: StageSpec, part: int | None) -> Tiling:
    """The smallest that a stage can work in."""
    return tiles_within(stage, part, 0)


def whole_tile(stage: StageSpec) -> Tile:
    """The whole video in one."""
    return Tile(Window.whole(stage.shape), Window.whole(stage.shape))


def _level(batch: int) -> NoiseLevel:
    return NoiseLevel(*torch.ones(3, batch, dtype=torch.float64))


def _video(stage: StageSpec, batch: int, window: Window) -> Tensor:
    return torch.empty(batch, stage.network.channels, *window.sizes)
