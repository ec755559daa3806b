"""The recogniser: finds what a toybox clip shows, by analysis alone, to evaluate generated clips.

It knows only toybox's palette, outlines and laws of motion; what it cannot recognise is None, never a guess.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zoetrope.config import Config, unknown
from zoetrope.data.toybox.framing import Framing
from zoetrope.data.toybox.vocabulary import COLOURS, FLAT_SHAPES
from zoetrope.metrics.recogniser import course, foreground, silhouette
from zoetrope.metrics.recogniser.course import ObjectPath
from zoetrope.metrics.recogniser.foreground import Array, Backdrop, Blob, Mask, Paint
from zoetrope.shapes import VideoShape

# An object covers at least this many squared frame heights, and this share of all that differs from the backdrop.
_LEAST_AREA = 0.015
_LEAST_SHARE = 0.5
_LEAST_FILLED = 0.6
# Least shares of frames in which it must be visible to recognise anything, or its motion.
_SEEN_AT_ALL = 0.6
_SEEN_THROUGHOUT = 0.8
_AGREE = 0.55
# Largest share of a coverage that a shape may leave unexplained, and the margin by which it must beat the next.
_WORST_MATCH = 0.13
_AHEAD = 0.1
# How much better separate angles in every frame must fit than a constant or steady one.
_FREEDOM, _UNSTEADY = 1.3, 1.5
# Standard deviation of the brightness inside an object from which it is taken for a solid.
_SHADED = 0.09


class Recognised(Config):
    """What a clip shows; None for what cannot be recognised.

    Each confidence is in [0, 1] and 0 for what is None. `seen` is the share of the frames with an object in them;
    `x` and `y` its mean place in frame heights from the middle of the frame, 0 where nothing is seen.
    """

    colour: str | None = None
    shape: str | None = None
    motion: str | None = None
    background: str | None = None
    colour_confidence: float = 0.0
    shape_confidence: float = 0.0
    motion_confidence: float = 0.0
    seen: float = 0.0
    x: float = 0.0
    y: float = 0.0


def recognise(frames: NDArray[Any], fps: float) -> Recognised:
    """What a clip (F, H, W, 3) of one object shows, uint8 or floats in [0, 1], at `fps` frames a second.

    Raises ValueError for another shape or range of `frames` and for fps that are not positive.
    """
    video = _working(frames, fps)
    behind = foreground.backdrop(video)
    return _describe(video, behind, foreground.largest_blob(foreground.foreground(video, behind)), fps)


def recognise_picture(picture: NDArray[Any]) -> Recognised:
    """What a single picture (H, W, 3) of one object shows, uint8 or floats in [0, 1]; it has no motion.

    Raises ValueError for another shape or range of `picture`.
    """
    if picture.ndim != 3:
        raise ValueError(f"picture: expected shape (H, W, 3), got {picture.shape}")
    return recognise(picture[None], 1.0)


def recognise_pair(frames: NDArray[Any], fps: float) -> tuple[Recognised, Recognised, str | None]:
    """Two objects of different colours, and where the first stands to the second: left, right, above or below.

    The first is the left or upper one, so the relation is "left" or "above", or None if that cannot be told.
    Raises ValueError as `recognise` does.
    """
    video = _working(frames, fps)
    behind = foreground.backdrop(video)
    found = foreground.foreground(video, behind)
    votes = np.full(found.shape, -1)
    votes[found] = foreground.palette_votes(video, behind, found)[0]
    deep = foreground.interior(found)
    counts = np.bincount(votes[deep], minlength=len(COLOURS)) if deep.any() else np.zeros(len(COLOURS))
    first, second = (
        _describe(video, behind, foreground.largest_blob(votes == number), fps)
        for number in np.argsort(-counts, kind="stable")[:2]
    )
    return _in_order(first, second)


def follow(frames: NDArray[Any], fps: float, shape: str = "") -> tuple[ObjectPath, Array]:
    """The path of a clip's one object, and how far a flat `shape` is turned in each frame that shows it.

    The turn is in [0, 1), a share of the angle after which the shape is the same again; 0 for round shapes and none.
    A clip without an object has an empty path. Raises ValueError as `recognise` does, and for an unknown shape.
    """
    if shape and shape not in FLAT_SHAPES:
        raise ValueError("shape: " + unknown("flat shape", shape, FLAT_SHAPES))
    video = _working(frames, fps)
    behind = foreground.backdrop(video)
    found = _locate(video, behind, foreground.largest_blob(foreground.foreground(video, behind)), fps)
    turns = np.zeros(len(found.path.times))
    if shape and len(turns) and silhouette.PERIODS[shape]:
        share, _, margin, cut = found.looks()
        error = silhouette.match(share, margin, cut)[shape]
        turns = error.argmin(1) / error.shape[1]
    return found.path, turns


def _in_order(first: Recognised, second: Recognised) -> tuple[Recognised, Recognised, str | None]:
    across, along = second.x - first.x, second.y - first.y
    sideways = abs(across) >= abs(along)
    if (across if sideways else along) < 0:
        first, second = second, first
    near, far = sorted((abs(across), abs(along)))
    outlined = min(first.seen, second.seen) >= _SEEN_AT_ALL and far > 0.15 and near < 0.6 * far
    return first, second, ("left" if sideways else "above") if outlined else None


def _working(frames: NDArray[Any], fps: float) -> Array:
    if not fps > 0:
        raise ValueError(f"fps: expected a positive number, got {fps}")
    return foreground.working(frames)


def _unit(height: int, width: int) -> float:
    """Pixels of the length that motions are measured in: a frame height; of the world in upright frames, all of it."""
    if height <= width:
        return float(height)
    return Framing.whole(VideoShape(frames=1, height=height, width=width, fps=1)).unit


class _Located(NamedTuple):
    """A blob through a clip (F, H, W): its coverage, in which frames (F,) an object is seen, and its path in these."""

    colour: Paint
    share: Array
    near: Blob
    track: silhouette.BlobTrack
    there: Mask
    path: ObjectPath

    def looks(self) -> tuple[Array, Mask, Mask, silhouette.BlobTrack]:
        """Coverage, core, margin and track of the frames that show it."""
        there, seen = self.there, self.track
        x, y, radius, filled = (one[there] for one in (seen.x, seen.y, seen.radius, seen.filled))
        track = silhouette.BlobTrack(x, y, radius, filled, seen.cut[there])
        return self.share[there], self.near.core[there], self.near.margin[there], track


def _locate(video: Array, behind: Backdrop, blob: Blob, fps: float) -> _Located:
    """Where one blob is, frame by frame."""
    colour = foreground.paint(video, behind, blob.core)
    share = foreground.coverage(video, behind, colour.rgb)
    clear = share if behind.spread < 0.03 else foreground.smooth(share)
    near = foreground.largest_blob((clear > 0.5) & blob.margin)
    seen = silhouette.track(share, near.core, near.margin)
    height, width = video.shape[1:3]
    area = np.pi * np.square(seen.radius / height)
    there = (area > _LEAST_AREA) & (blob.share > _LEAST_SHARE) & (seen.filled > _LEAST_FILLED)
    path = ObjectPath(
        (seen.x[there] - width / 2) / height,
        (seen.y[there] - height / 2) / height,
        seen.radius[there] / height,
        np.flatnonzero(there) / fps,
    )
    return _Located(colour, share, near, seen, there, path)


def _describe(video: Array, behind: Backdrop, blob: Blob, fps: float) -> Recognised:
    """Tell what one blob is and does."""
    background = foreground.backdrop_name(behind)
    found = _locate(video, behind, blob, fps)
    colour, there, place = found.colour, found.there, found.path
    if there.mean() < _SEEN_AT_ALL:
        return Recognised(background=background, seen=float(there.mean()))
    height, width = video.shape[1:3]
    shape, sure, spin = _shape(*found.looks(), place.times)
    moved = place.times_as_long(height / _unit(height, width))
    moves, steady = course.motion(moved, spin) if there.mean() >= _SEEN_THROUGHOUT else (None, 0.0)
    agreed = colour.name if colour.share >= _AGREE else None
    return Recognised(
        background=background,
        colour=agreed,
        shape=shape,
        motion=moves,
        colour_confidence=colour.share if agreed else 0.0,
        shape_confidence=sure,
        motion_confidence=steady if moves else 0.0,
        seen=float(there.mean()),
        x=float(place.x.mean()),
        y=float(place.y.mean()),
    )


def _shape(
    share: Array, core: Mask, margin: Mask, seen: silhouette.BlobTrack, times: Array
) -> tuple[str | None, float, float | None]:
    """The shape, the confidence in it, and how surely it turns (None if that cannot be told)."""
    weights = np.where(seen.cut, 0.1, 1.0)
    shaded = _is_shaded(share, core)
    # Of a shaded solid only the outline is compared: its faces are of many brightnesses.
    outlined = foreground.smooth(core.astype(np.float32)) if shaded else share
    fits = {
        shape: silhouette.turning(error, silhouette.PERIODS[shape], weights, times)
        for shape, error in silhouette.match(outlined, margin, seen, shaded).items()
    }
    left = {shape: min(fit.fixed, fit.turned, _FREEDOM * fit.free) for shape, fit in fits.items()}
    first, second = sorted(left, key=left.__getitem__)[:2]
    ahead = 1 - left[first] / max(left[second], 1e-6)
    if left[first] > _WORST_MATCH or ahead < _AHEAD:
        return None, 0.0, None
    fit = fits[first]
    steady = min(fit.fixed, fit.turned) < _UNSTEADY * fit.free + 0.01
    turns = max(0.0, 1 - fit.turned / max(fit.fixed, 1e-6)) if steady and not shaded else None
    return first, float(ahead * (1 - left[first])), turns


def _is_shaded(share: Array, core: Mask) -> bool:
    """Whether brightness varies deep inside the object."""
    deep = foreground.interior(core)
    return bool(deep.any()) and float(foreground.smooth(share)[deep].std()) > _SHADED
