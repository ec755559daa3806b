"""The cuts of a video, by PySceneDetect's adaptive detector at several frame rates."""

from pathlib import Path

import numpy as np

from zoetrope.curation.measures import imported
from zoetrope.curation.spec import Curation
from zoetrope.video import Info, stream

_SIDE = 96


def cuts(path: Path, info: Info, spec: Curation) -> tuple[list[int], int]:
    """The numbers of the pictures, at the file's own rate, that begin a scene, and how many pictures there are.

    The first picture is not among them. A cut that a slower rate finds counts if no faster one found it within its
    stride. `info` is the `probe` of the file. Raises ValueError for a file that cannot be read.
    """
    timecode, detector_of = imported("scenedetect").FrameTimecode, imported("scenedetect.detectors").AdaptiveDetector
    detectors = [
        detector_of(spec.contrast, min_scene_len=2, window_width=2, min_content_val=spec.change) for _ in spec.strides
    ]
    found: list[list[int]] = [[] for _ in spec.strides]
    count = 0
    size = (_SIDE, max(1, round(info.width * _SIDE / info.height))) if info.height > _SIDE else None
    for picture in stream(path, fps=info.fps, size=size):
        small = np.ascontiguousarray(picture[..., ::-1])  # in OpenCV's order of channels
        for detector, stride, cut in zip(detectors, spec.strides, found, strict=True):
            if count % stride == 0:
                times = detector.process_frame(timecode(count // stride, info.fps), small)
                cut += [time.frame_num * stride for time in times]
        count += 1
    merged: list[int] = []
    for stride, cut in sorted(zip(spec.strides, found, strict=True)):
        merged += [at for at in cut if all(abs(at - other) > 2 * stride for other in merged)]
    return sorted(merged), count
