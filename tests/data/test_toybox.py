"""The toybox world: exact drawing, honest captions, and combinations and words kept out of training."""

import math
import re

import numpy as np
import pytest
import torch

from zoetrope.data.toybox import Toybox
from zoetrope.data.toybox import vocabulary as words
from zoetrope.data.toybox.captions import CLIP_TEMPLATES, IMAGE_TEMPLATES, PAIR_TEMPLATES, caption, image_caption
from zoetrope.data.toybox.distance import distance
from zoetrope.data.toybox.render import render
from zoetrope.data.toybox.scene import ASPECT, SECONDS, Script, Thing, can_tilt, is_held_out, pose, scene, script
from zoetrope.data.toybox.world import _acted, example, numbered_script, script_captions
from zoetrope.metrics.recogniser import recognise
from zoetrope.shapes import VideoShape, Window

BASE = VideoShape(frames=16, height=24, width=40, fps=3)
TRAINING = [script(seed) for seed in range(4000)]


def shown(
    shape: str, style: str = "flat", motion: str = "still", colour: str = "red", background: str = "white"
) -> Script:
    thing = Thing(shape=shape, colour=colour, letter="K" if shape == "letter" else "")
    return Script(things=(thing,), motion=motion, background=background, style=style)


def all_words() -> list[words.Phrases]:
    tables = [words.SHAPES, words.MOTIONS, words.STYLES, words.RELATIONS]
    found = [entry for table in tables for entry in table.values()] + [CLIP_TEMPLATES, PAIR_TEMPLATES, IMAGE_TEMPLATES]
    return (
        found
        + [entry.words for entry in (*words.COLOURS.values(), *words.BACKGROUNDS.values())]
        + [words.LETTER_WORDS, words.TILTED]
    )


@pytest.mark.parametrize("style", [*words.STYLES])
@pytest.mark.parametrize("shape", [*words.SHAPES])
def test_a_small_picture_is_the_average_of_a_large_one(shape: str, style: str) -> None:
    drawn = scene(shown(shape, style, colour="orange", background="black"), 3)
    large = render(drawn, VideoShape(frames=1, height=192, width=320, fps=3), start=1.0)
    small = render(drawn, VideoShape(frames=1, height=24, width=40, fps=3), start=1.0)
    averaged = large.reshape(1, 24, 8, 40, 8, 3).mean((2, 4))
    # The thin bright core of neon is bent within a pixel.
    assert np.abs(averaged - small).mean() < (0.01 if style == "neon" else 0.005)
    assert np.ptp(small) > 0.5


@pytest.mark.parametrize("motion", [*words.MOTIONS])
def test_a_frame_depends_on_its_time_alone(motion: str) -> None:
    drawn = scene(shown("cube" if motion == "spin" else "star", motion=motion, background="night"), 5)
    slow = render(drawn, VideoShape(frames=16, height=24, width=40, fps=3))
    fast = render(drawn, VideoShape(frames=128, height=24, width=40, fps=24))
    assert np.array_equal(slow, fast[::8])
    alone = render(drawn, VideoShape(frames=1, height=24, width=40, fps=3), start=5 / 3)
    assert np.array_equal(alone[0], slow[5])
    assert np.array_equal(slow[0], slow[-1]) == (motion == "still")


def test_colours_are_true_and_within_range() -> None:
    drawn = scene(shown("circle", background="sky blue"), 1)
    frame = render(drawn, VideoShape(frames=1, height=96, width=160, fps=3))[0]
    middle = drawn.objects[0]
    row, column = int((0.5 + middle.y) * 96), int((ASPECT / 2 + middle.x) * 96)
    assert frame[row, column] == pytest.approx(words.COLOURS["red"].rgb)
    assert frame[0, 0] == pytest.approx(words.BACKGROUNDS["sky blue"].top)
    for index in range(150):
        video, _ = example(index, BASE, scripts=50)
        assert video.dtype == np.float32 and video.shape == (16, 24, 40, 3)
        assert video.min() >= 0 and video.max() <= 1


@pytest.mark.parametrize(
    ("shape", "area"), [("circle", math.pi), ("square", 4 * 0.85**2), ("ring", math.pi * (1 - 0.52**2))]
)
def test_outlines_enclose_the_right_area(shape: str, area: float) -> None:
    axis = (np.arange(400, dtype=np.float32) + 0.5) / 160 - 1.25
    assert (distance(shape, axis[None], axis[:, None]) < 0).mean() * 2.5**2 == pytest.approx(area, rel=0.01)


def test_flat_shapes_can_be_told_apart_when_small() -> None:
    axis = ((np.arange(12) + 0.5) / 6 - 1).astype(np.float32)
    masks = [distance(shape, axis[None], axis[:, None]) < 0 for shape in words.FLAT_SHAPES]
    masks += [distance("letter", axis[None], axis[:, None], letter) < 0 for letter in words.LETTERS]
    for i, one in enumerate(masks):
        for other in masks[:i]:
            assert (one != other).sum() >= 5


def test_unknown_shapes_are_named() -> None:
    with pytest.raises(ValueError, match="did you mean 'square'"):
        distance("sqare", np.zeros(1, np.float32), np.zeros(1, np.float32))
    with pytest.raises(ValueError, match="unknown letter"):
        distance("letter", np.zeros(1, np.float32), np.zeros(1, np.float32), "?")


def test_objects_keep_inside_the_frame() -> None:
    for seed, told in enumerate(TRAINING[:1000]):
        for item in scene(told, seed).objects:
            for time in np.linspace(0, SECONDS, 9):
                x, y, radius, _ = pose(item, float(time))
                assert abs(y) + 0.7 * radius <= 0.52, (told, y, radius)
                assert abs(x) + radius <= ASPECT / 2 + 0.05, (told, x, radius)


def test_related_objects_stand_as_told() -> None:
    seen = set()
    for seed, told in enumerate(TRAINING):
        if told.relation:
            first, second = (pose(item, 2.0) for item in scene(told, seed).objects)
            gap = {"left": second.x - first.x, "right": first.x - second.x, "above": second.y - first.y}
            assert gap.get(told.relation, first.y - second.y) > first.radius + second.radius
            seen.add(told.relation)
    assert seen == set(words.RELATIONS)


def test_spins_are_slow_enough_to_be_seen_at_three_frames_a_second() -> None:
    spun = [item for seed, told in enumerate(TRAINING) if told.motion == "spin" for item in scene(told, seed).objects]
    assert len(spun) > 100
    assert all(abs(math.degrees(item.amount)) / 3 < 25 and item.shape not in words.ROUND for item in spun)


def test_training_never_shows_held_out_combinations_but_every_value() -> None:
    assert not any(is_held_out(told) for told in TRAINING)
    assert all(is_held_out(script(seed, held_out=True)) for seed in range(200))
    things = [thing for told in TRAINING for thing in told.things]
    for name in words.COLOURS:
        assert sum(thing.colour == name for thing in things) > 80, name
    for name in words.SHAPES:
        assert sum(thing.shape == name for thing in things) > 40, name
    for name in words.MOTIONS:
        assert sum(told.motion == name for told in TRAINING) > 150, name
    assert {told.background for told in TRAINING} == set(words.BACKGROUNDS)
    assert {told.style for told in TRAINING} == set(words.STYLES)
    assert {thing.letter for thing in things} == {"", *words.LETTERS}


def test_every_held_out_combination_can_be_drawn() -> None:
    drawn = [script(seed, held_out=True) for seed in range(3000)]
    looks = {(thing.colour, thing.shape) for told in drawn for thing in told.things}
    courses = {(thing.shape, told.motion) for told in drawn for thing in told.things}
    tints = {(thing.colour, told.motion) for told in drawn for thing in told.things}
    assert looks >= set(words.HELD_OUT_COLOUR_SHAPE)
    assert courses >= set(words.HELD_OUT_SHAPE_MOTION)
    assert tints >= set(words.HELD_OUT_COLOUR_MOTION)


def test_held_out_words_never_occur_in_training_captions() -> None:
    held_out = []
    for entry in all_words():
        held_out += [re.sub(r"\{\w?\}", " ", phrase).split("  ")[0].strip() for phrase in entry.held_out]
    pattern = re.compile(r"\b(" + "|".join(re.escape(phrase) for phrase in held_out) + r")\b")
    for told in TRAINING:
        for text in (caption(told), image_caption(told)):
            assert not pattern.search(text), text
        assert pattern.search(caption(told, held_out_words=True))
        assert pattern.search(image_caption(told, held_out_words=True))


def test_held_out_words_contain_no_words_of_training() -> None:
    """A phrase that holds a whole training phrase tests nothing: the known part of it would do."""
    for table in (words.COLOURS, words.SHAPES, words.MOTIONS, words.BACKGROUNDS, words.RELATIONS):
        for name, entry in table.items():
            said = getattr(entry, "words", entry)
            for phrase in said.held_out:
                within = [known for known in said.train if re.search(rf"\b{re.escape(known)}\b", phrase)]
                assert not within, f"{name}: {phrase!r} contains {within}"


def test_captions_read_well_and_pictures_tell_no_motion() -> None:
    phrases = [phrase for entry in words.MOTIONS.values() for phrase in entry.train]
    for told in TRAINING[::4]:
        assert not any(phrase in image_caption(told) for phrase in phrases)
        assert any(phrase in caption(told) for phrase in words.MOTIONS[told.motion].train)
        for text in (caption(told), image_caption(told)):
            assert not re.search(r"[{}]|  |\ba [aeiou]|\ban [^aeiou]|\b(a|an|the) (a|an|the)\b", text), text


def test_examples_are_pure_and_their_captions_are_listed() -> None:
    known = script_captions(50, seed=7)
    assert len(set(known)) == len(known) and known == script_captions(50, seed=7)
    still = VideoShape(frames=1, height=24, width=40, fps=3)
    for index in range(60):
        first, text = example(index, BASE, scripts=50, seed=7)
        again, _ = example(index, BASE, scripts=50, seed=7)
        assert np.array_equal(first, again) and text in known
        assert example(index, still, scripts=50, seed=7)[1] in known
    assert not np.array_equal(example(1, BASE, scripts=50)[0], example(2, BASE, scripts=50)[0])
    assert numbered_script(3, 0) != numbered_script(3, 1)


def test_a_world_can_be_narrowed_to_some_motions() -> None:
    grid = VideoShape(frames=2, height=6, width=10, fps=3)
    told = [numbered_script(number) for number in range(300)]
    moving = {motion: {caption(one) for one in told if one.motion == motion} for motion in words.MOTIONS}
    world, narrow = Toybox(scripts=300).open(), Toybox(scripts=300, motions=("orbit", "bounce")).open()
    seen = [narrow.example(index, grid) for index in range(40)]
    assert {one.text for one in seen} <= moving["orbit"] | moving["bounce"]
    assert all(any(one.text in moving[motion] for one in seen) for motion in ("orbit", "bounce"))
    usual = [world.example(index, grid) for index in range(40)]
    same = [i for i, one in enumerate(usual) if one.text in moving["orbit"] | moving["bounce"]]
    assert same and all(torch.equal(usual[i].video, seen[i].video) for i in same)  # these clips are what they were


def test_in_a_tilted_world_things_stand_at_any_angle_and_captions_say_so() -> None:
    world, tilted = Toybox(scripts=60).open(), Toybox(scripts=60, tilted=True).open()
    known, drawn = tilted.captions(), [_acted(index, 60, 0, frozenset(), tilted=True) for index in range(400)]
    turns = np.array([item.angle for _, acted, _ in drawn for item in acted.objects if can_tilt(item.shape)])
    for way in (1, 2, 4):  # no angle is preferred, nor any of its halves and quarters
        assert abs(np.exp(1j * way * turns).mean()) < 3 / math.sqrt(len(turns))
    for index, (told, _, _) in enumerate(drawn[:80]):
        usual, turned = world.example(index, BASE), tilted.example(index, BASE)
        can = any(can_tilt(thing.shape) for thing in told.things)
        assert turned.text in known and can == (turned.text != usual.text) and turned.told == usual.told
        assert can == any(word in turned.text for word in words.TILTED.train)
        assert can != torch.equal(usual.video, turned.video)
    with pytest.raises(ValueError, match="tilted: expected false for long clips"):
        Toybox(long=True, tilted=True)


def test_what_is_tilted_is_still_what_it_was() -> None:
    read = []
    for shape in ("square", "triangle", "star", "heart", "cross"):
        for seed in range(4):
            told = shown(shape)
            seen = recognise(render(scene(told, seed, tilted=True), BASE), BASE.fps)
            read.append((seen.shape, seen.motion) == (shape, "still"))
    assert np.mean(read) >= 0.9


def test_unknown_and_missing_motions_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown motion 'orbti'; did you mean 'orbit'"):
        Toybox(motions=("orbti",))
    other = next(motion for motion in words.MOTIONS if motion != numbered_script(0).motion)
    with pytest.raises(ValueError, match=f"none of its 1 scripts is {other}"):
        Toybox(scripts=1, motions=(other,)).open()


def test_the_same_example_looks_alike_on_every_grid() -> None:
    large = VideoShape(frames=16, height=48, width=80, fps=3)
    for index in range(40):
        small, text = example(index, BASE, scripts=50)
        bigger, same = example(index, large, scripts=50)
        assert text == same
        assert np.abs(bigger.reshape(16, 24, 2, 40, 2, 3).mean((2, 4)) - small).mean() < 0.01


@pytest.mark.parametrize("style", ["flat", "neon", "sketch", "pixel"])
@pytest.mark.parametrize("seed", [3, 11, 20])
def test_a_window_is_that_part_of_the_clip_bit_for_bit(style: str, seed: int) -> None:
    shape = VideoShape(frames=8, height=48, width=80, fps=1.5)
    acted = scene(script(seed), 0).with_(style=style)
    window = Window(range(2, 6), range(12, 36), range(30, 70))
    assert np.array_equal(render(acted, shape, window=window), render(acted, shape)[2:6, 12:36, 30:70])
