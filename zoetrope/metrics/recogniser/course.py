"""Explain an object's course by one of toybox's motions, each fitted by least squares. Lengths in frame heights."""

import math
from typing import NamedTuple

import numpy as np

from zoetrope.data.toybox.scene import SECONDS
from zoetrope.metrics.recogniser.foreground import Array

# What each motion usually amounts to over a whole clip: heights, turns of scale (log), heights, heights.
_USUAL = {"travel": 0.6, "scale": 0.65, "orbit": 0.2, "bounce": 0.38}
_LEAST = 0.45
# The most that the log of the size of an object without a change of scale may vary (standard deviation).
_FLUTTER = 0.12
# A motion must leave at most this much of the position unexplained (root mean square), beyond a share of its size.
_ROUGH = 0.035


class ObjectPath(NamedTuple):
    """Where and how large an object is: x, y, radius in frame heights and times in seconds, each (frames seen,)."""

    x: Array
    y: Array
    radius: Array
    times: Array

    def times_as_long(self, factor: float) -> "ObjectPath":
        """With all lengths so many times as long."""
        return self._replace(x=factor * self.x, y=factor * self.y, radius=factor * self.radius)


class Found(NamedTuple):
    """A motion's name, its size as a share of what is usual, and the error it leaves (root mean square, heights)."""

    name: str
    strength: float
    error: float


def _fit(columns: list[Array], target: Array) -> tuple[Array, float]:
    """Least squares: coefficients and the mean square error."""
    table = np.stack(columns, axis=1)
    coefficients = np.linalg.lstsq(table, target, rcond=None)[0]
    return coefficients, float(np.square(target - table @ coefficients).mean())


def _travel(course: ObjectPath) -> Found:
    ones, progress = np.ones_like(course.times), course.times / SECONDS
    (_, right), error_x = _fit([ones, progress], course.x)
    (_, down), error_y = _fit([ones, progress], course.y)
    sideways = abs(right) >= abs(down)
    name = ("right" if right > 0 else "left") if sideways else ("down" if down > 0 else "up")
    slant = min(abs(right), abs(down)) / max(abs(right), abs(down), 1e-6)
    strength = max(abs(right), abs(down)) / _USUAL["travel"] * (1 if slant < 0.6 else 0.3)
    return Found(name, float(strength), math.sqrt(error_x + error_y))


def _orbit(course: ObjectPath) -> Found:
    """A circle run through at a steady pace: between 0.8 and 1.8 turns in a clip, either way round."""
    best = Found("orbit", 0.0, math.inf)
    zeros, ones = np.zeros_like(course.x), np.ones_like(course.x)
    target = np.concatenate([course.x, course.y])
    for turns in np.arange(0.8, 1.81, 0.1):
        angle = 2 * math.pi * turns * course.times / SECONDS
        cos, sin = np.cos(angle), np.sin(angle)
        for way in (1, -1):
            columns = [(ones, zeros), (zeros, ones), (cos, way * sin), (-sin, way * cos)]
            fitted, error = _fit([np.concatenate(pair) for pair in columns], target)
            if math.sqrt(2 * error) < best.error:
                best = Found("orbit", float(np.hypot(*fitted[2:])) / _USUAL["orbit"], math.sqrt(2 * error))
    return best


def _bounce(course: ObjectPath) -> Found:
    """Equal jumps one upon another, between 1.5 and 3 in a clip."""
    best = Found("bounce", 0.0, math.inf)
    error_x = float(course.x.var())
    for turns in np.arange(1.5, 3.01, 0.1):
        for phase in np.arange(0, 1, 0.05):
            fall = (phase + turns * course.times / SECONDS) % 1
            (_, jump), error = _fit([np.ones_like(fall), 4 * fall * (fall - 1)], course.y)
            if jump > 0 and math.sqrt(error + error_x) < best.error:
                best = Found("bounce", float(jump) / _USUAL["bounce"], math.sqrt(error + error_x))
    return best


def _scale(course: ObjectPath) -> Found:
    size = np.log(np.maximum(course.radius, 1e-3))
    (_, growth), error = _fit([np.ones_like(size), course.times / SECONDS], size)
    still = math.sqrt(float(course.x.var() + course.y.var()))
    # A log size that wanders counts as a position that does.
    return Found(
        "grow" if growth > 0 else "shrink", abs(float(growth)) / _USUAL["scale"], max(still, 0.5 * math.sqrt(error))
    )


def unexplained(course: ObjectPath) -> float:
    """How far from its course an object is (root mean square, heights), if it rests, travels, orbits or bounces.

    The least that any of these laws leaves of its positions: of a true clip, only what measuring them is off by.
    Raises ValueError for fewer than six frames, which some law always explains.
    """
    if len(course.times) < 6:
        raise ValueError(f"course: expected at least 6 frames that show the object, got {len(course.times)}")
    rest = math.sqrt(float(course.x.var() + course.y.var()))
    return min(rest, *(law(course).error for law in (_travel, _orbit, _bounce)))


def motion(course: ObjectPath, spin: float | None) -> tuple[str | None, float]:
    """The motion and a confidence in [0, 1]. `spin`: how surely it turns, in [0, 1]; None if that cannot be told.

    None for a course that no motion explains, that two explain alike, or of fewer than six frames.
    """
    if len(course.times) < 6:
        return None, 0.0
    rest = math.sqrt(float(course.x.var() + course.y.var()))
    found = [_travel(course), _orbit(course), _bounce(course)]
    moving = [one for one in found if one.strength >= _LEAST and one.error < 0.6 * rest]
    scale = _scale(course)
    if scale.strength >= _LEAST and scale.error < 2 * _ROUGH:
        if any(one.error < _ROUGH for one in moving):
            return None, 0.0
        return scale.name, _sure(scale)
    if moving:
        best = min(moving, key=lambda one: one.error)
        fits = best.error < _ROUGH * (1 + best.strength)
        return (best.name, _sure(best)) if fits and scale.strength < _LEAST else (None, 0.0)
    if rest > 2 * _ROUGH or scale.strength > _LEAST or spin is None:
        return None, 0.0
    if 0.35 < spin < 0.5 or float(np.log(np.maximum(course.radius, 1e-3)).std()) > _FLUTTER:
        return None, 0.0
    return ("spin", spin) if spin >= 0.5 else ("still", 1 - max(spin, rest / (3 * _ROUGH), scale.strength / 2))


def _sure(found: Found) -> float:
    return float(np.clip(min(found.strength, 1.0) * (1 - found.error / (6 * _ROUGH)), 0, 1))
