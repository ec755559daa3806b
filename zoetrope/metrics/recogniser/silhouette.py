"""Match an object's coverage with every shape at every angle, in a frame of the object's own centre and area.

The unit of length is the radius of the disc with the object's area. A template is drawn finely from toybox's signed
distances, brought to this unit, and blurred as much as the object's pixels do.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from zoetrope.data.toybox.distance import distance
from zoetrope.data.toybox.solids import solid
from zoetrope.data.toybox.vocabulary import FLAT_SHAPES, SOLID_SHAPES
from zoetrope.metrics.recogniser.foreground import Array, Mask

_REACH, _CELLS, _FINE = 1.9, 25, 75
_ANGLE_STEP = 5.0
# Degrees after which a shape, turned, is the same again; solids turn about their upright axis.
PERIODS = {"circle": 0, "ring": 0, "square": 90, "cross": 90, "star": 72, "triangle": 120, "heart": 360}
PERIODS |= {"sphere": 0, "cube": 90, "pyramid": 90}
_SCALES = (0.93, 1.0, 1.07)
# Standard deviations, in pixels, of what may have blurred the picture: its own pixels, and more.
_BLURS = (0.55, 0.9, 1.4)
_BLUR_RATIO = 1.2


class BlobTrack(NamedTuple):
    """Per frame (F,): centre and equivalent radius in pixels, mean coverage within, whether it touches the border."""

    x: Array
    y: Array
    radius: Array
    filled: Array
    cut: Mask


def track(share: Array, core: Mask, margin: Mask) -> BlobTrack:
    """Measure the blob of a coverage map (F, H, W)."""
    mass = share * margin
    area = np.maximum(mass.sum((1, 2)), 1e-3)
    height, width = share.shape[1:]
    x = (mass.sum(1) * (np.arange(width) + 0.5)).sum(1) / area
    y = (mass.sum(2) * (np.arange(height) + 0.5)).sum(1) / area
    filled = (share * core).sum((1, 2)) / np.maximum(core.sum((1, 2)), 1)
    cut = np.asarray(core[:, [0, -1]].any((1, 2)) | core[:, :, [0, -1]].any((1, 2)), dtype=bool)
    return BlobTrack(x, y, np.sqrt(area / math.pi), filled, cut)


def angles(period: float) -> Array:
    """The angles tried for a shape, in degrees."""
    count = max(1, round(period / _ANGLE_STEP))
    return np.arange(count) * (period / count)


@lru_cache(maxsize=2)
def _fine_templates(solids: bool) -> tuple[Array, tuple[tuple[str, int, int], ...]]:
    """Unblurred templates (N, fine, fine) in the canonical frame, and (shape, first, last) of each shape's angles."""
    pictures: list[Array] = []
    spans: list[tuple[str, int, int]] = []
    for shape in SOLID_SHAPES if solids else FLAT_SHAPES:
        turns = np.radians(angles(PERIODS[shape]))
        spans.append((shape, len(pictures), len(pictures) + len(turns)))
        pictures += [_picture(shape, float(turn)) for turn in turns]
    return np.stack(pictures), tuple(spans)


def _picture(shape: str, turn: float) -> Array:
    axis = np.linspace(-1.6, 1.6, 161)
    alpha = _alpha(shape, turn, axis[None, :] + 0 * axis[:, None], axis[:, None] + 0 * axis[None, :], 0.02)
    area = alpha.sum()
    x, y = float((alpha.sum(0) * axis).sum() / area), float((alpha.sum(1) * axis).sum() / area)
    unit = math.sqrt(float(area) * (axis[1] - axis[0]) ** 2 / math.pi)
    grid = ((np.arange(_FINE) + 0.5) / _FINE * 2 - 1) * _REACH * unit
    across, along = x + grid[None, :] + 0 * grid[:, None], y + grid[:, None] + 0 * grid[None, :]
    return _alpha(shape, turn, across, along, float(grid[1] - grid[0])).astype(np.float32)


def _alpha(shape: str, turn: float, x: Array, y: Array, pixel: float) -> Array:
    if shape in SOLID_SHAPES:
        return solid(shape, x, y, turn, pixel)[0]
    cos, sin = math.cos(turn), math.sin(turn)
    alpha: Array = np.clip(0.5 - distance(shape, x * cos + y * sin, y * cos - x * sin) / pixel, 0, 1)
    return alpha


@lru_cache(maxsize=64)
def _bank(solids: bool, level: int) -> Array:
    """Templates (N, cells * cells), blurred by _BLUR_RATIO ** level units."""
    fine = ((np.arange(_FINE) + 0.5) / _FINE * 2 - 1) * _REACH
    cells = np.linspace(-1, 1, _CELLS) * _REACH
    kernel = np.exp(-0.5 * np.square((cells[:, None] - fine[None, :]) / _BLUR_RATIO**level))
    kernel /= kernel.sum(1).max()
    blurred = np.einsum("ik,nkl,jl->nij", kernel, _fine_templates(solids)[0], kernel, optimize=True)
    bank: Array = blurred.reshape(len(blurred), -1).astype(np.float32)
    return bank


def _patches(share: Array, seen: BlobTrack, scale: float) -> tuple[Array, Array]:
    """Coverage and its weight, both (F, cells * cells), around the object; the weight is 0 outside the picture."""
    height, width = share.shape[1:]
    cells = np.linspace(-1, 1, _CELLS) * _REACH * scale
    x = (seen.x[:, None] + seen.radius[:, None] * cells) * (2 / width) - 1
    y = (seen.y[:, None] + seen.radius[:, None] * cells) * (2 / height) - 1
    grid = np.stack(
        [
            np.broadcast_to(x[:, None, :], (len(x), _CELLS, _CELLS)),
            np.broadcast_to(y[:, :, None], (len(x), _CELLS, _CELLS)),
        ],
        axis=3,
    )
    place = torch.from_numpy(grid.astype(np.float32))
    maps = torch.from_numpy(share.astype(np.float32))[:, None]
    values = F.grid_sample(maps, place, padding_mode="border", align_corners=False)
    inside = (place.abs() <= 1).all(3)
    return values.flatten(1).numpy(), inside.flatten(1).float().numpy()


def match(share: Array, margin: Mask, seen: BlobTrack, solids: bool = False) -> dict[str, Array]:
    """Compare the object in a coverage map (F, H, W) with every flat shape, or with every solid.

    Gives shape -> (F, angles), the share of the coverage's energy that the shape at the angle leaves unexplained.
    """
    sampled = [_patches(share * margin, seen, scale) for scale in _SCALES]
    blurred = [
        np.min([_unexplained(values, weight, seen, solids, blur) for values, weight in sampled], axis=0)
        for blur in _BLURS
    ]
    best = min(blurred, key=lambda error: float(error.min(1).sum()))
    return {shape: best[:, first:last] for shape, first, last in _fine_templates(solids)[1]}


def _unexplained(values: Array, weight: Array, seen: BlobTrack, solids: bool, blur: float) -> Array:
    """Per frame and template (F, N) the share of the coverage's energy that no multiple of the template explains."""
    levels = np.round(np.log(blur / np.maximum(seen.radius, 1)) / math.log(_BLUR_RATIO)).astype(int)
    error = np.empty((len(values), len(_fine_templates(solids)[0])), dtype=np.float32)
    for level in np.unique(levels):
        rows, bank = levels == level, _bank(solids, int(level))
        data = values[rows] * weight[rows]
        along, energy = data @ bank.T, np.square(data).sum(1, keepdims=True)
        norm = weight[rows] @ np.square(bank).T
        error[rows] = 1 - np.maximum(along, 0) ** 2 / np.maximum(energy * norm, 1e-6)
    return error


class Turning(NamedTuple):
    """How well a shape explains a clip: the mean error at one constant angle, and at the best steady turn.

    `rate` is that turn in degrees per second, `free` the mean error with any angle in each frame.
    """

    fixed: float
    turned: float
    rate: float
    free: float


_RATES = tuple(float(sign * rate) for rate in range(20, 81, 3) for sign in (1, -1))


def turning(error: Array, period: float, weights: Array, times: Array) -> Turning:
    """Explain the errors (F, angles) of one shape by a constant and by a steadily changing angle. times in seconds."""
    weights = weights / weights.sum()
    count = error.shape[1]
    free = float(weights @ error.min(1))
    fixed = float((weights @ error).min())
    if count == 1:
        return Turning(fixed, fixed, 0.0, free)
    best, rate = math.inf, 0.0
    frames, starts = np.arange(len(error))[:, None], np.arange(count)[None, :]
    for tried in _RATES:
        step = np.round(tried * times * count / period).astype(int)[:, None]
        mean = float((weights @ error[frames, (starts + step) % count]).min())
        if mean < best:
            best, rate = mean, tried
    return Turning(fixed, best, rate, free)
