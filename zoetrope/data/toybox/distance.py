"""Signed distances to the outlines of the flat shapes and letters, negative inside.

Points are in units of the object's radius from its centre, y pointing down. Only exactly rounded operations are used
(no sine, no power), so a pixel's value does not depend on how many pixels are computed with it.
The star and the heart follow Inigo Quilez, "2D distance functions".
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoetrope.config import unknown
from zoetrope.data.toybox.glyphs import GLYPHS, STROKE, Arc, Segment

Pixels = NDArray[np.floating[Any]]


def distance(shape: str, x: Pixels, y: Pixels, letter: str = "") -> Pixels:
    """Signed distance of the points (x, y) to a flat shape's outline. Raises ValueError for an unknown shape."""
    if shape == "letter":
        return _letter(x, y, letter)
    if shape not in _OUTLINES:
        raise ValueError(unknown("flat shape", shape, _OUTLINES))
    return _OUTLINES[shape](x, y)


def _length(x: Pixels, y: Pixels) -> Pixels:
    length: Pixels = np.sqrt(x * x + y * y)
    return length


def _circle(x: Pixels, y: Pixels) -> Pixels:
    return _length(x, y) - 1


def _ring(x: Pixels, y: Pixels) -> Pixels:
    band: Pixels = np.abs(_length(x, y) - 0.76) - 0.24
    return band


def _square(x: Pixels, y: Pixels) -> Pixels:
    return np.maximum(np.abs(x), np.abs(y)) - 0.85


def _triangle(x: Pixels, y: Pixels) -> Pixels:
    y = y - 0.2  # the middle of its height rather than its centroid in the middle of the frame
    return np.maximum(y, np.abs(x) * (math.sqrt(3) / 2) - y / 2) - 0.58


def _cross(x: Pixels, y: Pixels) -> Pixels:
    x, y = np.abs(x), np.abs(y)
    return np.maximum(np.maximum(x, y) - 0.95, np.minimum(x, y) - 0.32)


def _star(x: Pixels, y: Pixels) -> Pixels:
    outer, inner = 1.1, 0.48
    cos, sin = math.cos(math.pi / 5), math.sin(math.pi / 5)
    x, y = np.abs(x), -y
    for axis in (cos, -cos):  # fold the five points onto the upper one
        over = 2 * np.maximum(axis * x - sin * y, 0)
        x, y = x - over * axis, y + over * sin
    x, y = np.abs(x), y - outer
    edge_x, edge_y = inner * sin, inner * cos - outer
    along = np.clip((x * edge_x + y * edge_y) * (1 / (edge_x**2 + edge_y**2)), 0, 1)
    return np.copysign(_length(x - edge_x * along, y - edge_y * along), y * edge_x - x * edge_y)


def _heart(x: Pixels, y: Pixels) -> Pixels:
    size = 1.65
    x, y = np.abs(x) * (1 / size), 0.53 - y * (1 / size)
    lobe = _length(x - 0.25, y - 0.75) - math.sqrt(2) / 4
    fold = 0.5 * np.maximum(x + y, 0)
    body = np.minimum(_length(x, y - 1), _length(x - fold, y - fold))
    return size * np.where(x + y > 1, lobe, np.copysign(body, x - y))


def _segment(x: Pixels, y: Pixels, segment: Segment) -> Pixels:
    x0, y0, dx, dy = (
        segment[0],
        segment[1],
        segment[2] - segment[0],
        segment[3] - segment[1],
    )
    x, y = x - x0, y - y0
    along = np.clip(x * (dx / (dx * dx + dy * dy)) + y * (dy / (dx * dx + dy * dy)), 0, 1)
    x, y = x - dx * along, y - dy * along
    return x * x + y * y


def _arc(x: Pixels, y: Pixels, arc: Arc) -> Pixels:
    middle, half = math.radians(arc[3]), math.radians(arc[4])
    cos, sin = math.cos(middle), math.sin(middle)
    x, y = x - arc[0], y - arc[1]
    forward, side = x * cos + y * sin, np.abs(y * cos - x * sin)
    end_forward, end_side = math.cos(half), math.sin(half)
    on_arc = _length(forward, side) - arc[2]
    end_x, end_y = forward - arc[2] * end_forward, side - arc[2] * end_side
    beyond = end_forward * side > end_side * forward
    return np.where(beyond, end_x * end_x + end_y * end_y, on_arc * on_arc)


def _letter(x: Pixels, y: Pixels, letter: str) -> Pixels:
    if letter not in GLYPHS:
        raise ValueError(unknown("letter", letter, GLYPHS))
    glyph = GLYPHS[letter]
    squares = [_segment(x, y, segment) for segment in glyph.segments] + [_arc(x, y, arc) for arc in glyph.arcs]
    nearest: Pixels = squares[0]
    for square in squares[1:]:
        nearest = np.minimum(nearest, square)
    reach: Pixels = np.sqrt(nearest) - STROKE
    return reach


_OUTLINES = {
    "circle": _circle,
    "ring": _ring,
    "square": _square,
    "triangle": _triangle,
    "cross": _cross,
    "star": _star,
    "heart": _heart,
}
