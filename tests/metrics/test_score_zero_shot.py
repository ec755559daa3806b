"""What the score of videos without training says of videos whose motion is known."""

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from zoetrope.cascade.spec import CascadeSpec
from zoetrope.recipes import load_recipe
from zoetrope.routines.straight import Straight
from zoetrope.routines.zero_shot import ZeroShot
from zoetrope.shapes import VideoShape
from zoetrope.video import Video

SHAPE = VideoShape(frames=1, height=24, width=40, fps=4)


@pytest.fixture(scope="module")
def score() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
        return importlib.import_module("score_zero_shot")


def moving(score: ModuleType, right: int, frames: int = 6) -> tuple[object, Video]:
    """A prompt with a plain background, and its true picture, moved by so many pixels a frame."""
    one = next(own for own in score.seen(60) if own.script.background in ("white", "black"))
    picture = next(
        drawn
        for number in range(200)
        if (drawn := importlib.import_module("score_image").true_picture(one, number, SHAPE)) is not None
        and (found := score.recognise_picture(drawn)).seen
        and abs(found.x) < 0.15
        and found.shape == one.script.things[0].shape
    )
    return one, Video(np.stack([np.roll(picture, right * number, axis=1) for number in range(frames)]), SHAPE.fps)


@pytest.mark.parametrize("right", [2, -2])
def test_true_motion_is_a_shift_of_one(score: ModuleType, right: int) -> None:
    one, video = moving(score, right)
    found = score.judged(video, one, 0, right / SHAPE.height)
    assert found.shift == pytest.approx(1, abs=0.05)
    assert found.frames and all(all(hits) for hits in found.frames) and all(found.first)
    assert found.unsteady == pytest.approx(0, abs=2e-3)
    told = score.summary([found])
    assert told["within 15 %"]["right"] == 1 and told["shape"]["right"] == len(found.frames)
    assert "| 100.0 %" in score.table({"true": told})


def test_less_motion_and_a_restless_background_are_told(score: ModuleType) -> None:
    one, video = moving(score, 1)
    still = score.judged(video, one, 0, 2 / SHAPE.height)
    assert still.shift == pytest.approx(0.5, abs=0.1)
    assert score.summary([still])["within 15 %"]["right"] == 0
    restless = video.frames.copy()
    restless[1::2] = np.clip(restless[1::2].astype(int) // 2 + 60, 0, 255)
    assert score.judged(Video(restless, 4), one, 0, 2 / SHAPE.height).unsteady > 0.1


def test_aims_are_decided_by_intervals_and_steadiness_pair_by_pair(score: ModuleType) -> None:
    right = [(True, True, True)] * 5

    def judged(shift: float, unsteady: float | None) -> list[object]:
        return [score.Judged(number // 2, shift, right, right[0], unsteady) for number in range(60)]

    noise = np.random.default_rng(0).uniform(0, 1, 60)
    found = [one._replace(unsteady=float(a)) for one, a in zip(judged(0.95, 0.0), noise, strict=True)]
    other = [one._replace(unsteady=one.unsteady + 0.01) for one in found[:-1]] + judged(0.95, None)[-1:]
    apart = score.steadier(found, other)
    assert apart["value"] == pytest.approx(-0.01) and apart["samples"] == 59
    told = score.verdicts({"zero_shot": score.summary(found) | {"steadier": apart}})
    assert "shift within 15 %: yes" in told and "steadier than with its own attention: yes, by -0.01" in told
    assert "colour right in 85 %: yes" in told and "shape right in 85 %: yes" in told
    assert "shift within 15 %: no" in score.verdicts({"zero_shot": score.summary(judged(0.8, 0.1))})
    unsure = [one._replace(shift=1 + 0.5 * (-1) ** one.prompt) for one in found]
    assert "shift within 15 %: not decided" in score.verdicts({"zero_shot": score.summary(unsure)})
    assert "shift within 15 %: not decided" in score.verdicts({"zero_shot": score.summary(judged(1.0, 0.1)[:2])})
    lost = [score.Judged(number, None, [], (False, False, False), None) for number in range(8)]
    told = {"zero_shot": score.summary(lost)}
    assert told["zero_shot"]["within 15 %"]["right"] == 0 and "| 0.0 % (0 to " in score.table(told)
    assert "shift within 15 %: no, for no video has one" in score.verdicts(told)
    assert "shift within" not in score.verdicts({"zero_shot": score.summary(lost, moves=False)})
    assert score.steadier(judged(1.0, None), found) is None and score.verdicts({}) == ""


def test_the_rows_are_the_same_weights_that_look_elsewhere(score: ModuleType) -> None:
    spec: CascadeSpec = load_recipe("mini_image").cascade
    ways = {looks: score.way_of(spec, score.Way(ZeroShot(), looks), 8).stages[0] for looks in ("first", "own")}
    assert [stage.shape.frames for stage in ways.values()] == [8, 8]
    assert ways["own"].network == spec.stages[0].network == ways["first"].network.framewise()
    assert score.way_of(spec, score.Way(Straight(), "own"), 8).stages[0].sampling == spec.stages[0].sampling
