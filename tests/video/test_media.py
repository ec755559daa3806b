"""Reading broken, odd, rare and real media files: a video, or one line that says why there is none."""

from pathlib import Path

import av
import numpy as np
import pytest

from zoetrope.video import probe, read


def _stress_files() -> list[str]:
    folder = Path(__file__).parents[3] / "shared" / "data" / "stress"
    return sorted(str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file()) or ["generated/empty.mp4"]


@pytest.mark.shared
@pytest.mark.parametrize("name", _stress_files())
def test_stress(shared: Path, name: str) -> None:
    path = shared / "data" / "stress" / name
    try:
        info = probe(path)
        video = read(path, frames=60)
    except ValueError as error:
        assert str(error).startswith(str(path))
        assert "\n" not in str(error)
        return
    assert video.frames.shape[1:3] == (info.height, info.width)
    assert 1 <= len(video.frames) <= max(info.frames, 60)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "frames", "fps", "shape"),
    [
        ("decord/corrupted.mp4", 28, 10, (720, 1280)),
        ("decord/video_90.mov", 3, 30, (568, 320)),
        ("mp4parse/video_rotation_90.mp4", 1, 24, (100, 60)),
        ("mp4parse/white.mp4", 300, 30, (240, 320)),
        ("torchcodec/h265_10bits.mp4", 30, 30, (200, 200)),
        ("generated/bitflips_late.mp4", 33, 24, (120, 160)),
        ("generated/codec_vp8.webm", 24, 25, (120, 160)),
        ("generated/high_fps_240.mp4", 48, 240, (120, 160)),
        ("generated/huge_header_60000x60000_mjpeg.avi", 24, 25, (120, 160)),
        ("generated/low_fps_0_5.mp4", 8, 0.5, (120, 160)),
        ("generated/mp4_named.avi", 48, 24, (120, 160)),
        ("generated/odd_97x71_444.mp4", 24, 24, (71, 97)),
        ("generated/rgb48_16bit.mkv", 6, 24, (120, 160)),
        ("generated/starts_at_5s.mp4", 48, 24, (120, 160)),
    ],
)
def test_stress_that_reads(shared: Path, name: str, frames: int, fps: float, shape: tuple[int, int]) -> None:
    video = read(shared / "data" / "stress" / name)
    assert (len(video.frames), video.fps, video.frames.shape[1:3]) == (frames, fps, shape)


@pytest.mark.shared
def test_phone_rotations_agree(shared: Path) -> None:
    for turn, quarters in ((0, 0), (90, -1), (180, 2)):  # clockwise; rot90 counts counterclockwise
        path = shared / "data" / "stress" / "decord" / f"video_{turn}.mov"
        with av.open(str(path)) as container:
            stored = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
        expected = np.rot90(stored, quarters, axes=(1, 2))
        assert read(path).frames.shape == expected.shape
        assert np.abs(read(path).frames.astype(int) - expected).mean() < 3


@pytest.mark.shared
def test_originals_seek_as_they_read(shared: Path) -> None:
    for name in ("again.mkv", "nasa_13013.mp4", "people-detection.gif"):
        path = shared / "data" / "real_clips" / "originals" / name
        info = probe(path)
        whole = read(path, size=(24, 32)).frames
        for share in (0.31, 0.77):
            first = int(share * len(whole))
            part = read(path, start=first / info.fps, frames=3, size=(24, 32)).frames
            assert np.array_equal(part, whole[first : first + 3]), name
