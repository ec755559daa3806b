"""Mixtures: shares by weight, nothing lost or doubled, images and videos together."""

import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import numbered
from hypothesis import given, settings
from hypothesis import strategies as st

from zoetrope.data import Source
from zoetrope.data.encoded import Encoded
from zoetrope.data.folder import Folder
from zoetrope.data.mixture import Mixture, Part, picked
from zoetrope.data.toybox import Toybox
from zoetrope.shapes import VideoShape, Window
from zoetrope.video import Video, save_image

CLIP = VideoShape(frames=2, height=6, width=8, fps=6)
STILL = VideoShape(frames=1, height=6, width=8, fps=6)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=5))
def test_each_source_has_its_share_and_its_own_examples_in_turn(weights: list[float]) -> None:
    picks = [picked(index, weights) for index in range(200)]
    seen: Counter[int] = Counter()
    for index, pick in enumerate(picks, start=1):
        assert pick.number == seen[pick.source]
        seen[pick.source] += 1
        for source, weight in enumerate(weights):
            assert abs(seen[source] - index * weight / sum(weights)) <= len(weights)
    far = 10**12
    assert sum(picked(far + k, weights).source == 0 for k in range(1000)) == pytest.approx(
        1000 * weights[0] / sum(weights), abs=1.001
    )


@pytest.fixture
def stills(tmp_path: Path) -> Folder:
    (tmp_path / "stills").mkdir()
    for number in range(3):
        save_image(tmp_path / f"stills/{number}.png", numbered(4, 12, 16)[number])
        (tmp_path / f"stills/{number}.txt").write_text(f"still {number}")
    return Folder(path=str(tmp_path / "stills"))


@pytest.fixture
def films(tmp_path: Path) -> Folder:
    (tmp_path / "films").mkdir()
    Video(numbered(12, 12, 16), 6).save(tmp_path / "films/film.mp4")
    (tmp_path / "films/film.txt").write_text("a film")
    return Folder(path=str(tmp_path / "films"))


def test_pictures_come_from_all_and_clips_from_videos(stills: Folder, films: Folder) -> None:
    source = Mixture(parts=(Part(source=stills, weight=3), Part(source=films), Part(source=Toybox(scripts=2))))
    assert Source.from_json(source.to_json()) == source
    dataset = source.open()
    pictures = [dataset.example(index, STILL).name for index in range(15)]
    assert Counter(name.partition(".")[2] or "toybox" for name in pictures) == {"png": 9, "mp4": 3, "toybox": 3}
    assert Counter(pictures)["0.png"] == Counter(pictures)["1.png"] == Counter(pictures)["2.png"] == 3
    clips = [dataset.example(index, CLIP).name for index in range(6)]
    assert Counter(clips)["film.mp4"] == 3
    assert sorted(set(clips) - {"film.mp4"}) == [f"clip {index} of toybox" for index in range(3)]
    assert {"a film", "still 0"} < set(dataset.captions())
    assert sorted(set(dataset.captions())) == dataset.captions()


def test_a_world_of_pictures_adds_to_a_world_of_clips() -> None:
    pictures = Toybox(pictures=True, scripts=500)
    source = Mixture(parts=(Part(source=Toybox(scripts=1)), Part(source=pictures, weight=9)))
    dataset, few = source.open(), Toybox(scripts=1).open()
    assert {dataset.example(index, CLIP).text for index in range(20)} == {few.example(0, CLIP).text}
    assert len({dataset.example(index, STILL).text for index in range(20)}) > 10
    assert set(few.captions()) | set(pictures.open().captions()) == set(dataset.captions())
    with pytest.raises(ValueError, match="single pictures alone, not clips of 2 frames"):
        pictures.open().example(0, CLIP)


def test_it_is_a_function_of_the_position(stills: Folder, films: Folder) -> None:
    source = Mixture(parts=(Part(source=films, weight=0.3), Part(source=Toybox(scripts=2), weight=0.7)))
    one, other = source.open(), pickle.loads(pickle.dumps(source.open()))
    window = Window(range(1, 2), range(2, 5), range(8))
    for index in reversed(range(10)):
        whole = one.example(index, CLIP)
        assert torch.equal(other.example(index, CLIP).video, whole.video)
        assert torch.equal(other.part(index, CLIP, window).video, window.of(whole.video))


def test_what_cannot_be_mixed(stills: Folder, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no clip has 2 frames at 6 fps; the most that fit is 1"):
        Mixture(parts=(Part(source=stills), Part(source=stills))).open().example(0, CLIP)
    with pytest.raises(ValueError, match="there is none"):
        Mixture(parts=(Part(source=stills), Part(source=Folder(path=str(tmp_path / "none"))))).open()
    for fields, said in (
        ({"parts": []}, "parts: "),
        ({"parts": [{"source": {"type": "toybox"}, "weight": 0}]}, "weight"),
    ):
        with pytest.raises(ValueError, match=said):
            Source.from_json({"type": "mixture", **fields})


def test_a_mixture_tells_what_its_sources_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("one", "other")):
        Path(name).mkdir()
        for end in "ab":
            save_image(f"{name}/{end}.png", np.full((12, 16, 3), number, np.uint8))
        Path(f"{name}/a.txt").write_text(f"{name} picture")
    mixture = Mixture(parts=(Part(source=Folder(path="one")), Part(source=Toybox()), Part(source=Folder(path="other"))))
    told = mixture.open().unused()
    assert [item.lines() for item in told] == [
        [f"{name}: 1 dropped:", "  b.png: has no caption"] for name in ("one", "other")
    ]
    before = mixture.open().contents()
    assert before is not None and before.clips == 2
    Path("other/a.txt").write_text("another picture")
    after = mixture.open().contents()
    assert after is not None and after.digest != before.digest
    paths = [part.source.to_json().get("path") for part in mixture.located().parts]
    assert paths == [str(tmp_path / "one"), None, str(tmp_path / "other")]
    assert Mixture(parts=(Part(source=Toybox()),)).open().contents() is None


def test_parts_must_agree_in_what_they_tell(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", u=np.zeros((4, 4, 6)))
    parts = []
    for name, kind, value in (("one", "number", "1"), ("two", "label", "good")):
        (tmp_path / f"{name}.csv").write_text(f"file,ef\na.npz,{value}\n")
        channel = {"scale": {"type": "range", "lo": 0, "hi": 1}}
        source = {"type": "arrays", "path": str(tmp_path / f"{name}.csv"), "told": {"ef": kind}}
        parts.append(Part.from_json({"source": {**source, "variables": {"u": channel}, "axes": "tyx", "rate": 1}}))
    assert Mixture(parts=(parts[0], parts[0])).open().tells() == {"ef": "number"}
    with pytest.raises(ValueError, match=r"parts\.1: expected 'ef' as a number, as a part before tells it, got"):
        Mixture(parts=tuple(parts)).open()


def test_latents_are_no_part_of_pixels(tmp_path: Path) -> None:
    latents = Encoded(path=str(tmp_path))
    with pytest.raises(ValueError, match=r"0\.source: expected videos in pixels, got 'encoded'"):
        Mixture(parts=(Part(source=latents),))
    for kind in ("latents", "pictured", "camera"):
        more = {"codec": str(tmp_path)} if kind == "latents" else {}
        with pytest.raises(ValueError, match=r"source: expected videos in pixels, got 'encoded'"):
            Source.from_json({"type": kind, "source": latents.to_json(), **more})
