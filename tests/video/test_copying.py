"""Stretches cut out of files by copying packets show exactly what the original shows there."""

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Maker, picture_clip
from zoetrope.video import probe, read
from zoetrope.video.copying import copied_suffix, copy_stretch

KEYED = {"g": "8", "sc_threshold": "0"}  # a key frame every 8 pictures, and nowhere else


def cut(path: Path, first: int, frames: int) -> Path | None:
    """The pictures from `first` on, copied; None if that would not be exact."""
    info = probe(path)
    target = path.with_name("cut" + copied_suffix(info))
    target.unlink(missing_ok=True)
    done = copy_stretch(path, info, first / info.fps, frames / info.fps, target)
    assert target.exists() == done
    return target if done else None


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", KEYED | {"bf": "0"}),
        ("a.mp4", "libx264", KEYED | {"bf": "2", "b_strategy": "0"}),
        ("a.mkv", "libx264", KEYED | {"bf": "2", "b_strategy": "0"}),
        ("a.mkv", "libx265", {"x265-params": "keyint=8:min-keyint=8:scenecut=0:open-gop=0:log-level=none"}),
        ("a.webm", "libvpx-vp9", {"g": "8", "b": "0", "crf": "24"}),
        ("a.mkv", "ffv1", {"g": "1"}),
        ("a.avi", "mjpeg", {}),
    ],
)
@pytest.mark.parametrize(("first", "frames"), [(0, 8), (8, 8), (8, 16), (16, 8)])
def test_between_key_frames_it_is_exact(
    make_video: Maker, name: str, codec: str, options: dict[str, str], first: int, frames: int
) -> None:
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = make_video(name, picture_clip(24), codec=codec, options=options, pix_fmt=pix_fmt)
    made = cut(path, first, frames)
    assert made is not None
    np.testing.assert_array_equal(read(made).frames, read(path).frames[first : first + frames])
    assert probe(made).fps == pytest.approx(probe(path).fps, rel=1e-3)


def test_without_b_frames_it_may_end_anywhere_and_with_them_only_where_none_is_cut(make_video: Maker) -> None:
    plain = make_video("plain.mp4", picture_clip(24), options=KEYED | {"bf": "0"})
    made = cut(plain, 8, 5)
    assert made is not None
    np.testing.assert_array_equal(read(made).frames, read(plain).frames[8:13])
    ordered = make_video("b.mp4", picture_clip(24), options=KEYED | {"bf": "2", "b_strategy": "0"})
    whole = read(ordered).frames
    done = 0
    for frames in range(1, 9):
        made = cut(ordered, 8, frames)
        if made is not None:
            done += 1
            np.testing.assert_array_equal(read(made).frames, whole[8 : 8 + frames])
    assert 0 < done < 8  # some ends lie behind a B-frame that needs what comes later


@pytest.mark.parametrize("first", [1, 7, 9])
def test_away_from_key_frames_nothing_is_written(make_video: Maker, first: int) -> None:
    assert cut(make_video("a.mp4", picture_clip(24), options=KEYED | {"bf": "0"}), first, 8) is None


def test_open_groups_are_not_copied(make_video: Maker) -> None:
    options = KEYED | {"bf": "2", "b_strategy": "0", "x264-params": "open-gop=1"}
    path = make_video("open.mkv", picture_clip(32), options=options)
    whole = read(path).frames
    for first in (8, 16):
        made = cut(path, first, 8)
        if made is not None:
            np.testing.assert_array_equal(read(made).frames, whole[first : first + 8])


def test_rotation_and_uneven_times_stay(make_video: Maker) -> None:
    path = make_video("turned.mp4", picture_clip(24), options=KEYED | {"bf": "0"}, turned=90)
    made = cut(path, 8, 8)
    assert made is not None and (probe(made).height, probe(made).width) == (64, 48)
    np.testing.assert_array_equal(read(made).frames, read(path).frames[8:16])
    times = [k * 40 + (k % 3) * 10 for k in range(24)]
    uneven = make_video("uneven.mkv", picture_clip(24), options=KEYED | {"bf": "0"}, pts=times)
    info = probe(uneven)
    target = uneven.with_name("part.mp4")
    assert copy_stretch(uneven, info, times[8] / 1000, (times[16] - times[8]) / 1000, target)
    assert probe(target).frames == 8
    made_of, again = read(uneven, fps=100, start=times[8] / 1000).frames, read(target, fps=100).frames
    assert abs(len(again) - 31) <= 1
    np.testing.assert_array_equal(again, made_of[: len(again)])


def test_what_cannot_be_entered_is_left_to_others(make_video: Maker) -> None:
    assert cut(make_video("a.gif", picture_clip(24), codec="gif", pix_fmt="rgb8"), 8, 8) is None
