"""The recogniser against the truth, and its silence where there is nothing to tell."""

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from zoetrope.data.toybox import vocabulary as words
from zoetrope.data.toybox.render import Pictures, render
from zoetrope.data.toybox.scene import SECONDS, Scene, Script, Thing, scene, script
from zoetrope.metrics.recogniser import Recognised, recognise, recognise_pair, recognise_picture
from zoetrope.shapes import VideoShape

BASE = VideoShape(frames=16, height=24, width=40, fps=3)
LARGE = VideoShape(frames=16, height=192, width=320, fps=3)


def flat_scripts(count: int) -> list[Script]:
    """Single flat things, every fourth with a combination held out of training."""
    found: list[Script] = []
    seed = 0
    while len(found) < count:
        one, seed = script(seed, held_out=len(found) % 4 == 0), seed + 1
        if one.style == "flat" and not one.relation and one.things[0].shape in words.FLAT_SHAPES:
            found.append(one)
    return found


def acted(shape: str = "square", motion: str = "left", size: VideoShape = BASE) -> Pictures:
    told = Script(things=(Thing(shape=shape, colour="red"),), motion=motion, background="white")
    return render(scene(told, 3), size)


def blurred(video: NDArray[np.float32]) -> NDArray[np.float32]:
    padded = np.pad(video, [(0, 0), (1, 1), (1, 1), (0, 0)], mode="edge")
    rows = (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4
    return (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 4


def right(scripts: list[Script], size: VideoShape, noise: float = 0.0, blur: bool = False) -> dict[str, float]:
    """The share of the scripts of which each attribute is recognised."""
    rng, hits = np.random.default_rng(0), Counter[str]()
    for number, one in enumerate(scripts):
        video = render(scene(one, number), size)
        video = blurred(video) if blur else video
        video = np.clip(video + noise * rng.standard_normal(video.shape), 0, 1)
        found = recognise((video * 255).round().astype(np.uint8), size.fps)
        hits["colour"] += found.colour == one.things[0].colour
        hits["shape"] += found.shape == one.things[0].shape
        hits["motion"] += found.motion == one.motion
        hits["background"] += found.background == one.background
    return {name: count / len(scripts) for name, count in hits.items()}


@pytest.mark.parametrize(
    ("size", "count", "noise", "blur", "share"),
    [
        pytest.param(BASE, 100, 0.0, False, 0.98, id="clean"),
        pytest.param(BASE, 100, 0.1, False, 0.95, id="noise"),
        pytest.param(BASE, 100, 0.0, True, 0.95, id="blur"),
        pytest.param(LARGE, 50, 0.1, False, 0.95, id="large, noise"),
    ],
)
def test_clips_are_recognised(size: VideoShape, count: int, noise: float, blur: bool, share: float) -> None:
    told = right(flat_scripts(count), size, noise, blur)
    assert min(told.values()) >= share, told


@pytest.mark.parametrize("background", [*words.BACKGROUNDS])
def test_nothing_is_seen_on_an_empty_background(background: str) -> None:
    found = recognise(render(Scene(objects=(), background=background), BASE), BASE.fps)
    assert found == Recognised(background=background)


def test_nothing_is_told_of_noise() -> None:
    rng = np.random.default_rng(0)
    rough = rng.uniform(0, 1, (16, 24, 40, 3))
    for video in (rough, np.clip((blurred(blurred(rough)) - 0.5) * 4 + 0.5, 0, 1)):
        found = recognise(video, 3)
        assert (found.colour, found.shape, found.motion) == (None, None, None)


@pytest.mark.parametrize("motion", ["left", "still", "spin", "grow"])
def test_an_object_in_a_third_of_the_frames_is_not_told(motion: str) -> None:
    video = acted(motion=motion)
    video[np.random.default_rng(1).permutation(16)[:11]] = 1
    found = recognise(video, 3)
    assert found.seen < 0.5
    assert (found.colour, found.shape, found.motion) == (None, None, None)


@pytest.mark.parametrize("motion", ["left", "up", "spin", "grow", "shrink", "orbit", "bounce"])
def test_shuffled_frames_have_no_motion(motion: str) -> None:
    video = acted("star", motion)
    assert recognise(video, 3).motion == motion
    shuffled = recognise(video[np.random.default_rng(0).permutation(16)], 3)
    assert (shuffled.colour, shuffled.shape, shuffled.motion) == ("red", "star", None)


def test_time_backwards_is_the_opposite_motion() -> None:
    assert recognise(acted(motion="left")[::-1], 3).motion == "right"
    assert recognise(acted(motion="grow")[::-1], 3).motion == "shrink"


@pytest.mark.parametrize("relation", [*words.RELATIONS])
def test_pairs_are_told_apart(relation: str) -> None:
    things = (Thing(shape="star", colour="red"), Thing(shape="circle", colour="blue"))
    told = Script(things=things, motion="still", background="white", relation=relation)
    first, second, where = recognise_pair(render(scene(told, 1), BASE), BASE.fps)
    ordered = things if relation in ("left", "above") else things[::-1]
    assert [(one.shape, one.colour, one.motion) for one in (first, second)] == [
        (thing.shape, thing.colour, "still") for thing in ordered
    ]
    assert where == ("left" if relation in ("left", "right") else "above")


@pytest.mark.parametrize(("height", "width"), [(24, 40), (48, 80), (192, 320)])
@pytest.mark.parametrize(
    ("noise", "blur", "share"),
    [(0.0, False, 0.98), (0.1, False, 0.95), (0.0, True, 0.95)],
    ids=["clean", "noise", "blur"],
)
def test_single_pictures_are_recognised(height: int, width: int, noise: float, blur: bool, share: float) -> None:
    """Of any moment of a clip; of motion nothing is told."""
    rng, hits, scripts = np.random.default_rng(0), Counter[str](), flat_scripts(60)
    size = VideoShape(frames=1, height=height, width=width, fps=1)
    for number, one in enumerate(scripts):
        video = render(scene(one, number), size, float(rng.uniform(0, SECONDS)))
        video = blurred(video) if blur else video
        picture = np.clip(video + noise * rng.standard_normal(video.shape), 0, 1)[0]
        found = recognise_picture((picture * 255).round().astype(np.uint8))
        hits["colour"] += found.colour == one.things[0].colour
        hits["shape"] += found.shape == one.things[0].shape
        hits["background"] += found.background == one.background
        assert found.motion is None and found.motion_confidence == 0
    told = {name: count / len(scripts) for name, count in hits.items()}
    assert min(told.values()) >= share, told


def test_a_picture_of_nothing_shows_nothing() -> None:
    rng = np.random.default_rng(0)
    assert recognise_picture(np.ones((24, 40, 3))) == Recognised(background="white")
    for _ in range(8):
        found = recognise_picture(rng.uniform(0, 1, (24, 40, 3)))
        assert (found.colour, found.shape) == (None, None)
    with pytest.raises(ValueError, match=r"picture: expected shape \(H, W, 3\), got \(1, 24, 40, 3\)"):
        recognise_picture(np.ones((1, 24, 40, 3)))


def test_mistakes_are_refused() -> None:
    with pytest.raises(ValueError, match="expected shape"):
        recognise(np.zeros((16, 3, 24, 40)), 3)
    with pytest.raises(ValueError, match="expected uint8 or floats"):
        recognise(np.full((16, 24, 40, 3), 255.0), 3)
    with pytest.raises(ValueError, match="fps"):
        recognise(np.zeros((16, 24, 40, 3)), 0)
