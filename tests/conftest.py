"""What many tests share: the reference material beside the repository, and media files made on the spot."""

import os
import socket
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream

Maker = Callable[..., Path]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files marked `first` begin, so that processes that share the files end together."""
    items.sort(key=lambda item: item.get_closest_marker("first") is None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test printed, such as half of a surrogate pair, may have to travel to another process as UTF-8."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference material; tests that need it are skipped where it is absent."""
    folder = Path(__file__).parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("the folder ../shared with reference material is not here")
    return folder


@pytest.fixture(scope="session", autouse=True)
def cache_of_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of text features for the tests, never the user's; commands in a process of their own have it too."""
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("ZOETROPE_CACHE")
    os.environ["ZOETROPE_CACHE"] = str(folder)
    yield folder
    del os.environ["ZOETROPE_CACHE"]
    if before is not None:
        os.environ["ZOETROPE_CACHE"] = before


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of `my_lab`, a package of somebody else's, which can be imported; its recipe.py uses it.

    At the end nothing of it is left in this process.
    """
    folder = Path(__file__).parent / "outside"
    before = set(sys.modules)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]))
    yield folder
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]


def make_pipe(path: str | Path) -> None:
    """Make a named pipe; the test is skipped where the system has none."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    os.mkfifo(path)


def local_socket() -> socket.socket:
    """A socket that lies in a folder once it is bound; the test is skipped where the system has none."""
    if not hasattr(socket, "AF_UNIX"):
        pytest.skip("this system has no sockets in folders")
    return socket.socket(socket.AF_UNIX)


def numbered(count: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Pictures (F, H, W, 3) uint8 whose number can be read from their brightness, see `number_of`."""
    frames = np.zeros((count, height, width, 3), np.uint8)
    frames[:] = (np.arange(count) * 8 + 4).astype(np.uint8)[:, None, None, None]
    return frames


def number_of(frames: np.ndarray) -> list[int]:
    """Which pictures of `numbered` these are."""
    return [int(level) // 8 for level in frames.reshape(len(frames), -1).astype(float).mean(1).round()]


def picture_clip(count: int = 10, height: int = 48, width: int = 64) -> np.ndarray:
    """A smooth coloured moving pattern, kind to lossy codecs."""
    y, x = np.mgrid[:height, :width]
    planes = [np.stack([x / width, y / height, np.full(x.shape, k / count)], -1) for k in range(count)]
    return (np.stack(planes) * 200 + 25).astype(np.uint8)


@pytest.fixture
def make_video(tmp_path: Path) -> Maker:
    """Write a file with PyAV alone: make_video(name, frames, codec=, pix_fmt=, fps=, pts=, turned=, options=)."""

    def make(
        name: str,
        frames: np.ndarray,
        *,
        codec: str = "libx264",
        pix_fmt: str = "yuv420p",
        fps: Fraction | int = 24,
        pts: Sequence[int] | None = None,
        turned: int = 0,
        options: dict[str, str] | None = None,
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=fps, options=options or {})
            assert isinstance(stream, VideoStream)
            stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pix_fmt
            base = Fraction(1, 1000) if pts is not None else 1 / Fraction(fps)
            if pts is not None:
                stream.codec_context.time_base = base
            if turned:
                stream.set_display_rotation(turned)
            for number, pixels in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=pix_fmt)
                frame.pts, frame.time_base = pts[number] if pts is not None else number, base
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return make


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """A file with a tone and no video."""
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        tone = (np.sin(np.arange(800) / 3) * 9000).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def no_pictures(tmp_path: Path) -> Path:
    """A file with a video stream in which there is nothing."""
    path = tmp_path / "no_pictures.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=24)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuvj420p"
        container.start_encoding()
    return path
