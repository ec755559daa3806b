"""A frozen language model against word embeddings of one's own: what becomes of words that training never showed.

python studies/language.py
"""

from typing import Any

from _arms import Arm
from _claims import ONE_SEED, of_trained, share
from _judge import constant
from _main import main
from _measured import Json, Kept
from _pictures import PROMPTS, SETS, TOLD, judged
from _recipes import PAINTING, STILL, painter
from _study import Folders, Page, Study

from zoetrope.text.words import Words

ARMS = {
    "MiniLM": Arm(painter(STILL, PAINTING), common="painter"),
    "words": Arm(painter(STILL, PAINTING, text=Words())),
}
ASPECTS = ("colour", "shape", "all")


def measure(folders: Folders, kept: Kept) -> Json:
    """What the recogniser says of the pictures of every seed, for every set of prompts."""
    return {name: judged(each, name, kept, tuple(SETS)) for name, each in folders.items()}


def page(numbers: Json) -> Page:
    """The findings and the plot."""
    known, unknown = ([numbers[name][key]["colour"] for name in ARMS] for key in ("familiar", "wordings"))
    claims = [
        of_trained("colours named by held-out words: MiniLM above words", *unknown),
        of_trained("colours named as in training: MiniLM above words", *known),
    ]
    kinds = [(key, aspect) for key in SETS for aspect in ASPECTS if key != "wordings" or aspect == "colour"]
    rows = [["text", "seeds", *(f"{TOLD[key]}: {aspect}" for key, aspect in kinds)]]
    for name in ARMS:
        tables = [numbers[name][key][aspect] for key, aspect in kinds]
        rows.append([name, str(len(tables[0])), *(share(table) for table in tables)])
    best = (f"{constant(SETS[key](PROMPTS), aspect):.1%}" for key, aspect in kinds)
    rows.append(["the best constant answer", "", *best])

    def draw(axes: Any) -> None:
        for axis, aspect in zip(axes, ("colour", "shape"), strict=True):
            for number, name in enumerate(ARMS):
                for place, key in enumerate(SETS):
                    for seed, row in enumerate(numbers[name][key][aspect]):
                        label = name if place == seed == 0 else None
                        axis.plot([place + 0.1 * number], [_mean(row)], "o", color=f"C{number}", label=label)
            level = constant(SETS["familiar"](PROMPTS), aspect)
            axis.axhline(level, color="grey", linestyle=":", label="best constant answer, as in training")
            axis.set(ylabel=f"{aspect} right", ylim=(0, 1.02), xticks=range(len(SETS)))
            axis.set_xticklabels([TOLD[key].replace(" ", "\n", 1) for key in SETS])
        axes[0].legend(frameon=False)

    alone = len(numbers["MiniLM"]["familiar"]["colour"]) == 1
    return Page(claims, rows, draw, limit=ONE_SEED if alone else "")


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


STUDY = Study(
    name="language",
    title="A frozen language model against learned word embeddings",
    finding="text comes from a frozen T5-XXL; its predecessor found large frozen language models to matter more for "
    "alignment than the size of the image model (Saharia et al. 2022, arXiv:2205.11487; Ho et al. 2022, "
    "arXiv:2210.02303, section on the base model).",
    design={
        "network": "one that paints single pictures of 24x40, with the features of all-MiniLM-L6-v2, or with a fixed "
        "random vector for every word, from which its first layer learns a table of embeddings",
        "training": f"{PAINTING[0].examples:,} pictures, the same for both",
        "judged": f"{PROMPTS} prompts of each set, one picture each, 32 steps of DDIM, guidance 2, by the recogniser; "
        "the held-out words are in no training caption",
        "shapes": "not told of prompts with held-out words, as not all of them name the shape by one",
        "baselines": "the best constant answer (prompts are not uniform). Of true pictures of the same scripts, one a "
        "prompt, the recogniser says every colour and 127 "
        "of 128 shapes right",
    },
    arms=ARMS,
    measure=measure,
    page=page,
    doubts={
        "Could it come from noise?": "Unknown: one training of each arm. Of colours named by held-out words MiniLM "
        "has 109 "
        "of 128 right and words 7.",
        "Could it come from the design?": "Yes, and this is why nothing is claimed. A random vector of a word that "
        "training never showed tells nothing, so that arm can only guess: it is no better than a guess by "
        "construction. That a "
        "language model does better than nothing says little of language models.",
        "What of shapes?": "Neither arm paints more of them right than the best constant answer, so nothing is said of "
        "words for shapes.",
    },
    moves="three seeds, and arms that could carry a meaning over without a language model: characters or parts of "
    "words learnt with the network (reddish contains red), and the word vectors of MiniLM's first layer without its "
    "context. Some twenty minutes of a core for each training.",
)

if __name__ == "__main__":
    main(STUDY)
