"""The cuts of a video, by PySceneDetect's adaptive detector at several frame rates."""

from pathlib import Path

import numpy as np

from zoetrope.data.curation.measures import missing, opencv
from zoetrope.data.curation.spec import Curation
from zoetrope.video import stream

_SIDE = 96


def cuts(path: Path, fps: float, spec: Curation) -> tuple[list[int], int]:
    """The numbers of the pictures at `fps` that begin a scene, without the first, and how many pictures there are.

    A cut that a slower rate finds counts if no faster one found it within its stride. Raises ValueError for a file that
    cannot be read.
    """
    cv2 = opencv()
    try:
        from scenedetect import FrameTimecode  # type: ignore[import-not-found,unused-ignore]
        from scenedetect.detectors import AdaptiveDetector  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise ValueError(missing("scenedetect", error)) from None
    detectors = [
        AdaptiveDetector(spec.contrast, min_scene_len=2, window_width=2, min_content_val=spec.change)
        for _ in spec.strides
    ]
    found: list[list[int]] = [[] for _ in spec.strides]
    count = 0
    for picture in stream(path, fps=fps):
        small = _small(cv2, picture)
        for detector, stride, cut in zip(detectors, spec.strides, found, strict=True):
            if count % stride == 0:
                times = detector.process_frame(FrameTimecode(count // stride, fps), small)
                cut += [time.frame_num * stride for time in times]
        count += 1
    merged: list[int] = []
    for stride, cut in sorted(zip(spec.strides, found, strict=True)):
        merged += [at for at in cut if all(abs(at - other) > 2 * stride for other in merged)]
    return sorted(merged), count


def _small(cv2: object, picture: np.ndarray) -> np.ndarray:
    """The picture in OpenCV's order of channels, at most 96 pixels high."""
    height, width = picture.shape[:2]
    bgr = np.ascontiguousarray(picture[..., ::-1])
    if height <= _SIDE:
        return bgr
    return cv2.resize(bgr, (max(1, width * _SIDE // height), _SIDE), interpolation=cv2.INTER_AREA)  # type: ignore[attr-defined]
