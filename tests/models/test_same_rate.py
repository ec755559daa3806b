"""Files of 23.976 pictures a second are given where 24 are asked for: every picture once, and none late."""

from pathlib import Path

import numpy as np
import pytest

from zoetrope.cascade.spec import CascadeSpec
from zoetrope.cascade.start import read_start
from zoetrope.data.clip import frames_of
from zoetrope.models.control import _video as control_video
from zoetrope.models.known import known_frames
from zoetrope.models.long import OpeningFrames
from zoetrope.shapes import VideoShape
from zoetrope.video import Video, probe, rate_to_read

from .test_start import spec

FRAMES = 8
NTSC = 4000 / 1001


def numbered(count: int) -> np.ndarray:
    """Grey frames, of 20 levels more each, which survive compression."""
    frames = np.zeros((count, 16, 16, 3), np.uint8)
    frames[:] = 20 * np.arange(count)[:, None, None, None]
    return frames


def numbers(frames: np.ndarray) -> list[int]:
    """Which of `numbered` these are."""
    return [round(float(frame.mean()) / 20) for frame in frames]


@pytest.fixture
def film(tmp_path: Path) -> str:
    path = tmp_path / "film.mp4"
    Video(numbered(FRAMES), NTSC).save(path)
    return str(path)


@pytest.fixture
def cascade() -> CascadeSpec:
    """A base of 4x8x8 at 2, 8x8x8 at 4 and 8x16x16 at 4 frames a second."""
    return spec([(4, 8, 8, 2), (8, 8, 8, 4), (8, 16, 16, 4)])


def test_known_frames(film: str, cascade: CascadeSpec) -> None:
    found = known_frames(cascade.stages, {"0:6": film}, method="replacement")
    assert found is not None and numbers(found.pictures) == list(range(6))


def test_a_start(film: str) -> None:
    longer = spec([(4, 8, 8, 2), (8, 16, 16, 4), (8, 32, 32, 4)])
    read = read_start(film, longer)
    assert numbers(read.video.frames) == list(range(FRAMES)) and read.video.fps == 4


def test_the_beginning_of_a_long_video(film: str) -> None:
    shape = VideoShape(frames=4, height=16, width=16, fps=4)
    found = OpeningFrames.of(film, shape)
    assert found.frames == FRAMES
    levels = [float(frame.mean() + 1) * 127.5 / 20 for frame in found.tensors(shape)]
    assert [round(level) for level in levels] == list(range(FRAMES))


def test_controls_and_clips_to_edit(film: str) -> None:
    shape = VideoShape(frames=6, height=16, width=16, fps=4)
    control = control_video(film, shape, "crop")
    assert [round(float(frame.mean() + 1) * 127.5 / 20) for frame in control.unbind(1)] == list(range(6))
    assert numbers(frames_of(film, shape).frames) == list(range(6))


def test_a_file_of_too_few_pictures_and_other_rates(film: str) -> None:
    info = probe(film)
    assert rate_to_read(info, 4) == rate_to_read(info, 4, FRAMES) == info.fps
    assert rate_to_read(info, 4, FRAMES + 1) == 4 and rate_to_read(info, 8) == 8
