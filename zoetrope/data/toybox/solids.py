"""Shaded solids seen in orthographic projection from slightly above: cube, pyramid and sphere.

As in `distance`, points are in units of the object's radius from its centre, y pointing down, z towards the viewer.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from zoetrope.data.toybox.distance import Pixels

Points = NDArray[np.float64]

_LIGHT = np.array([-0.45, -0.65, 0.61])
_PITCH = math.radians(27)
_CUBE = 0.62
_CORNERS = [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
_VERTICES = {
    "cube": _CUBE * np.array(_CORNERS, dtype=float),
    "pyramid": np.array(
        [
            (-0.8, 0.6, -0.8),
            (-0.8, 0.6, 0.8),
            (0.8, 0.6, 0.8),
            (0.8, 0.6, -0.8),
            (0, -1.05, 0),
        ]
    ),
}
_FACES = {
    "cube": (
        (0, 1, 3, 2),
        (4, 5, 7, 6),
        (0, 1, 5, 4),
        (2, 3, 7, 6),
        (0, 2, 6, 4),
        (1, 3, 7, 5),
    ),
    "pyramid": ((0, 1, 2, 3), (0, 1, 4), (1, 2, 4), (2, 3, 4), (3, 0, 4)),
}


def solid(shape: str, x: Pixels, y: Pixels, yaw: float, pixel: float) -> tuple[Pixels, Pixels]:
    """Coverage in [0, 1] and brightness (0 dark, 1 lit, above 1 highlight) at points (h, w) of one frame.

    `yaw` turns the solid about its upright axis, in radians; `pixel` is a pixel's width in the object's unit.
    """
    return _sphere(x, y, pixel) if shape == "sphere" else _polyhedron(shape, x, y, yaw, pixel)


def cover(distance: Pixels, pixel: Pixels | float) -> Pixels:
    """The share of a pixel that lies inside an outline at this signed distance from the pixel's centre."""
    share: Pixels = np.clip(0.5 - distance * (1 / pixel), 0, 1)
    return share


def _sphere(x: Pixels, y: Pixels, pixel: float) -> tuple[Pixels, Pixels]:
    squares = x * x + y * y
    z = np.sqrt(np.maximum(1 - squares, 0))
    facing = np.maximum(x * _LIGHT[0] + y * _LIGHT[1] + z * _LIGHT[2], 0).astype(np.float32)
    # Blinn's half-way vector between the light and the viewer.
    half = _LIGHT + np.array([0, 0, 1])
    half /= np.linalg.norm(half)
    gloss = np.maximum(x * half[0] + y * half[1] + z * half[2], 0).astype(np.float32)
    for _ in range(5):
        gloss = gloss * gloss
    return cover(np.sqrt(squares) - 1, pixel), 0.35 + 0.65 * facing + 0.8 * gloss


@lru_cache
def _edges(shape: str) -> tuple[tuple[int, int, int, int], ...]:
    """Every edge of a polyhedron: its two vertices and its two faces."""
    faces = _FACES[shape]
    owners: dict[tuple[int, int], list[int]] = {}
    for number, face in enumerate(faces):
        for a, b in zip(face, face[1:] + face[:1], strict=True):
            owners.setdefault((min(a, b), max(a, b)), []).append(number)
    return tuple((a, b, first, second) for (a, b), (first, second) in owners.items())


def _turned(shape: str, yaw: float) -> tuple[Points, Points]:
    """A polyhedron's vertices (V, 3) and its faces' outward unit normals (faces, 3) as the viewer sees them."""
    cos, sin = math.cos(yaw), math.sin(yaw)
    tilt_cos, tilt_sin = math.cos(_PITCH), math.sin(_PITCH)
    x, y, z = _VERTICES[shape].T
    x, z = cos * x + sin * z, cos * z - sin * x
    y, z = tilt_cos * y + tilt_sin * z, tilt_cos * z - tilt_sin * y
    vertices = np.stack([x, y, z], axis=1)
    normals = []
    for face in _FACES[shape]:
        a, b, c = vertices[list(face[:3])]
        normal = np.cross(b - a, c - a)
        normal /= np.linalg.norm(normal)
        normals.append(normal if normal @ (a - vertices.mean(0)) > 0 else -normal)
    return vertices, np.array(normals)


def _half_plane(x: Pixels, y: Pixels, a: Points, b: Points, inside: Points) -> Pixels:
    """Signed distance to the line through a and b, negative on the side of `inside`."""
    normal = np.array([b[1] - a[1], a[0] - b[0]])
    normal /= max(float(np.hypot(*normal)), 1e-9)
    if normal @ (inside[:2] - a[:2]) > 0:
        normal = -normal
    return x * float(normal[0]) + y * float(normal[1]) - float(normal @ a[:2])


def _polyhedron(shape: str, x: Pixels, y: Pixels, yaw: float, pixel: float) -> tuple[Pixels, Pixels]:
    vertices, normals = _turned(shape, yaw)
    front = normals[:, 2] > 1e-4
    outline = np.full(np.broadcast_shapes(x.shape, y.shape), -np.inf, dtype=np.float32)
    for a, b, first, second in _edges(shape):
        if front[first] != front[second]:
            outline = np.maximum(outline, _half_plane(x, y, vertices[a], vertices[b], vertices.mean(0)))
    weights, shade = np.full_like(outline, 1e-6), np.zeros_like(outline)
    for face, normal in zip(_FACES[shape], normals, strict=True):
        if normal[2] > 1e-4:
            # A face seen edge-on is thinner than a pixel: it counts by how much of it shows.
            weight = _face(x, y, vertices[list(face)], pixel) * min(1.0, 6 * float(normal[2]))
            weights = weights + weight
            shade = shade + weight * (0.5 + 0.55 * max(float(normal @ _LIGHT), 0.0))
    return cover(outline, pixel), shade / weights


def _face(x: Pixels, y: Pixels, corners: Points, pixel: float) -> Pixels:
    outline = np.full(np.broadcast_shapes(x.shape, y.shape), -np.inf, dtype=np.float32)
    for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        outline = np.maximum(outline, _half_plane(x, y, a, b, corners.mean(0)))
    return cover(outline, pixel) + np.float32(1e-5)
