"""The toybox in frames of any shape: the usual ones as they were, and nothing that matters cut off in others."""

import numpy as np
import pytest
import torch

from zoetrope.data.toybox import Toybox
from zoetrope.data.toybox.framing import Framing
from zoetrope.data.toybox.render import render
from zoetrope.data.toybox.scene import SECONDS, Scene, Script, pose, scene
from zoetrope.data.toybox.world import numbered_script
from zoetrope.shapes import VideoShape, Window

SIZES = [(40, 24), (32, 32), (24, 60), (20, 80), (80, 20), (36, 28)]


def shape(height: int, width: int, frames: int = 1) -> VideoShape:
    return VideoShape(frames=frames, height=height, width=width, fps=3)


def scripts(count: int) -> list[Script]:
    return [numbered_script(number) for number in range(count)]


@pytest.mark.parametrize("size", [(24, 40), (48, 80), (6, 10)])
def test_the_usual_frames_are_as_they_were_bit_for_bit(size: tuple[int, int]) -> None:
    grid = shape(*size, frames=4)
    plain, whole = Toybox(scripts=50).open(), Toybox(scripts=50, framing="whole").open()
    for index in range(8):
        one, other = plain.example(index, grid), whole.example(index, grid)
        assert torch.equal(one.video, other.video) and one.text == other.text


@pytest.mark.parametrize("size", SIZES)
def test_what_the_world_shows_the_frame_shows(size: tuple[int, int]) -> None:
    """No circle around an object leaves the frame by more than it leaves a usual frame, but for 2 % of a height."""
    framing = Framing.whole(shape(*size))
    for number, told in enumerate(scripts(300)):
        usual = scene(told, number)
        moved = framing.scene(usual)
        for before, after in zip(usual.objects, moved.objects, strict=True):
            for time in np.linspace(0, SECONDS, 9):
                was, now = pose(before, time), pose(after, time)
                assert now.radius == was.radius and now.angle == was.angle
                out = max(abs(was.x) + was.radius - 5 / 6, abs(was.y) + was.radius - 0.5, 0)
                beyond = max(abs(now.x) + now.radius - framing.width / 2, abs(now.y) + now.radius - framing.height / 2)
                # In a low frame the largest objects, which grow beyond a half, are cut by what the frame lacks.
                assert beyond <= out + 0.1, (told, time)


@pytest.mark.parametrize("size", SIZES)
def test_captions_stay_true(size: tuple[int, int]) -> None:
    """Objects move as told, orbits stay round, and pairs stand apart on the side that is told."""
    framing = Framing.whole(shape(*size))
    for number, told in enumerate(scripts(300)):
        moved = framing.scene(scene(told, number))
        first = [pose(moved.objects[0], time) for time in np.linspace(0, SECONDS, 17)]
        if told.motion in ("left", "right"):
            way = first[-1].x - first[0].x
            assert abs(way) > 0.3 and (way > 0) == (told.motion == "right")
        if told.motion in ("up", "down"):
            way = first[-1].y - first[0].y
            assert abs(way) > 0.3 and (way > 0) == (told.motion == "down")
        if told.motion == "orbit":
            item = moved.objects[0]
            away = [np.hypot(each.x - item.x, each.y - item.y) for each in first]
            assert np.ptp(away) < 1e-9 and away[0] > 0.15
        if told.relation:
            one, other = moved.objects
            apart = {"left": other.x - one.x, "right": one.x - other.x, "above": other.y - one.y}
            apart["below"] = -apart["above"]
            assert apart[told.relation] > 0.9 * max(one.diameter, other.diameter)


@pytest.mark.parametrize("size", SIZES)
def test_objects_are_drawn_in_their_size(size: tuple[int, int]) -> None:
    """A disc covers as many pixels as it should, wherever it is; and averaging a large picture gives the small one."""
    framing = Framing.whole(shape(*size))
    told = Script(things=({"shape": "circle", "colour": "red"},), motion="still", background="white")  # type: ignore[arg-type]
    drawn: Scene = scene(told, 0)
    picture = render(drawn, shape(*size), framing=framing)[0]
    empty = render(drawn.with_(objects=()), shape(*size), framing=framing)[0]
    share = np.abs(picture - empty).sum(-1) / np.abs(picture - empty).sum(-1).max()
    assert share.sum() == pytest.approx(np.pi * (drawn.objects[0].diameter / 2 * framing.unit) ** 2, rel=0.03)
    large = shape(size[0] * 4, size[1] * 4)
    fine = render(drawn, large, framing=Framing.whole(large))[0]
    mean = fine.reshape(size[0], 4, size[1], 4, 3).mean((1, 3))
    assert np.abs(mean - picture).max() < 0.12 and np.abs(mean - picture).mean() < 0.01


def test_windows_are_parts_of_the_whole() -> None:
    grid, world = shape(40, 24, frames=6), Toybox(scripts=50, framing="whole").open()
    window = Window(range(1, 4), range(5, 30), range(3, 20))
    for index in range(6):
        assert torch.equal(world.part(index, grid, window).video, window.of(world.example(index, grid).video))


def test_long_clips_have_the_usual_framing() -> None:
    with pytest.raises(ValueError, match="framing: expected 'height' for long clips, got 'whole'"):
        Toybox(long=True, framing="whole")
