"""Space-time tiles: denoise whole videos window by window, with the same result in less memory.

Each tile is computed from a window that extends beyond it by a halo as wide as the network's receptive field; of the
result only the tile is kept. Windows end where the video ends, so the network pads there as in a whole video.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import NamedTuple, overload

import numpy as np
import torch
from torch import Tensor

from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.networks import Reach
from zoetrope.shapes import VideoShape, Window


class Tile(NamedTuple):
    """What is kept of one network call, and the window that the call sees."""

    kept: Window
    seen: Window


def tiled(local: Callable[[Window], Denoise], tiles: Sequence[Tile]) -> Denoise:
    """The denoiser of whole videos whose tiles come from `local(window)`, the denoiser of a window."""
    if len(tiles) == 1:
        return local(tiles[0].seen)

    def run(z: Tensor, level: NoiseLevel) -> Tensor:
        x_hat = torch.empty_like(z)
        for tile in tiles:
            inside = tile.kept.within(tile.seen)
            tile.kept.of(x_hat).copy_(inside.of(local(tile.seen)(tile.seen.of(z), level.frames(tile.seen.frames))))
        return x_hat

    return run


def one_by_one(denoisers: Sequence[Denoise]) -> Denoise:
    """The denoiser of a batch from one denoiser per video."""
    if len(denoisers) == 1:
        return denoisers[0]

    def run(z: Tensor, level: NoiseLevel) -> Tensor:
        x_hat = torch.empty_like(z)
        for number, denoise in enumerate(denoisers):
            one = slice(number, number + 1)
            x_hat[one] = denoise(z[one], level.select(one))
        return x_hat

    return run


@dataclass(frozen=True)
class Tiling(Sequence[Tile]):
    """The tiles of a video, each made on access: there can be millions of small ones.

    `axes` holds, for frames, rows and columns, the ranges that tiles keep, each with the range that its window covers.
    """

    axes: tuple[tuple[tuple[range, range], ...], ...]

    def __len__(self) -> int:
        return math.prod(map(len, self.axes))

    @overload
    def __getitem__(self, index: int) -> Tile: ...
    @overload
    def __getitem__(self, index: slice) -> list[Tile]: ...
    def __getitem__(self, index: int | slice) -> Tile | list[Tile]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        frames, rows, columns = np.unravel_index(index % len(self), [len(axis) for axis in self.axes])
        spans = (self.axes[0][frames], self.axes[1][rows], self.axes[2][columns])
        return Tile(*(Window(*ranges) for ranges in zip(*spans, strict=True)))

    @property
    def longest(self) -> tuple[int, int, int]:
        """The most frames, rows and columns of a window; one window has all three."""
        frames, rows, columns = (max(len(seen) for _, seen in axis) for axis in self.axes)
        return frames, rows, columns


def tiles_of(shape: VideoShape, size: tuple[int, int, int], reach: Reach) -> Tiling:
    """The tiles of frames x rows x columns that cover a video, with their windows.

    `size` must be a multiple of reach.grid in space and of reach.every in time. An axis may end in a smaller tile.
    """
    return Tiling(tuple(tuple(_spans(*axis)) for axis in zip(shape.sizes, size, _halos(reach), strict=True)))


def best_tiles(shape: VideoShape, reach: Reach, largest: float) -> Tiling:
    """The tiles that take the least work, with windows of at most `largest` pixels over all their frames.

    If none are small enough, the tiles whose largest window is smallest.
    """
    size = _best_size(shape.sizes, _halos(reach), reach, largest)
    return tiles_of(shape, size, reach)


@lru_cache(maxsize=64)
def _best_size(
    sizes: tuple[int, int, int], halos: tuple[int | None, ...], reach: Reach, largest: float
) -> tuple[int, int, int]:
    grids = (reach.every, reach.grid, reach.grid)
    axes = [list(_steps(size, halo, grid)) for size, halo, grid in zip(sizes, halos, grids, strict=True)]
    best: tuple[bool, float, int] | None = None
    for steps in product(*axes):
        window = math.prod(step.longest for step in steps)
        count = math.prod(step.tiles for step in steps)
        fits = window <= largest
        cost = (not fits, math.prod(step.total for step in steps) if fits else window, count)
        if best is None or cost < best:
            best, found = cost, steps
    frames, rows, columns = (step.size for step in found)
    return frames, rows, columns


class _Step(NamedTuple):
    """A tile's size along one axis, with the longest window, the total length of windows and their number."""

    size: int
    longest: int
    total: int
    tiles: int


def _steps(size: int, halo: int | None, grid: int) -> Iterator[_Step]:
    cells = size // grid
    counts = range(1, cells + 1) if halo is not None else range(1, 2)
    for step in sorted({grid * math.ceil(cells / count) for count in counts}):
        lengths = [len(seen) for _, seen in _spans(size, step, halo)]
        yield _Step(step, max(lengths), sum(lengths), len(lengths))


def _spans(size: int, step: int, halo: int | None) -> Iterator[tuple[range, range]]:
    """The parts of an axis, each with the range that its window covers."""
    if halo is None:
        yield range(size), range(size)
        return
    for start in range(0, size, step):
        stop = min(size, start + step)
        yield range(start, stop), range(max(0, start - halo), min(size, stop + halo))


def _halos(reach: Reach) -> tuple[int | None, int | None, int | None]:
    """How far a window extends beyond its tile along each axis: whole grid cells in space, whole strides in time."""
    pixels = None if reach.pixels is None else math.ceil(reach.pixels / reach.grid) * reach.grid
    frames = None if reach.frames is None else math.ceil(reach.frames / reach.every) * reach.every
    return frames, pixels, pixels
