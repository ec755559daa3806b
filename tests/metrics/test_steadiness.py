"""How steadily things move: closed forms, and true clips of known motions."""

import math
from itertools import islice

import numpy as np
import pytest
import torch

from zoetrope.data.toybox.prompts import Prompt, familiar
from zoetrope.data.toybox.render import render
from zoetrope.data.toybox.scene import scene
from zoetrope.metrics.recogniser import follow, recognise
from zoetrope.metrics.recogniser.course import ObjectPath, unexplained
from zoetrope.metrics.recogniser.silhouette import PERIODS
from zoetrope.metrics.steadiness import SMOOTH, evenness, flicker_alone, repetition, shake, together
from zoetrope.shapes import VideoShape

SHORT = VideoShape(frames=16, height=24, width=40, fps=3)
LONG = VideoShape(frames=80, height=24, width=40, fps=16)


def clip(prompt: Prompt, shape: VideoShape, number: int = 0) -> np.ndarray:
    """A true clip of a prompt, (F, H, W, 3) uint8."""
    return (render(scene(prompt.script, number), shape) * 255).round().astype(np.uint8)


def of_motion(motion: str, count: int) -> list[Prompt]:
    """Prompts of one motion."""
    return list(islice((one for one in familiar(200) if one.script.motion == motion), count))


def path(x: np.ndarray, y: np.ndarray, fps: float = 3) -> ObjectPath:
    """A path seen in all frames."""
    return ObjectPath(x, y, np.full(len(x), 0.2), np.arange(len(x)) / fps)


def shaken(frames: np.ndarray, reach: int) -> np.ndarray:
    """The clip with every frame shifted sideways by up to so many pixels, at random."""
    rng = np.random.default_rng(0)
    return np.stack([np.roll(frame, int(rng.integers(-reach, reach + 1)), axis=1) for frame in frames])


def test_shaking_is_what_a_parabola_leaves() -> None:
    time = np.arange(16.0)
    assert abs(SMOOTH @ np.stack([time[:5] ** power for power in range(4)], 1)).max() < 1e-12
    smooth = shake(path(0.02 * time, 0.003 * time**2 - 0.1 * time), 3)
    assert smooth is not None and smooth < 1e-12
    rng = np.random.default_rng(0)
    noisy = shake(path(0.03 * rng.standard_normal(20_000), 0.03 * rng.standard_normal(20_000)), 3)
    assert noisy == pytest.approx(0.03 * math.sqrt(2), rel=0.02)
    whole = path(rng.standard_normal(16), time)
    gone = ObjectPath(*(values[[0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13]] for values in whole))
    assert shake(gone, 3) is None and shake(path(time[:4], time[:4]), 3) is None
    part = ObjectPath(*(values[[0, 1, 2, 4, 5, 6, 7, 8]] for values in whole))
    alone = math.sqrt(float((whole.x[4:9] @ SMOOTH) ** 2))
    assert shake(part, 3) == pytest.approx(alone)  # only where five follow each other


@pytest.mark.parametrize("motion", ["right", "orbit", "bounce", "still"])
def test_true_clips_follow_their_law_and_shaken_ones_do_not(motion: str) -> None:
    for prompt in of_motion(motion, 3):
        frames = clip(prompt, SHORT)
        true, trembling = (follow(one, SHORT.fps)[0] for one in (frames, shaken(frames, 3)))
        assert len(true.times) >= 15
        assert unexplained(true) < 0.025  # half a pixel
        assert unexplained(trembling) > 2 * unexplained(true)
        before, after = shake(true, SHORT.fps), shake(trembling, SHORT.fps)
        assert before is not None and after is not None and after > 1.5 * before
        if motion != "bounce":
            assert before < 0.02
        assert true.x.mean() == pytest.approx(recognise(frames, SHORT.fps).x)
    with pytest.raises(ValueError, match="expected at least 6 frames that show the object, got 5"):
        unexplained(path(np.arange(5.0), np.arange(5.0)))


def test_flicker_is_the_distance_from_the_mean_of_neighbours() -> None:
    frames = torch.zeros(1, 3, 8, 4, 4)
    assert flicker_alone(frames + torch.arange(8.0).view(1, 1, 8, 1, 1) / 8).item() == pytest.approx(0, abs=1e-7)
    frames[:, :, 1::2] = 0.5
    assert flicker_alone(frames).item() == pytest.approx(0.25)
    true = [clip(prompt, SHORT) for prompt in familiar(4)]
    rng = np.random.default_rng(0)
    noisy = [np.clip(one + rng.integers(-20, 21, (16, 1, 1, 1)), 0, 255).astype(np.uint8) for one in true]
    assert (flicker_alone(together(noisy)) > flicker_alone(together(true)) + 0.005).all()
    with pytest.raises(ValueError, match="expected at least 3 frames, got 2"):
        flicker_alone(frames[:, :, :2])


def test_what_repeats_exactly_has_one_and_what_drifts_has_none() -> None:
    time = np.arange(80.0)
    assert repetition(np.sin(2 * np.pi * time / 40)) == pytest.approx(1, abs=0.01)
    assert repetition((time % 20 - 10) ** 2) == pytest.approx(1)
    assert repetition(np.stack([np.sin(time / 5), np.cos(time / 5)], 1)) == pytest.approx(1, abs=0.01)
    assert repetition(time) == 0 and repetition(np.ones(80)) == 0
    assert repetition(np.sin(time**2 / 200)) < 0.8  # ever faster
    grown = np.sin(2 * np.pi * time / 40) * (1 + time / 40)
    assert 0 < repetition(grown) < 0.9


def test_true_clips_bounce_and_orbit_regularly_and_shuffled_ones_do_not() -> None:
    for motion in ("bounce", "orbit"):
        for prompt in of_motion(motion, 2):
            frames = clip(prompt, LONG)
            order = np.random.default_rng(0).permutation(80)
            regular, mixed = (
                repetition(np.stack([course.x, course.y], 1))
                for course in (follow(one, LONG.fps)[0] for one in (frames, frames[order]))
            )
            assert mixed < 0.6 and regular > mixed + 0.2
            if motion == "bounce":
                assert regular > 0.97


def test_true_clips_turn_evenly_and_uneven_ones_less() -> None:
    for prompt in of_motion("spin", 3):
        shape = prompt.script.things[0].shape
        frames = clip(prompt, LONG)
        course, turns = follow(frames, LONG.fps, shape)
        assert evenness(turns, course.times, PERIODS[shape]) > 0.95
        halting = frames[np.minimum(np.arange(80), 30)]  # stops
        course, turns = follow(halting, LONG.fps, shape)
        assert evenness(turns, course.times, PERIODS[shape]) < 0.75


def test_turns_need_something_that_turns() -> None:
    time = np.arange(80) / 16
    assert evenness((45 * time / 90) % 1, time, 90) == pytest.approx(1)
    assert evenness(np.zeros(80), time, 72) < 0.4  # stands still
    with pytest.raises(ValueError, match="of a thing that is not round, got 80 and 0 degrees"):
        evenness(np.zeros(80), time, 0)
    with pytest.raises(ValueError, match="shape: unknown flat shape 'sphere'"):
        follow(np.zeros((6, 24, 40, 3), np.uint8), 3, "sphere")
    course, turns = follow(np.zeros((6, 24, 40, 3), np.uint8), 3, "star")
    assert len(course.times) == len(turns) == 0
