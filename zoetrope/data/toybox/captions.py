"""Sentences about a script, in many wordings. The same script gives the same sentence always."""

import numpy as np

from zoetrope.data.toybox.scene import Script, Thing, can_tilt
from zoetrope.data.toybox.vocabulary import (
    BACKGROUNDS,
    COLOURS,
    HUES,
    LETTER_WORDS,
    MOTIONS,
    RELATIONS,
    SHAPES,
    STYLES,
    TILTED,
    Phrases,
)

# {a} what is seen, {m} what it does, {b} what is behind it.
CLIP_TEMPLATES = Phrases(
    (
        "{a} {m}",
        "{a} {m}",
        "{a} {m} {b}",
        "{a} {m} {b}",
        "{a} is {m}",
        "{a} is {m} {b}",
        "a video of {a} {m}",
        "a video of {a} {m} {b}",
        "an animation of {a} {m} {b}",
        "a clip showing {a} {m}",
        "{b}, {a} is {m}",
        "{b} {a} {m}",
        "{a} {b}, {m}",
        "{m}: {a}",
        "we see {a} {m} {b}",
        "there is {a} {m}",
    ),
    ("footage of {a} {m} {b}", "look at {a} {m}", "a short film in which {a} is {m}"),
)
PAIR_TEMPLATES = Phrases(
    (
        "{a}, both {m}",
        "{a}, both {m} {b}",
        "a video of {a}, both {m}",
        "a video of {a}, both {m} {b}",
        "{b}, {a}, both {m}",
        "{a} {b}, both {m}",
        "{a}; the two are {m}",
        "an animation of {a}, both {m} {b}",
    ),
    ("footage of {a}, both {m} {b}",),
)
IMAGE_TEMPLATES = Phrases(
    (
        "{a}",
        "{a}",
        "{a} {b}",
        "{a} {b}",
        "a picture of {a}",
        "a picture of {a} {b}",
        "an image of {a} {b}",
        "{b}, {a}",
        "there is {a} {b}",
        "an image showing {a}",
    ),
    ("a snapshot of {a} {b}", "artwork showing {a}"),
)


def caption(script: Script, held_out_words: bool = False, tilted: bool = False) -> str:
    """A sentence about the clip. With `held_out_words`, some of its words, at least one, never occur in training.

    `tilted`: it says so of the things that are tilted, see `zoetrope.data.toybox.scene.scene`.
    """
    templates = PAIR_TEMPLATES if script.relation else CLIP_TEMPLATES
    return _sentence(script, templates, held_out_words, tilted)


def hue_caption(script: Script) -> str:
    """A sentence about the clip of one flat thing, in words of training but for a remote name of its colour."""
    thing = script.things[0]
    sentence = caption(script)
    told = max((word for word in COLOURS[thing.colour].words.train if f"{word} " in sentence), key=len)
    name = HUES[thing.colour]
    named = sentence.replace(f"{told} ", f"{name} ", 1)
    return named.replace(f"a {name}", f"an {name}") if name[0] in "aeiou" else named.replace(f"an {name}", f"a {name}")


def image_caption(script: Script, held_out_words: bool = False, tilted: bool = False) -> str:
    """A sentence about a single frame, which tells nothing of the motion."""
    return _sentence(script, IMAGE_TEMPLATES, held_out_words, tilted)


class Speaker:
    """Draws words; when asked for words held out of training, the first choice is always one and later ones often."""

    def __init__(self, wording: int, held_out: bool) -> None:
        self._rng = np.random.default_rng(wording)
        self._held_out = held_out
        self._must = held_out

    def chance(self, probability: float) -> bool:
        return bool(self._rng.random() < probability)

    def pick(self, words: Phrases) -> str:
        choices = words.train
        if self._held_out and words.held_out and (self._must or self.chance(0.5)):
            choices, self._must = words.held_out, False
        return choices[int(self._rng.integers(len(choices)))]


def _sentence(script: Script, templates: Phrases, held_out_words: bool, tilted: bool) -> str:
    speaker = Speaker(script.wording, held_out_words)
    subject = " ".join(noun(thing, speaker, tilted) for thing in script.things[:1])
    if script.relation:
        subject += f" {speaker.pick(RELATIONS[script.relation])} {noun(script.things[1], speaker, tilted)}"
    subject = speaker.pick(STYLES[script.style]).format(subject)
    parts = {
        "a": subject,
        "m": speaker.pick(MOTIONS[script.motion]),
        "b": speaker.pick(BACKGROUNDS[script.background].words),
    }
    sentence = speaker.pick(templates).format(**parts)
    for article in ("a ", "an "):
        if not script.relation and sentence.startswith(article) and speaker.chance(0.25):
            sentence = sentence.removeprefix(article)
    return sentence


def noun(thing: Thing, speaker: Speaker, tilted: bool = False) -> str:
    """A thing with its article: "an orange star", "the letter K in red", "a red letter K", "a tilted orange star"."""
    colour = speaker.pick(COLOURS[thing.colour].words)
    tilt = f"{speaker.pick(TILTED)} " if tilted and can_tilt(thing.shape) else ""
    if thing.shape != "letter":
        return _with_article(f"{tilt}{colour} {speaker.pick(SHAPES[thing.shape])}")
    name = speaker.pick(LETTER_WORDS).format(thing.letter)
    return f"the {tilt}{name} in {colour}" if speaker.chance(0.5) else _with_article(f"{tilt}{colour} {name}")


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
