"""Toybox's long world: courses for minutes, one change of colour, days and nights, and what is true at every second."""

import math
import re

import numpy as np
import pytest
import torch

from zoetrope.data import Dataset
from zoetrope.data.mixture import Mixture, Part
from zoetrope.data.toybox import Toybox
from zoetrope.data.toybox import vocabulary as words
from zoetrope.data.toybox.captions import CLIP_TEMPLATES
from zoetrope.data.toybox.course import EVENT_BETWEEN, FADE, PERIODS, course, draw
from zoetrope.data.toybox.long import LongClips, long_prompts, numbered_story
from zoetrope.data.toybox.scene import ASPECT, Thing
from zoetrope.data.toybox.story import (
    DAYS,
    DAYS_WORDS,
    EVENT_TEMPLATES,
    EVENTS,
    MOTIONS,
    WALK,
    Story,
    held_out_in,
    is_reserved,
    is_visible,
    sky,
    story,
    tell,
)
from zoetrope.metrics.recogniser import recognise
from zoetrope.shapes import VideoShape, Window

MINUTE = VideoShape(frames=180, height=24, width=40, fps=3)
SOME = [7, 0, 179, 8, 8, 100]
STORIES = [story(seed) for seed in range(3000)]


def shown(motion: str = "still", background: str = "black", becomes: str = "", shape: str = "star") -> Story:
    return Story(thing=Thing(shape=shape, colour="orange"), motion=motion, background=background, becomes=becomes)


def long_world(**fields: object) -> LongClips:
    opened = Toybox(long=True, **{"scripts": 400, **fields}).open()
    assert isinstance(opened, LongClips)
    return opened


@pytest.mark.parametrize("background", ["night", DAYS])
@pytest.mark.parametrize("motion", [*MOTIONS])
def test_a_frame_depends_on_its_time_alone(motion: str, background: str) -> None:
    acted = course(shown(motion, background, "white"), 5, 60.0)
    slow = draw(acted, MINUTE)
    fast = draw(acted, VideoShape(frames=1440, height=24, width=40, fps=24), frames=range(0, 1440, 8))
    assert np.array_equal(slow, fast) and slow.dtype == np.float32 and slow.min() >= 0 and slow.max() <= 1
    assert np.array_equal(draw(acted, MINUTE, frames=[170])[0], slow[170])
    window = Window(range(100, 106), range(5, 20), range(7, 31))
    assert np.array_equal(draw(acted, MINUTE, window), slow[100:106, 5:20, 7:31])
    assert not np.array_equal(slow[0], slow[-1])


@pytest.mark.parametrize(
    ("dataset", "shape"),
    [
        (Toybox(long=True, scripts=400).open(), MINUTE),
        (Toybox(scripts=400).open(), VideoShape(frames=16, height=24, width=40, fps=3)),
        (Toybox(scripts=400).open(), VideoShape(frames=1, height=24, width=40, fps=3)),
        (Mixture(parts=(Part(source=Toybox()), Part(source=Toybox(long=True)))).open(), MINUTE),
    ],
)
def test_frames_are_those_of_the_example_bit_for_bit(dataset: Dataset, shape: VideoShape) -> None:
    numbers = [number % shape.frames for number in SOME]
    for index in range(12):
        whole, some = dataset.example(index, shape), dataset.frames(index, shape, numbers)
        assert some.text == whole.text and some.name == whole.name and some.video.dtype == torch.float32
        assert torch.equal(some.video, whole.video[:, numbers])
        inherited = Dataset.frames(dataset, index, shape, numbers)
        assert torch.equal(inherited.video, some.video)
        assert torch.equal(dataset.example(index, shape).video, whole.video)
    for wrong in ([0, shape.frames], [-1], []):
        with pytest.raises(ValueError, match=rf"expected frames of {shape.frames}x24x40.*0 to {shape.frames - 1}, got"):
            dataset.frames(0, shape, wrong)


def test_long_clips_come_from_the_long_world_alone() -> None:
    clip = VideoShape(frames=16, height=24, width=40, fps=3)
    picture = clip.with_(frames=1)
    usual, long = Toybox(scripts=50).open(), long_world()
    assert [usual.gives(shape) for shape in (picture, clip, clip.with_(frames=17), MINUTE)] == [
        True,
        True,
        False,
        False,
    ]
    assert [long.gives(shape) for shape in (picture, clip, clip.with_(frames=17), MINUTE)] == [False, False, True, True]
    assert usual.gives(VideoShape(frames=128, height=24, width=40, fps=24))
    assert not long.gives(VideoShape(frames=1, height=24, width=40, fps=0.1))  # a picture, however long it stays
    with pytest.raises(ValueError, match=r"up to 5.33 s, not 60.00 s.*Toybox\(long=True\)"):
        usual.example(0, MINUTE)
    with pytest.raises(ValueError, match=r"more than 5.33 s from its long world, got 16x24x40@3fps, 5.33 s"):
        long.example(0, clip)
    mixture = Mixture(parts=(Part(source=Toybox(scripts=50)), Part(source=Toybox(long=True, scripts=50)))).open()
    assert [mixture.example(k, MINUTE).name for k in range(3)] == [f"long clip {k} of toybox" for k in range(3)]
    assert [mixture.example(k, clip).name for k in range(3)] == [f"clip {k} of toybox" for k in range(3)]


def test_captions_are_listed_and_worlds_told_apart() -> None:
    world = long_world(scripts=60, seed=7)
    known = world.captions()
    assert known == long_world(scripts=60, seed=7).captions() and len(set(known)) == len(known)
    assert all(world.frames(index, MINUTE, [0]).text in known for index in range(200))
    listings = [Toybox(scripts=60, seed=7).open(), world, long_world(scripts=60), long_world(scripts=61, seed=7)]
    assert len({one.listing() for one in listings}) == 4
    assert numbered_story(3, 0) != numbered_story(3, 1)


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match=r"no long clip shows 'grow'; expected motions among orbit, .*walk"):
        Toybox(long=True, motions=("grow",))
    with pytest.raises(ValueError, match="no short clip shows 'walk'"):
        Toybox(motions=("walk",))
    with pytest.raises(ValueError, match="the long world has no pictures"):
        Toybox(long=True, pictures=True)
    walks = long_world(motions=("walk",))
    assert {walks.course(index, MINUTE).story.motion for index in range(40)} == {"walk"}


def test_training_never_shows_held_out_combinations_but_every_value() -> None:
    for told in STORIES:
        assert not held_out_in(told), told
        for colour in told.colours:
            assert (colour, told.thing.shape) not in words.HELD_OUT_COLOUR_SHAPE
            assert (colour, told.motion) not in words.HELD_OUT_COLOUR_MOTION
            assert told.motion != WALK or colour != "purple"  # it would go to the right
        assert (told.thing.shape, told.motion) not in words.HELD_OUT_SHAPE_MOTION
        assert told.motion != WALK or told.thing.shape not in ("star", "ring")
    for values, seen in (
        (MOTIONS, [told.motion for told in STORIES]),
        (words.SHAPES, [told.thing.shape for told in STORIES]),
        (words.COLOURS, [colour for told in STORIES for colour in told.colours]),
        ({*words.BACKGROUNDS, DAYS}, [told.background for told in STORIES]),
    ):
        assert set(values) == set(seen) and min(map(seen.count, values)) > 50
    assert sum(bool(told.becomes) for told in STORIES) / len(STORIES) == pytest.approx(EVENTS, abs=0.03)


def test_held_out_stories_combine_what_training_never_does_in_either_colour() -> None:
    late = shown(shape="cross", becomes="green")
    assert held_out_in(late) == (("orange", "cross"),)
    assert held_out_in(shown(shape="ring", becomes="green")) == (("green", "ring"),)
    assert held_out_in(shown("walk", shape="star")) == (("star", "left"),)
    assert not held_out_in(shown(shape="ring", becomes="white"))
    drawn = [story(seed, held_out=True) for seed in range(600)]
    assert all(held_out_in(told) for told in drawn)
    assert any((told.becomes, told.thing.shape) in words.HELD_OUT_COLOUR_SHAPE for told in drawn)


def test_things_stand_out_from_every_sky_and_from_themselves() -> None:
    for told in STORIES:
        known = words.BACKGROUNDS.get(told.background)
        skies = [(known.top, known.bottom)] if known else [sky(share) for share in np.linspace(0, 1, 41)]
        for colour in told.colours:
            for top, bottom in skies:
                assert math.dist(words.COLOURS[colour].rgb, top) >= words.CONTRAST - 0.01
                assert math.dist(words.COLOURS[colour].rgb, bottom) >= words.CONTRAST - 0.01
        assert len(set(told.colours)) == len(told.colours)
    assert not is_visible(shown(becomes="orange")) and not is_visible(shown(becomes="black"))
    assert is_visible(shown(becomes="white")) and not is_visible(shown("spin", shape="ring"))


def test_things_keep_inside_the_frame_and_walk_at_a_steady_speed() -> None:
    for seed, told in enumerate(STORIES[:400]):
        acted = course(told, seed, 60.0)
        places = [acted.pose_at(time) for time in np.arange(0, 60, 0.5)]
        assert all(abs(y) + 0.7 * radius <= 0.52 and abs(x) + radius <= ASPECT / 2 + 0.05 for x, y, radius, _ in places)
    acted = course(shown("walk"), 3, 120.0)
    times = np.arange(0, 120, 0.01)
    x = np.array([acted.pose_at(float(time)).x for time in times])
    speed = np.diff(x) / 0.01
    assert (np.abs(np.abs(speed) - acted.item.amount) < 1e-6).mean() > 0.99  # but for the turns
    assert np.ptp(x) > 1.0 and 5 < (np.diff(np.sign(speed)) != 0).sum() < 60
    ways = [acted.motion_at(float(time)) for time in times[:-1] + 0.005]
    assert np.mean([way == ("right" if step > 0 else "left") for way, step in zip(ways, speed, strict=True)]) > 0.99


def test_the_colour_changes_once_quickly_and_when_it_is_told() -> None:
    told = shown("orbit", "black", "white")
    moments = []
    for seed in range(200):
        acted = course(told, seed, 60.0)
        assert acted.moment is not None and FADE < 0.5
        before, after = acted.moment - FADE / 2, acted.moment + FADE / 2
        assert acted.rgb_at(before) == pytest.approx(words.COLOURS["orange"].rgb)
        assert acted.rgb_at(after) == pytest.approx(words.COLOURS["white"].rgb)
        assert (acted.colour_at(acted.moment - 0.01), acted.colour_at(acted.moment)) == ("orange", "white")
        assert {acted.colour_at(time) for time in (acted.moment, 60.0)} == {"white"}
        moments.append(acted.moment / 60)
        assert course(told, seed, 120.0).moment == pytest.approx(2 * acted.moment)
    assert EVENT_BETWEEN[0] <= min(moments) < 0.3 and 0.7 < max(moments) <= EVENT_BETWEEN[1]
    frames = draw(acted, MINUTE, frames=[0, 179])
    place = [acted.pose_at(k / 3) for k in (0, 179)]
    for frame, at, colour in zip(frames, place, ("orange", "white"), strict=True):
        assert frame[int((at.y + 0.5) * 24), int(at.x * 24 + 20)] == pytest.approx(words.COLOURS[colour].rgb, abs=1e-6)
    plain = course(shown("orbit"), 3, 60.0)
    assert plain.moment is None and {plain.colour_at(time) for time in range(60)} == {"orange"}


def test_days_pass_into_nights_and_back() -> None:
    acted = course(shown(background=DAYS), 4, 120.0)
    assert PERIODS[0] <= acted.period <= PERIODS[1]
    noon = acted.noon * acted.period
    light = [acted.daylight_at(noon + share * acted.period) for share in (0, 0.25, 0.5, 0.75, 1)]
    assert light == pytest.approx([1, 0.5, 0, 0.5, 1])
    assert [acted.at(noon + share * acted.period).background for share in (0.1, 0.5, 0.9)] == ["day", "night", "day"]
    shape = VideoShape(frames=1200, height=24, width=40, fps=10)
    day, night = draw(acted, shape, frames=[round((noon + share * acted.period) * 10) for share in (1, 1.5)])
    assert day[0, 0] == pytest.approx(sky(1)[0], abs=0.03) and night[0, 0] == pytest.approx(sky(0)[0], abs=0.03)
    beside = slice(0, 9)  # columns that the thing does not reach
    assert np.ptp(night[:, beside], axis=1).max() > 0.15  # stars
    assert np.ptp(day[:, beside], axis=1).max() == 0
    assert course(shown(), 4, 120.0).at(3.0).daylight == 1.0


def test_captions_read_well_and_tell_all_that_happens() -> None:
    tables = [entry for table in (MOTIONS, words.SHAPES) for entry in table.values()] + [DAYS_WORDS]
    tables += [entry.words for entry in (*words.COLOURS.values(), *words.BACKGROUNDS.values())]
    tables += [CLIP_TEMPLATES, EVENT_TEMPLATES]
    held_out = [max(re.split(r"\{\w?\}", one), key=len).strip(" ,") for entry in tables for one in entry.held_out]
    pattern = re.compile(r"\b(" + "|".join(map(re.escape, held_out)) + r")\b")
    for told in STORIES[:1500]:
        text = tell(told)
        assert not re.search(r"[{}]|  |\ba [aeiou]|\ban [^aeiou]|\b(a|an|the) (a|an|the)\b", text), text
        assert any(phrase in text for phrase in MOTIONS[told.motion].train), text
        for colour in told.colours:
            assert any(name in text for name in words.COLOURS[colour].words.train), text
        assert bool(told.becomes) == bool(re.search(r"turns|becomes|later turning", text)), text
        assert not pattern.search(text), text
        assert pattern.search(tell(told, held_out_words=True))
        assert tell(told) == text and not is_reserved(text)
    changes = {re.sub(r".*(,|;) ", "", tell(told)).rsplit(" ", 1)[0] for told in STORIES if told.becomes}
    assert len(changes) > 5


@pytest.mark.parametrize("held_out", [False, True])
def test_prompts_are_never_told_in_training_and_come_with_the_truth(held_out: bool) -> None:
    prompts = long_prompts(40, 60.0, held_out=held_out)
    assert prompts == long_prompts(40, 60.0, held_out=held_out)
    assert [bool(one.story.becomes) for one in prompts] == [True, False] * 20
    assert len({one.text for one in prompts}) == 40
    assert not {one.text for one in prompts} & set(long_world(scripts=3000).captions())
    assert not any(one.story.becomes for one in long_prompts(10, event=False))
    assert {one.text for one in long_prompts(40, seed=1)}.isdisjoint(one.text for one in prompts)
    for one in prompts:
        assert is_reserved(one.text) and bool(held_out_in(one.story)) == held_out and tell(one.story) == one.text
        assert one.course.story == one.story and one.course.seconds == 60.0
        first, last = one.course.at(0.0), one.course.at(59.9)
        assert (first.colour, last.colour) == (one.story.thing.colour, one.story.becomes or one.story.thing.colour)
        assert first.shape == one.story.thing.shape and first.motion in (*words.MOTIONS,)


@pytest.mark.parametrize("days", [True, False])
def test_the_recogniser_reads_any_window_of_true_clips(days: bool) -> None:
    right = list[bool]()
    numbers = np.random.default_rng(2)
    for seed, told in enumerate(STORIES):
        if (told.background == DAYS) != days or told.thing.shape not in words.FLAT_SHAPES:
            continue
        acted = course(told, seed, 60.0)
        first = int(numbers.integers(165))
        colours = {acted.colour_at(time) for time in (first / 3 - FADE, (first + 15) / 3 + FADE)}
        if len(colours) == 1:
            found = recognise(draw(acted, MINUTE, frames=range(first, first + 16)), 3)
            right.append({found.colour} == colours and found.shape == told.thing.shape)
        if len(right) == 25:
            break
    assert np.mean(right) >= 0.96
