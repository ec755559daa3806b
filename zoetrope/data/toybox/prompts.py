"""Prompts that training never saw, with what their videos should show, to evaluate models."""

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import count, islice
from types import MappingProxyType
from typing import NamedTuple

from zoetrope.data.toybox.captions import caption, hue_caption
from zoetrope.data.toybox.scene import Script, script
from zoetrope.data.toybox.vocabulary import COLOURS, FLAT_SHAPES, HUES, MOTIONS, SHAPES, SOLID_SHAPES

SEED = 7_000_000  # scripts of the test prompts are numbered from here


class Prompt(NamedTuple):
    """A prompt and the script that it tells.

    Attributes:
        unseen: the words in it that training never uses, by what they tell: colour, shape or motion. Where there are
            some, only what they tell is worth judging: of the rest training has seen the words.
    """

    text: str
    script: Script
    unseen: Mapping[str, str] = MappingProxyType({})


def combinations(number: int) -> list[Prompt]:
    """One flat object, in ordinary words, that combines two values which training never shows together."""
    return _first(number, lambda seed: script(seed, held_out=True), _single, held_out_words=False)


def wordings(number: int) -> list[Prompt]:
    """One flat object in combinations that training may show, told with words that training never uses."""
    told = _first(number, script, _single, held_out_words=True)
    return [prompt._replace(unseen=_unseen(prompt)) for prompt in told]


def hues(number: int) -> list[Prompt]:
    """One flat object whose colour goes by a name that only people know to be that colour."""
    prompts = familiar(number)
    return [
        Prompt(hue_caption(one.script), one.script, {"colour": HUES[one.script.things[0].colour]}) for one in prompts
    ]


def familiar(number: int) -> list[Prompt]:
    """One flat object as training shows and tells it: what the other two are compared with."""
    return _first(number, script, _single, held_out_words=False)


def pairs(number: int) -> list[Prompt]:
    """Two objects and how they lie to each other."""
    return _first(number, script, lambda told: bool(told.relation), held_out_words=False)


def letters(number: int) -> list[Prompt]:
    """One letter."""
    return _first(number, script, lambda told: told.things[0].shape == "letter" and not told.relation, False)


def solids(number: int) -> list[Prompt]:
    """One three-dimensional object."""
    return _first(number, script, lambda told: told.things[0].shape in SOLID_SHAPES and not told.relation, False)


def styles(number: int) -> list[Prompt]:
    """One flat object in a drawn style."""
    return _first(number, script, lambda told: told.style != "flat", False)


SETS: dict[str, Callable[[int], list[Prompt]]] = {
    "combinations": combinations,
    "wordings": wordings,
    "hues": hues,
    "familiar": familiar,
    "pairs": pairs,
    "letters": letters,
    "solids": solids,
    "styles": styles,
}


def _unseen(prompt: Prompt) -> dict[str, str]:
    """The held-out words of a prompt of one object, by what they tell."""
    thing = prompt.script.things[0]
    tables = {
        "colour": COLOURS[thing.colour].words,
        "shape": SHAPES[thing.shape],
        "motion": MOTIONS[prompt.script.motion],
    }
    return {
        aspect: word
        for aspect, words in tables.items()
        for word in words.held_out
        if re.search(rf"\b{re.escape(word)}\b", prompt.text)
    }


def _single(told: Script) -> bool:
    return not told.relation and told.style == "flat" and told.things[0].shape in FLAT_SHAPES


def _first(
    number: int, draw: Callable[[int], Script], wanted: Callable[[Script], bool], held_out_words: bool
) -> list[Prompt]:
    def every() -> Iterator[Prompt]:
        for seed in count(SEED):
            drawn = draw(seed)
            if wanted(drawn):
                yield Prompt(caption(drawn, held_out_words), drawn)

    return list(islice(every(), number))
