"""What is told of a long toybox clip: a `Story` says everything that its caption can say, and what it may say of it.

A long clip shows one thing, which moves in a way that can go on for ever. In about half of the clips it turns into
another colour once. Behind it may be a sky that goes from day to night and back.
"""

import math
import zlib
from functools import lru_cache

import numpy as np

from zoetrope.config import Config
from zoetrope.data.toybox import vocabulary
from zoetrope.data.toybox.captions import CLIP_TEMPLATES, Speaker, noun
from zoetrope.data.toybox.scene import Script, Thing, draw_thing, held_out_pairs, pick
from zoetrope.data.toybox.vocabulary import COLOURS, CONTRAST, Phrases, words

Rgb = tuple[float, float, float]

WALK, DAYS = "walk", "day and night"

MOTIONS = {
    **{name: vocabulary.MOTIONS[name] for name in ("orbit", "bounce", "spin", "still")},
    WALK: words(
        "walking to and fro, walking back and forth, pacing to and fro, going back and forth, "
        "wandering from side to side, moving from side to side",
        "shuttling between the sides, strolling hither and thither",
    ),
}
"""A walk goes to the left and to the right, so that what never does one of these in training never walks."""
_GOES = {WALK: ("left", "right")}

# Colours of the sky at the top and at the bottom, by day and by night. They change so slowly that a window of 16 frames
# at 3 frames a second has nearly one sky, and keep their contrast with as many colours as possible.
DAY: tuple[Rgb, Rgb] = ((0.42, 0.60, 0.86), (0.58, 0.72, 0.88))
NIGHT: tuple[Rgb, Rgb] = ((0.05, 0.07, 0.30), (0.12, 0.13, 0.36))
DAYS_WORDS = words(
    "under a sky that goes from day to night, from day to night and back, by day and by night, through day and night, "
    "under a sky of passing days and nights",
    "between dawn and darkness",
)

# {s} a sentence about the clip, {c} the colour that the thing turns into.
EVENT_TEMPLATES = Phrases(
    (
        "{s}, then it turns {c}",
        "{s}, then it turns {c}",
        "{s}, and then it turns {c}",
        "{s}, then it becomes {c}",
        "{s}, and after a while it turns {c}",
        "{s}; later it turns {c}",
        "{s}; at some point it becomes {c}",
        "{s}, later turning {c}",
    ),
    ("{s}, before its colour changes to {c}",),
)

EVENTS = 0.5
"""The share of clips in which the thing turns into another colour."""
_SKIES = 0.3  # the share of clips with days and nights


class Story(Config):
    """Everything about a long clip that a caption can say, and `wording`, the number that selects the words.

    Attributes:
        thing: what is seen, in its first colour.
        motion: one of `MOTIONS`.
        background: one of the vocabulary's, or `DAYS`.
        becomes: the colour that the thing turns into; empty if it keeps its own.
        wording: selects the words.
    """

    thing: Thing
    motion: str
    background: str
    becomes: str = ""
    wording: int = 0

    @property
    def colours(self) -> tuple[str, ...]:
        """Every colour that the thing has, in their order."""
        return (self.thing.colour, self.becomes) if self.becomes else (self.thing.colour,)

    def scripts(self) -> list[Script]:
        """What short clips of it may show: one script for each of its colours and of the ways that it goes."""
        return [
            Script(things=(self.thing.with_(colour=colour),), motion=way, background=self.background)
            for colour in self.colours
            for way in _GOES.get(self.motion, (self.motion,))
        ]


def held_out_in(story: Story) -> tuple[tuple[str, str], ...]:
    """The pairs of values in a story, with any of its colours, that training never shows together."""
    return tuple(dict.fromkeys(pair for one in story.scripts() for pair in held_out_pairs(one)))


def story(seed: int, held_out: bool = False, event: bool | None = None, reserved: bool = False) -> Story:
    """The story of this seed: without any held-out combination, or, if `held_out`, with at least one.

    `event` says whether the thing turns into another colour; None leaves it to the seed. One in `_RESERVED` sentences
    is never told of a long clip in training: `reserved` tells the story in one of them.
    """
    rng = np.random.default_rng(seed)
    # What must occur as often as is meant is drawn once, whatever is refused below.
    kind = "flat" if held_out else str(rng.choice(["flat", "solid", "letter"], p=[0.8, 0.1, 0.1]))
    motion = pick(rng, [name for name in MOTIONS if not (name == "spin" and kind == "solid")])
    if kind == "solid" and rng.random() < 0.4:
        motion = "spin"
    background = DAYS if rng.random() < _SKIES else pick(rng, vocabulary.BACKGROUNDS)
    turns = bool(rng.random() < EVENTS) if event is None else event
    while True:
        drawn = _draw(rng, kind, motion, background, turns)
        if is_visible(drawn) and bool(held_out_in(drawn)) == held_out:
            break
    while True:
        told = drawn.with_(wording=int(rng.integers(2**31)))
        if is_reserved(tell(told)) == reserved:
            return told


def _draw(rng: np.random.Generator, kind: str, motion: str, background: str, turns: bool) -> Story:
    shapes = {"solid": list(vocabulary.SOLID_SHAPES), "letter": ["letter"]}.get(kind, list(vocabulary.FLAT_SHAPES))
    becomes = pick(rng, COLOURS) if turns else ""
    return Story(thing=draw_thing(rng, shapes), motion=motion, background=background, becomes=becomes)


def is_visible(story: Story) -> bool:
    """Whether the thing, its turn and its change of colour can all be seen, at every time of the day."""
    shape, colours = story.thing.shape, [COLOURS[name].rgb for name in story.colours]
    if story.motion == "spin" and shape in vocabulary.ROUND:
        return False
    if shape in vocabulary.SOLID_SHAPES and "black" in story.colours:
        return False  # no shading can be seen on it
    if story.becomes and math.dist(*colours) < CONTRAST:
        return False
    return all(math.dist(rgb, behind) >= CONTRAST for rgb in colours for behind in _behind(story.background))


@lru_cache
def _behind(background: str) -> tuple[Rgb, ...]:
    """Colours that are behind the thing, at some times of the day, at the top, in the middle and at the bottom."""
    known = vocabulary.BACKGROUNDS.get(background)
    edges = [(known.top, known.bottom)] if known else [sky(share / 16) for share in range(17)]
    return tuple(colour for top, bottom in edges for colour in (top, mixed(top, bottom, 0.5), bottom))


def mixed(first: Rgb, second: Rgb, share: float) -> Rgb:
    """A colour between two, with this share of the second."""
    red, green, blue = (a + (b - a) * share for a, b in zip(first, second, strict=True))
    return red, green, blue


def sky(daylight: float) -> tuple[Rgb, Rgb]:
    """The sky's colours at the top and the bottom of the frame, from night (0) to day (1)."""
    return mixed(NIGHT[0], DAY[0], daylight), mixed(NIGHT[1], DAY[1], daylight)


_RESERVED = 8


def is_reserved(sentence: str) -> bool:
    """Whether a sentence is kept for evaluation: in training no long clip is ever told so."""
    return zlib.crc32(sentence.encode()) % _RESERVED == 0


def tell(story: Story, held_out_words: bool = False) -> str:
    """A sentence about the clip. With `held_out_words`, some of its words, at least one, never occur in training."""
    speaker = Speaker(story.wording, held_out_words)
    behind = DAYS_WORDS if story.background == DAYS else vocabulary.BACKGROUNDS[story.background].words
    parts = {
        "a": noun(story.thing, speaker),
        "m": speaker.pick(MOTIONS[story.motion]),
        "b": speaker.pick(behind),
    }
    sentence = speaker.pick(CLIP_TEMPLATES).format(**parts)
    for article in ("a ", "an "):
        if sentence.startswith(article) and speaker.chance(0.25):
            sentence = sentence.removeprefix(article)
    if not story.becomes:
        return sentence
    colour = speaker.pick(COLOURS[story.becomes].words)
    return speaker.pick(EVENT_TEMPLATES).format(s=sentence, c=colour)
