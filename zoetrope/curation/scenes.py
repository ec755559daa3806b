"""The scenes of one file, each measured, described and judged."""

import base64
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zoetrope.curation.captioners import captions
from zoetrope.curation.cuts import cuts
from zoetrope.curation.duplicates import hashed
from zoetrope.curation.measures import opencv
from zoetrope.curation.spec import Curation
from zoetrope.video import Info, probe, stream

_RATE = 2.0  # pictures a second that are judged
_MOST = 32  # pictures of a scene that are judged; longer scenes are judged by their beginning
_TALLEST = 540  # rows of pictures that are judged
_THUMB = 72  # rows of a thumbnail
_NARROWEST = 16  # times the shorter side that the longer one may have: what reads text enlarges the shorter one


class JudgedScene(NamedTuple):
    """A scene of a file, and what is told of it.

    Attributes:
        texts: its captions.
        start, seconds: where it begins in the file, and how long it is.
        whole: whether it is the whole file.
        measures: by the name of a measure.
        hashes: of its first, middle and last picture, see `zoetrope.curation.duplicates`.
        strip: these three side by side, as a JPEG in base64; "" where nothing was decoded.
        reason: why it is left out; None if it is kept.
    """

    name: str
    texts: list[str]
    start: float
    seconds: float
    whole: bool
    measures: dict[str, float]
    hashes: list[int]
    strip: str
    reason: str | None


def unread(
    name: str, texts: Sequence[str], reason: str, start: float = 0.0, seconds: float = 0.0, whole: bool = True
) -> JudgedScene:
    """A file, or a scene of it, of which no picture is judged; `whole`: the scene is all of the file."""
    return JudgedScene(name, list(texts), start, seconds, whole, {}, [], "", reason)


def judged(folder: Path, name: str, texts: list[str], spec: Curation) -> list[JudgedScene]:
    """The scenes of a file; a file that cannot be read is one scene with the reason.

    Raises ValueError only for models that cannot be used.
    """
    path = folder / name
    try:
        info = probe(path)
        if max(info.height, info.width) > _NARROWEST * min(info.height, info.width):
            narrow = f"narrow: {info.height}x{info.width}, expected sides of at most 1 to {_NARROWEST}"
            return [unread(name, texts, narrow)]
        found, count = cuts(path, info, spec)
    except (ValueError, OSError) as error:
        return [unread(name, texts, str(error).removeprefix(f"{path}: "))]
    scenes = []
    for first, end in pairwise([0, *found, count]):
        start, seconds, whole = first / info.fps, (end - first) / info.fps, (first, end) == (0, count)
        if seconds < spec.shortest:
            short = f"short: {seconds:.2f} s, expected at least {spec.shortest:g}"
            scenes.append(unread(name, texts, short, start, seconds, whole))
            continue
        try:
            pictures = _pictures(path, info, start, seconds)
        except (ValueError, OSError) as error:
            why = str(error).removeprefix(f"{path}: ")
            scenes.append(unread(name, texts, why, start, seconds, whole))
        else:
            measures, told, reason = _judged(pictures, texts, spec)
            strip = _strip(pictures)
            scenes.append(JudgedScene(name, told, start, seconds, whole, measures, hashed(pictures), strip, reason))
    return scenes


def _pictures(path: Path, info: Info, start: float, seconds: float) -> np.ndarray:
    """The pictures (N, H, W, 3) of a scene that are judged, no taller than 540 pixels; at least its first and last."""
    last = seconds - 1 / info.fps
    rate = min(max(_RATE, 1 / last) if last > 0.5 / info.fps else _RATE, info.fps)
    frames = min(_MOST, max(1, int((seconds - 0.5 / info.fps) * rate) + 1))
    size = (_TALLEST, max(1, round(info.width * _TALLEST / info.height))) if info.height > _TALLEST else None
    return np.stack(list(stream(path, fps=rate, start=start, frames=frames, size=size)))


def _judged(pictures: np.ndarray, texts: list[str], spec: Curation) -> tuple[dict[str, float], list[str], str | None]:
    """The measures and captions of a scene, and why it is left out. Only what is good so far is described."""
    found: dict[str, float] = {}
    faults: list[str] = []
    told = texts
    for reads in (False, True):
        if reads and not faults:
            told = _described(pictures, texts, spec)
            faults += [] if told else ["no caption: its captioners wrote none"]
        for measure in spec.measures if not faults or not reads else ():
            if measure.reads_captions == reads:
                value = found[measure.kind()] = measure.of(pictures, told if reads else [])
                fault = measure.fault(value)
                faults += [] if fault is None else [fault]
    return found, told, "; ".join(faults) or None


def _described(pictures: np.ndarray, texts: list[str], spec: Curation) -> list[str]:
    """The captions of a scene, with what the captioners make of it where they are asked."""
    if not spec.captioners or (texts and spec.captions == "keep"):
        return texts
    made = captions(spec.captioners, pictures)
    if not made:
        return texts
    return [made] if spec.captions == "replace" else list(dict.fromkeys([*texts, made]))


def _strip(pictures: np.ndarray) -> str:
    """The first, middle and last picture side by side, small, as a JPEG in base64."""
    cv2 = opencv()
    chosen = pictures[[0, len(pictures) // 2, len(pictures) - 1]]
    width = max(1, round(pictures.shape[2] * _THUMB / pictures.shape[1]))
    small = [cv2.resize(one, (width, _THUMB), interpolation=cv2.INTER_AREA) for one in chosen]
    done, content = cv2.imencode(".jpg", np.concatenate(small, 1)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 75])
    assert done
    return base64.b64encode(content.tobytes()).decode()
