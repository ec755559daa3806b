"""What sampling a stage costs in memory, known before it runs, and the tiles that keep it within a budget.

Nothing is guessed about a network: it runs on the meta device, where tensors have shapes and no data, and the bytes of
those that live at the same time are counted.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from zoetrope.cascade.live import Live
from zoetrope.cascade.local import Local, local_denoiser
from zoetrope.cascade.meta import META, result
from zoetrope.cascade.room import allowed, available
from zoetrope.cascade.spec import StageSpec
from zoetrope.cascade.tiles import Tile, Tiling, best_tiles
from zoetrope.conditioning import Conditioning
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.networks import Network, NetworkConfig
from zoetrope.shapes import Window

PROCESS = 500_000_000  # Python, PyTorch, what allocators keep, and a text encoder of the small sort while it reads
LARGEST = 1_000_000_000  # of a tile where no budget is given: larger ones are no faster on CPUs
KEPT = 1_000_000_000  # of a source kept from step to step where no budget is given; a larger one is made anew
SMALL = 2**17  # pixels over all frames; a smaller video is never worth tiling
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


class Layout(NamedTuple):
    """How a stage's network goes through its video.

    Attributes:
        tiles: the parts of the picture, one after the other.
        part: frames of a tile that the network is given at a time, if it streams; None: all at once.
        keep: whether the source on this stage's grid is kept from step to step.
        apart: whether the network is given one video of the batch at a time.
    """

    tiles: list[Tile]
    part: int | None = None
    keep: bool = True
    apart: bool = False

    def once(self, stage: StageSpec) -> bool:
        """Whether x_hat takes the place of z: in a single step, where no other tile looks at what was there."""
        return self.part is not None and len(self.tiles) == 1 and stage.sampling.steps == 1


def plan_layout(stage: StageSpec, batch: int, tokens: int, memory: int | None, device: torch.device) -> Layout:
    """How to sample a stage for `batch` videos with texts of `tokens` tokens.

    The way that takes the least work that `memory`, the peak of the whole process in bytes, allows; for None it is
    what this machine can spare. Raises ValueError, which says what would do, if not even the smallest way fits.
    """
    if memory is not None:
        expect_memory([stage], batch, tokens, memory, device)
    whole, part = Window.whole(stage.shape), _part(stage, device)
    one: Sequence[Tile] = [_whole(stage)]
    reach = stage.network.reach()
    if memory is None and (whole.volume <= SMALL or (part is None and reach.frames is None and reach.pixels is None)):
        return Layout([_whole(stage)])
    video = stage.network.channels * whole.volume * 4
    if memory is None and part is not None and stage.sampling.steps == 1:  # all that is asked is whether the whole fits
        call = call_bytes(stage, batch, tokens, part, smallest=False)
        if call - 2 * batch * video <= _spare(device):
            return Layout([_whole(stage)], part, keep=False)
    for together in (batch, 1):  # videos are parted from one another before they are cut up: tiles overlap
        cost = _cost(stage, batch, together, tokens, part)
        spare = cost.fixed + cost.resting + _spare(device) if memory is None else memory
        # What the parts of a single tile are cut from and gathered in are two of the videos that rest: counted there.
        twice = 0 if part is None else 2 * together * video
        if memory is None and part is not None and cost.peak(_volume(one, part)) - twice <= spare:
            tiles: Sequence[Tile] = one
        else:
            tiles = _tiles(stage, part, cost.largest(spare))
        needed = cost.peak(_volume(tiles, part))
        if len(tiles) == 1 and (memory is None or needed <= memory):
            break
    if part is None:
        return Layout(list(tiles), apart=together < batch)
    room = min(KEPT, (available() - needed + twice) // 2) if memory is None else memory - needed
    keep = stage.sampling.steps > 1 and len(tiles) == 1 and batch * video < room
    return Layout(list(tiles), part, keep=keep, apart=together < batch)


def layout_here(stage: StageSpec, batch: int, tokens: int, memory: int | None, device: torch.device) -> Layout:
    """How to sample a stage whose network is in memory already, within what this process is allowed to take.

    Raises ValueError, which says what would do, if not even the smallest way fits.
    """
    layout = plan_layout(stage, batch, tokens, memory, device)
    left = allowed() if memory is None and device.type == "cpu" else None
    there = _cost(stage, batch, 1 if layout.apart else batch, tokens, layout.part).fixed if left is not None else 0
    if left is None or layout_bytes(stage, batch, tokens, layout) + PROCESS - there <= left:
        return layout
    return plan_layout(stage, batch, tokens, there + left, device)


def layout_bytes(stage: StageSpec, batch: int, tokens: int, layout: Layout, call: int | None = None) -> int:
    """What sampling a stage in a given way holds at its peak, the process itself left out.

    `call` is what a call of the network holds, for those who know it better than to the type of its weights.
    """
    video = batch * stage.network.channels * math.prod(stage.shape.sizes) * 4
    less = video // batch if layout.apart else video  # one by one, videos are gathered in a place of their own
    more = video * bool(layout.keep and layout.part) - less * layout.once(stage)
    cost = _cost(stage, batch, 1 if layout.apart else batch, tokens, layout.part)
    if call is None:
        call = cost.window(_volume(layout.tiles, layout.part))
    return cost.fixed - PROCESS + max(cost.state, cost.resting + call) + more


def _part(stage: StageSpec, device: torch.device) -> int | None:
    """Frames that a network is given at a time; None for one that needs all of them."""
    if not stage.network.reach().streams:
        return None
    pixels = PART if device.type == "cpu" else PART_GPU
    return max(1, min(stage.shape.frames, pixels // (stage.shape.height * stage.shape.width)))


def _tiles(stage: StageSpec, part: int | None, largest: float) -> Tiling:
    """The tiles that take the least work, for calls of the network on no more than so many pixels."""
    reach = stage.network.reach()
    if part is None:
        return best_tiles(stage.shape, reach, largest)
    flat = best_tiles(stage.shape.model_copy(update={"frames": part}), reach._replace(frames=None), largest)
    frames = range(stage.shape.frames)
    return Tiling((((frames, frames),), *flat.axes[1:]))


def _volume(tiles: Sequence[Tile], part: int | None) -> int:
    """The pixels of the largest call of the network."""
    sizes = [tiles.longest] if isinstance(tiles, Tiling) else [tile.seen.sizes for tile in tiles]
    return max((frames if part is None else min(part, frames)) * rows * columns for frames, rows, columns in sizes)


def least_memory(stage: StageSpec, batch: int, tokens: int, device: torch.device) -> int:
    """The least memory that sampling a stage can do with: in its smallest tiles, in bytes of the whole process."""
    part = _part(stage, device)
    return _cost(stage, batch, 1, tokens, part).peak(_volume(_tiles(stage, part, 0), part))


def expect_memory(stages: Iterable[StageSpec], batch: int, tokens: int, memory: int, device: torch.device) -> None:
    """Raise ValueError, with what would do for all of these stages, if one of them cannot be sampled in `memory`."""
    least = ((least_memory(stage, batch, tokens, device), stage) for stage in stages)
    needed, stage = max(least, key=lambda pair: pair[0])
    if needed > memory:
        raise ValueError(
            f"memory: stage {stage.name!r} ({stage.shape}) needs {math.ceil(needed / 1e6)} MB even in its smallest "
            f"tiles, got {memory // 10**6} MB"
        )


def _cost(stage: StageSpec, batch: int, together: int, tokens: int, part: int | None) -> Cost:
    """What a batch costs of which the network is given so many videos at a time."""
    call = stage_cost(stage, together, tokens, part)
    return stage_cost(stage, batch, tokens, part)._replace(call=call.call, pixel=call.pixel)


@lru_cache(maxsize=64)
def stage_cost(stage: StageSpec, batch: int, tokens: int, part: int | None = None) -> Cost:
    """What sampling a stage holds in memory, with `part` frames at a time; the network computes in float32."""
    small, large = (call_bytes(stage, batch, tokens, part, smallest=smallest) for smallest in (True, False))
    volumes = [_volume([tile], part) for tile in (_tiles(stage, part, 0)[0], _whole(stage))]
    pixel = (large - small) / max(1, volumes[1] - volumes[0])
    video = _video(stage, batch, Window.whole(stage.shape)).nbytes
    held = stage.sampling.sampler.videos
    local = _on_meta(stage, batch, tokens, part)
    weights = sum(parameter.nbytes for parameter in local.network.parameters())
    return Cost(
        fixed=PROCESS + weights + (0 if local.source is None else local.source.nbytes),
        state=held * video,
        resting=max(held - 1, 2) * video,
        call=small - pixel * volumes[0] if pixel else small,
        pixel=pixel or 1.0,
    )


@lru_cache(maxsize=64)
def call_bytes(stage: StageSpec, batch: int, tokens: int, part: int | None, *, smallest: bool) -> int:
    """What a network call on the smallest tile of a stage holds, or on its whole picture."""
    tile = _tiles(stage, part, 0)[0] if smallest else _whole(stage)
    return _measure(_on_meta(stage, batch, tokens, part), batch, tile.seen)


def _bare(network: NetworkConfig) -> Network:
    """The network without weights, built once for all questions about it."""
    plain = type(torch.empty(0, device=META)) is Tensor  # and no `FakeTensor`, which lives in its own mode alone
    return _built(network) if plain else network.bare().eval()


@lru_cache(maxsize=16)
def _built(network: NetworkConfig) -> Network:
    return network.bare().eval()


def _on_meta(stage: StageSpec, batch: int, tokens: int, part: int | None) -> Local:
    """What the denoisers of a stage's windows are made from, on the meta device."""
    with _Counter(), META:
        network = _bare(stage.network)
        text = Conditioning(
            text=torch.empty(batch, tokens, stage.network.text_width),
            text_mask=torch.ones(batch, tokens, dtype=torch.bool),
        )
        source = None if stage.source is None else torch.empty(batch, stage.network.channels, *stage.source.sizes)
    return Local(
        stage,
        network,
        text,
        source,
        lambda purpose, window: _video(stage, batch, window),
        lambda level: 1.0,
        part=part,
        keep=False,
    )


def peak_bytes(run: Callable[[], object]) -> int:
    """The most bytes of tensors that a function makes and holds at the same time; on any device, meta too."""
    with _Counter() as counter:
        run()
    return counter.live.peak


def _measure(local: Local, batch: int, window: Window) -> int:
    """The peak of a call; where parts of the video follow one another, of no more parts than meet in the network."""
    some, reach = window, local.stage.network.reach().frames
    if local.part is not None and reach is not None:
        some = window._replace(frames=window.frames[: (reach + 3) * local.part])
    z = _video(local.stage, batch, some)
    level = NoiseLevel(*torch.ones(3, batch, dtype=torch.float64, device=META))
    with torch.no_grad():
        peak = peak_bytes(lambda: local_denoiser(local, some)(z, level))
    return peak + 2 * (_video(local.stage, batch, window).nbytes - z.nbytes)  # z and the answer


def _whole(stage: StageSpec) -> Tile:
    return Tile(Window.whole(stage.shape), Window.whole(stage.shape))


def _video(stage: StageSpec, batch: int, window: Window) -> Tensor:
    return torch.empty(batch, stage.network.channels, *window.sizes, device=META)


def _spare(device: torch.device) -> int:
    """Bytes that a tile may take if nobody says."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 2
    return min(LARGEST, available() // 4)


class _Counter(TorchDispatchMode):
    """Counts the bytes of all tensors that operations make."""

    def __init__(self) -> None:
        super().__init__()
        self.live = Live()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Not to be wrapped by what importing takes a second."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        known = result(func, args, kwargs or {})
        out = func(*args, **(kwargs or {})) if known is None else known
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self.live.hold(leaf)
        return out
