"""Draw a scene on any grid at any frame rate.

A pixel's value is the share of it that each outline covers, so a small picture is what averaging a large one gives.
A frame depends on its own time alone, bit for bit, whatever the frame rate that led there.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from zoetrope.data.toybox.distance import Pixels, distance
from zoetrope.data.toybox.framing import Framing
from zoetrope.data.toybox.scene import Object, Pose, Scene, pose
from zoetrope.data.toybox.solids import cover, solid
from zoetrope.data.toybox.vocabulary import BACKGROUNDS, SOLID_SHAPES
from zoetrope.shapes import VideoShape, Window

Pictures = NDArray[np.float32]

# How far an object may reach beyond its radius: corners, and the halo of neon.
_REACH = {"neon": 1.75}
_USUAL_REACH = 1.4
# Frames are drawn together while their pixels fit into a processor's cache.
_PIXELS_TOGETHER = 16384
_HATCH = 0.09
_BLOCKS = 24


class PixelGrid(NamedTuple):
    """Where the centres of columns x (w,) and rows y (h,) lie, in world heights from the middle, and a pixel's size.

    `height` is that of the frame, in world heights.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    pixel: float
    height: float = 1.0

    @classmethod
    def of(cls, shape: VideoShape, window: Window, framing: Framing | None = None) -> Self:
        """The grid of a window of a video; without a framing a frame is as high as the world."""
        unit, height = (shape.height, 1.0) if framing is None else (framing.unit, framing.height)
        return cls(
            x=_centres(shape.width, unit)[window.columns.start : window.columns.stop],
            y=_centres(shape.height, unit)[window.rows.start : window.rows.stop],
            pixel=1 / unit,
            height=height,
        )


def render(
    scene: Scene,
    shape: VideoShape,
    start: float = 0.0,
    window: Window | None = None,
    frames: Sequence[int] | None = None,
    framing: Framing | None = None,
) -> Pictures:
    """The clip (F, H, W, 3), float32 in [0, 1]; frame k shows the scene `start + k / fps` seconds after its start.

    With a window, that part of the clip, and with `frames`, these of its frames instead of the window's, bit for bit.
    Without a framing, the world's lengths are in frame heights.
    """
    window = window or Window.whole(shape)
    grid = PixelGrid.of(shape, window, framing)
    if framing is not None:
        scene = framing.scene(scene)
    times = [start + k / shape.fps for k in (window.frames if frames is None else frames)]
    drawn = times[:1] if all(item.motion == "still" for item in scene.objects) else times
    video = np.repeat(_backdrop(scene, grid)[None], len(drawn), axis=0)
    for item in scene.objects:
        paint(video, grid, scene.style, item, [pose(item, time) for time in drawn])
    return np.repeat(video, len(times) // len(drawn), axis=0) if len(drawn) < len(times) else video


def paint(
    video: Pictures,
    grid: PixelGrid,
    style: str,
    item: Object,
    poses: list[Pose],
    rgb: NDArray[np.float32] | None = None,
) -> None:
    """Draw an object over the frames `video` (F, H, W, 3), in place, with a pose for each of them.

    `rgb` (F, 1, 1, 3) are its colours in each frame, if not its own in all.
    """
    colours = np.array(item.rgb, dtype=np.float32)[None, None, None] if rgb is None else rgb
    step = 1 if item.shape in SOLID_SHAPES else max(1, _PIXELS_TOGETHER // (len(grid.x) * len(grid.y)))
    for first in range(0, len(poses), step):
        part = slice(first, first + step)
        _paint(video[part], grid, style, item, poses[part], colours if rgb is None else colours[part])


def _centres(count: int, unit: float) -> NDArray[np.float64]:
    """Where the centres of a row of `count` pixels lie, in world heights of `unit` pixels from the middle."""
    return (np.arange(count) + 0.5 - count / 2) / np.float64(unit)


def _backdrop(scene: Scene, grid: PixelGrid) -> Pictures:
    background = BACKGROUNDS[scene.background]
    column = gradient(background.top, background.bottom, grid)
    return strew(np.repeat(column, len(grid.x), axis=1), scene.stars, grid)


def gradient(top: Sequence[float], bottom: Sequence[float], grid: PixelGrid) -> Pictures:
    """A column (H, 1, 3) from one colour to another."""
    share = (grid.y / grid.height + 0.5)[:, None]
    column = np.array(top) * (1 - share) + np.array(bottom) * share
    return column[:, None].astype(np.float32)


def strew(picture: Pictures, stars: Sequence[tuple[float, float, float]], grid: PixelGrid) -> Pictures:
    """Draw white stars over a picture (H, W, C), in place, and return it."""
    x, y, pixel = grid[:3]
    for star_x, star_y, radius in stars:
        # A square of the star's size covers each pixel by the product of two overlaps.
        across, along = (
            np.clip((radius + pixel / 2 - np.abs(centres - star)) / pixel, 0, min(1, 2 * radius / pixel))
            for centres, star in ((x, star_x), (y, star_y))
        )
        rows, columns = np.flatnonzero(along), np.flatnonzero(across)
        if rows.size and columns.size:
            patch = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            alpha = (along[rows][:, None] * across[columns])[..., None].astype(np.float32)
            patch += alpha * (1 - patch)
    return picture


def _touched(centres: NDArray[np.float64], low: float, high: float, pixel: float) -> slice:
    """The pixels of a row that touch the interval [low, high], with one to spare on either side."""
    first, last = np.searchsorted(centres, (low - 1.5 * pixel, high + 1.5 * pixel))
    return slice(int(first), int(last))


def _paint(video: Pictures, grid: PixelGrid, style: str, item: Object, poses: list[Pose], rgb: Pixels) -> None:
    """Draw an object in colours (n or 1, 1, 1, 3) over the frames `video` (n, H, W, 3), in place."""
    reach = _REACH.get(style, _USUAL_REACH)
    top, bottom = min(p.y - reach * p.radius for p in poses), max(p.y + reach * p.radius for p in poses)
    left, right = min(p.x - reach * p.radius for p in poses), max(p.x + reach * p.radius for p in poses)
    rows, cols = _touched(grid.y, top, bottom, grid.pixel), _touched(grid.x, left, right, grid.pixel)
    x, y = grid.x[cols], grid.y[rows]
    if not x.size or not y.size:
        return
    if style == "pixel":
        x, y = ((np.floor(centres * _BLOCKS) + 0.5) / _BLOCKS for centres in (x, y))
    turned = item.shape not in SOLID_SHAPES
    u, v = _own_axes(x, y, poses, turned)
    pixel = np.array([grid.pixel / p.radius for p in poses], dtype=np.float32)[:, None, None]
    target = video[:, rows, cols]
    if not turned:
        alpha, shade = solid(item.shape, u[0], v[0], poses[0].angle, float(pixel[0, 0, 0]))
        lit = np.minimum(shade, 1)[..., None]
        _blend(target, alpha[None], rgb * lit + (1 - rgb) * np.clip(shade - 1, 0, 1)[..., None])
        return
    outline = distance(item.shape, u, v, item.letter)
    match style:
        case "neon":
            _neon(target, outline, pixel, rgb)
        case "sketch":
            _sketch(target, outline, pixel, rgb, PixelGrid(x, y, grid.pixel, grid.height))
        case "pixel":
            _blend(target, (outline < 0).astype(np.float32), rgb)
        case _:
            _blend(target, cover(outline, pixel), rgb)


def _own_axes(x: NDArray[np.float64], y: NDArray[np.float64], poses: list[Pose], turned: bool) -> tuple[Pixels, Pixels]:
    """The grid's points (n, h, w) in each pose's own axes and unit, its radius."""
    table = np.array([(p.x, p.y, p.radius, p.angle if turned else 0.0) for p in poses])
    radius = table[:, 2, None]
    across = ((x - table[:, 0, None]) / radius).astype(np.float32)[:, None, :]
    along = ((y - table[:, 1, None]) / radius).astype(np.float32)[:, :, None]
    cos = np.array([math.cos(a) for a in table[:, 3]], dtype=np.float32)[:, None, None]
    sin = np.array([math.sin(a) for a in table[:, 3]], dtype=np.float32)[:, None, None]
    return across * cos + along * sin, along * cos - across * sin


def _blend(target: Pictures, alpha: Pixels, paint: Pixels) -> None:
    target += alpha[..., None] * (paint - target)


def _neon(target: Pictures, outline: Pixels, pixel: Pixels, rgb: Pixels) -> None:
    """A bright tube just inside the outline, with a halo."""
    tube = np.abs(outline + 0.1)
    halo = np.clip(1 - tube * (1 / 0.6), 0, 1)
    _blend(target, 0.5 * halo * halo, rgb)
    _blend(target, cover(tube - 0.1, pixel), rgb)
    _blend(
        target,
        0.6 * cover(tube - 0.035, pixel) * np.minimum(0.07 / pixel, 1),
        np.ones(3, dtype=np.float32),
    )


def _sketch(target: Pictures, outline: Pixels, pixel: Pixels, rgb: Pixels, grid: PixelGrid) -> None:
    """A firm contour around slanted strokes that stay on the paper while the shape moves over them."""
    across, size = grid.x + grid.y[:, None], grid.pixel
    # The exact share of strokes between both ends of a pixel, from the integral of a square wave.
    share = ((_strokes(across + size / 2) - _strokes(across - size / 2)) / size).astype(np.float32)
    _blend(target, cover(outline, pixel) * (0.12 + 0.7 * share), rgb)
    _blend(target, cover(np.abs(outline + 0.07) - 0.07, pixel), rgb * 0.75)


def _strokes(across: NDArray[np.float64]) -> NDArray[np.float64]:
    whole = np.floor(across / _HATCH)
    return whole * (_HATCH / 2) + np.minimum(across - whole * _HATCH, _HATCH / 2)
