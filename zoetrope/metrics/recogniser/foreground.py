"""Tell the object of a toybox clip from what is behind it: backdrop, blob, colour and coverage.

Videos here are (F, H, W, 3) float32 in [0, 1], maps (F, H, W). Lengths are in pixels of the working grid.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from zoetrope.data.toybox.vocabulary import BACKGROUNDS, COLOURS

Array = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]

# Larger pictures are averaged down to between this height and its 3/2.
_ROWS = 40
# Half of the smallest contrast that toybox allows between an object and what is behind it.
_FOREGROUND = 0.22
_INLIER = 0.15
# What a palette colour may look like: mixed with the backdrop by blur, or shaded; each step costs a little distance.
_MIXTURES = (1.0, 0.85, 0.7)
_SHADES = (0.85, 0.7, 0.55)
_COST = 0.3
_FARTHEST_COLOUR = 0.33
_FARTHEST_BACKDROP = 0.3


class Backdrop(NamedTuple):
    """What is behind the object: colour (F, H, 1, 3) of every row and its extrapolation to the frame's edges.

    `spread` is the standard deviation of what the straight-line gradient leaves unexplained, per channel.
    """

    colour: Array
    top: Array
    bottom: Array
    spread: float


class Blob(NamedTuple):
    """The largest connected region per frame, the region with a margin, and its share of all foreground (F,)."""

    core: Mask
    margin: Mask
    share: Array


class Paint(NamedTuple):
    """A colour seen: its palette name (None if unlike all), the share of pixels that agree, and what was seen (3,)."""

    name: str | None
    share: float
    rgb: Array


def working(frames: NDArray[Any]) -> Array:
    """The clip as float32 in [0, 1] on a small grid. Raises ValueError for anything but (F, H, W, 3) pictures."""
    if frames.ndim != 4 or frames.shape[3] != 3 or min(frames.shape) < 1:
        raise ValueError(f"frames: expected shape (F, H, W, 3), got {frames.shape}")
    video = frames.astype(np.float32)
    if frames.dtype == np.uint8:
        video /= 255
    if not np.isfinite(video).all() or video.min() < -0.75 or video.max() > 1.75:
        raise ValueError(f"frames: expected uint8 or floats in [0, 1], got {frames.dtype} beyond them")
    height, width = video.shape[1:3]
    factor = max(1, height // _ROWS)
    if factor == 1:
        return video
    size = (round(height / factor), round(width / factor))
    small = F.adaptive_avg_pool2d(torch.from_numpy(video).permute(0, 3, 1, 2), size)
    return np.ascontiguousarray(small.permute(0, 2, 3, 1).numpy())


def smooth(maps: Array) -> Array:
    """Binomial 3 x 3 blur of maps (F, H, W) or videos (F, H, W, C)."""
    pad = [(0, 0), (1, 1), (1, 1)] + [(0, 0)] * (maps.ndim - 3)
    rows = np.pad(maps, pad, mode="edge")
    rows = (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) * np.float32(0.25)
    return (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) * np.float32(0.25)


def backdrop(video: Array) -> Backdrop:
    """Fit a vertical gradient, first to the side borders, then to every pixel close to it; brightness may flicker."""
    height = video.shape[1]
    y = (np.arange(height) + 0.5) / height - 0.5
    sides = np.median(np.concatenate([video[:, :, :2], video[:, :, -2:]], axis=2), axis=(0, 2))
    weights = np.ones(height)
    for _ in range(6):
        line = _Line(y, sides, weights)
        weights = 1 / (1 + np.square((sides - line(y)) / 0.05).sum(1))
    for _ in range(4):
        inlier = np.linalg.norm(video - line(y)[:, None], axis=3) < _INLIER
        count = inlier.sum((0, 2))
        if count.sum() < 0.02 * inlier.size:
            break
        means = np.einsum("fhwc,fhw->hc", video, inlier.astype(np.float32)) / np.maximum(count, 1)[:, None]
        line = _Line(y, means, count + 1e-6)
    residual = video - line(y).astype(np.float32)[:, None]
    inlier = np.linalg.norm(residual, axis=3) < _INLIER
    flicker = np.einsum("fhwc,fhw->fc", residual, inlier.astype(np.float32))
    flicker /= np.maximum(inlier.sum((1, 2)), 1)[:, None]
    colour = (line(y)[None] + flicker[:, None]).astype(np.float32)[:, :, None]
    spread = float((video - colour)[inlier].std()) if inlier.any() else 1.0
    return Backdrop(colour, line(np.array([-0.5]))[0], line(np.array([0.5]))[0], spread)


class _Line:
    """Weighted least-squares straight line through colours (H, 3) over heights (H,)."""

    def __init__(self, y: Array, colours: Array, weights: Array) -> None:
        share = (weights / weights.sum())[:, None]
        self._y, self._mean = float((share[:, 0] * y).sum()), (share * colours).sum(0)
        away = y[:, None] - self._y
        self._slope = (share * away * colours).sum(0) / max(float((share * away * away).sum()), 1e-6)

    def __call__(self, y: Array) -> Array:
        line: Array = self._mean + (y[:, None] - self._y) * self._slope
        return line


def backdrop_name(behind: Backdrop) -> str | None:
    """The vocabulary's nearest background; None if none is near."""
    distances = {
        name: float(np.linalg.norm([behind.top - known.top, behind.bottom - known.bottom]))
        for name, known in BACKGROUNDS.items()
    }
    nearest = min(distances, key=distances.__getitem__)
    return nearest if distances[nearest] < _FARTHEST_BACKDROP else None


def foreground(video: Array, behind: Backdrop) -> Mask:
    """Where a clip differs from its backdrop by more than noise."""
    strength = np.linalg.norm(smooth(video - behind.colour), axis=3)
    found: Mask = strength > max(_FOREGROUND, 1.5 * behind.spread)
    return found


def _pool(maps: torch.Tensor, reach: int) -> torch.Tensor:
    return F.max_pool2d(maps, 2 * reach + 1, 1, reach)


def largest_blob(mask: Mask) -> Blob:
    """Follow, per frame, the connected region around the densest part of the mask."""
    maps = torch.from_numpy(mask).float()[:, None]
    frames, _, height, width = maps.shape
    reach = max(1, height // 16)
    density = F.avg_pool2d(maps, 2 * reach + 1, 1, reach) * maps
    seeds = torch.zeros_like(maps).flatten(1)
    peak = density.flatten(1).argmax(1)
    seeds[torch.arange(frames), peak] = 1
    blob = seeds.view_as(maps) * maps
    for _ in range(2 * (height + width)):
        grown = _pool(_pool(blob, 1) * maps, 1) * maps
        if torch.equal(grown, blob):
            break
        blob = grown
    margin = _pool(blob, 2)
    share = blob.sum((1, 2, 3)) / maps.sum((1, 2, 3)).clamp(min=1)
    return Blob(blob[:, 0].bool().numpy(), margin[:, 0].bool().numpy(), share.numpy())


def interior(core: Mask) -> Mask:
    """The pixels of a region that lie deepest in it."""
    depth = smooth(smooth(core.astype(np.float32)))
    deep: Mask = core & (depth >= min(0.999, float(np.quantile(depth[core], 0.7)))) if core.any() else core
    return deep


def palette_votes(video: Array, behind: Backdrop, chosen: Mask) -> tuple[NDArray[np.intp], Array]:
    """For each chosen pixel the number of the nearest palette colour and the distance to it, both (N,)."""
    seen = video[chosen]
    back = np.broadcast_to(behind.colour, video.shape)[chosen]
    palette = np.array([colour.rgb for colour in COLOURS.values()], dtype=np.float32)
    nearest = np.full((len(seen), len(palette)), np.inf, dtype=np.float32)
    for number, rgb in enumerate(palette):
        looks = [(back + a * (rgb - back), 1 - a) for a in _MIXTURES] + [(s * rgb, 1 - s) for s in _SHADES]
        for look, change in looks:
            away = np.linalg.norm(seen - look, axis=1) + _COST * change
            nearest[:, number] = np.minimum(nearest[:, number], away)
    winner = nearest.argmin(1)
    return winner, nearest[np.arange(len(seen)), winner]


def paint(video: Array, behind: Backdrop, core: Mask) -> Paint:
    """The colour of a region by the votes of its deepest pixels."""
    deep = interior(core)
    if not deep.any():
        return Paint(None, 0.0, np.zeros(3, dtype=np.float32))
    votes, away = palette_votes(video, behind, deep)
    counts = np.bincount(votes, minlength=len(COLOURS))
    best = int(counts.argmax())
    rgb = np.median(video[deep][votes == best], axis=0)
    near = float(np.median(away[votes == best])) < _FARTHEST_COLOUR
    return Paint([*COLOURS][best] if near else None, float(counts[best] / counts.sum()), rgb)


def coverage(video: Array, behind: Backdrop, rgb: Array) -> Array:
    """The share (F, H, W) of each pixel that the colour takes over the backdrop, about [0, 1]."""
    towards = rgb.astype(np.float32) - behind.colour
    size = np.square(towards).sum(3)
    share: Array = ((video - behind.colour) * towards).sum(3) / np.maximum(size, 1e-3)
    return np.clip(share, -0.4, 1.4)
