"""A frozen language model against word embeddings of one's own: what becomes of words that training never showed.

python studies/language.py
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from _pictures import PROMPTS, SETS, TOLD, judged
from _recipes import PAINTING, STILL, painter
from _study import Arm, Json, Kept, Page, Study, main

from zoetrope.text.words import Words

ARMS = {
    "MiniLM": Arm(painter(STILL, PAINTING), common="painter"),
    "words": Arm(painter(STILL, PAINTING, text=Words())),
}
ASPECTS = ("colour", "shape", "all")
LEARNT = 0.3  # of the shapes right: there are a dozen to guess from


def measure(folders: Mapping[str, Path], kept: Kept) -> Json:
    """The recogniser's scores on every set of prompts."""
    return {name: judged(folder, name, kept, tuple(SETS)) for name, folder in folders.items()}


def page(numbers: Json) -> Page:
    """The findings and the plot."""
    known, unknown = ({name: scores[key] for name, scores in numbers.items()} for key in ("familiar", "wordings"))
    seen = unknown["MiniLM"]["colour"] > unknown["words"]["colour"]
    verdict = (
        f"colours named as in training come out right in {known['MiniLM']['colour']:.0%} of the pictures with the "
        f"language model and in {known['words']['colour']:.0%} with learned words; colours named by held-out words in "
        f"{unknown['MiniLM']['colour']:.0%} and {unknown['words']['colour']:.0%}: that a frozen language model "
        f"understands more {'was seen' if seen else 'was **not** seen'}. Shapes, named as in training, are right in "
        f"{known['MiniLM']['shape']:.0%} and {known['words']['shape']:.0%}"
        + (
            ""
            if max(one["shape"] for one in known.values()) > LEARNT
            else ", little more than by chance: so short a "
            "training teaches colours, not shapes, and says nothing of words for these"
        )
        + "."
    )
    rows = [["text", *(f"{TOLD[key]}: {aspect}" for key in SETS for aspect in ASPECTS)]]
    for name, scores in numbers.items():
        rows.append([name, *(f"{scores[key][aspect]:.1%}" for key in SETS for aspect in ASPECTS)])

    def draw(axes: Any) -> None:
        for axis, aspect in zip(axes, ("colour", "shape"), strict=True):
            for offset, (name, scores) in zip((-0.2, 0.2), numbers.items(), strict=True):
                places = [place + offset for place in range(len(SETS))]
                axis.bar(places, [scores[key][aspect] for key in SETS], 0.38, label=name)
            axis.set(ylabel=f"{aspect} right", ylim=(0, 1), xticks=range(len(SETS)))
            axis.set_xticklabels([TOLD[key].replace(" ", "\n", 1) for key in SETS])
            axis.legend(frameon=False)

    return Page(verdict, rows, draw)


STUDY = Study(
    name="language",
    title="A frozen language model against learned word embeddings",
    finding="text comes from a frozen T5-XXL; its predecessor found large frozen language models to matter more for "
    "alignment than the size of the image model (Saharia et al. 2022, arXiv:2205.11487; Ho et al. 2022, "
    "arXiv:2210.02303, section on the base model).",
    setup="One network, trained twice on the same 32 000 single pictures of 24x40: with the features of "
    "all-MiniLM-L6-v2, "
    "and with a fixed random vector for every word, from which the network's first layer learns a table of embeddings. "
    f"{PROMPTS} prompts of each set, one picture each, 32 steps of DDIM, guidance 2, judged by the recogniser. "
    "The held-out words are in no training caption.",
    arms=ARMS,
    measure=measure,
    page=page,
)

if __name__ == "__main__":
    main(STUDY)
