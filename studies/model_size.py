"""Base models of three sizes, trained alike: larger ones should paint better.

python studies/model_size.py
"""

from typing import Any

from _arms import Arm
from _claims import ONE_SEED, Claim, of_trained, share, unit
from _intervals import Interval, over_seeds
from _judge import constant
from _main import main
from _measured import Json, Kept
from _pictures import PROMPTS, TOLD, judged
from _pictures import SETS as PROMPTED
from _recipes import PAINTING, STILL, painter
from _study import Folders, Page, Study

from zoetrope.training.spec import Recipe
from zoetrope.training.state import read_metrics

ARMS = {
    "small": Arm(painter(STILL, PAINTING, widths=(32, 64))),
    "medium": Arm(painter(STILL, PAINTING), common="painter"),
    "large": Arm(painter(STILL, PAINTING, widths=(96, 224))),
}
SETS = ("familiar", "combinations")


def _parameters(recipe: Recipe) -> int:
    return sum(weight.numel() for weight in recipe.cascade.stages[0].network.build().parameters())


def measure(folders: Folders, kept: Kept) -> Json:
    """What the recogniser says of the pictures of every seed, the loss of the last fifth, and the size of each arm."""
    return {
        name: {
            "parameters": _parameters(ARMS[name].recipe),
            "loss": [[line["loss"] for line in read_metrics(each / "metrics.jsonl")][-10:] for each in several],
            "scores": judged(several, name, kept, SETS),
        }
        for name, several in folders.items()
    }


def page(numbers: Json) -> Page:
    """The findings and the plot."""
    arms = [numbers[name] for name in ARMS]

    def learns(more: Json, less: Json) -> Interval:
        return over_seeds(less["loss"], more["loss"])

    def paints(text: str, more: Json, less: Json) -> Claim:
        return of_trained(text, *(one["scores"]["familiar"]["colour"] for one in (more, less)))

    small, medium, large = arms
    claims = [
        Claim("medium has a lower loss than small", learns(medium, small), unit("", 4)),
        Claim("large has a lower loss than medium", learns(large, medium), unit("", 4)),
        Claim("large has a lower loss than small", learns(large, small), unit("", 4)),
        paints("large paints more colours right than small, prompts as in training", large, small),
        paints("large paints more colours right than medium, prompts as in training", large, medium),
    ]
    rows = [["size", "seeds", "parameters", "loss", *(f"{TOLD[s]}: {a}" for s in SETS for a in ("colour", "shape"))]]
    for name, one in zip(ARMS, arms, strict=True):
        cells = [share(one["scores"][s][a]) for s in SETS for a in ("colour", "shape")]
        size = [str(len(one["loss"])), f"{one['parameters'] / 1e6:.2f} M", f"{over_seeds(one['loss']).value:.4f}"]
        rows.append([name, *size, *cells])
    best = (f"{constant(PROMPTED[s](PROMPTS), a):.1%}" for s in SETS for a in ("colour", "shape"))
    rows.append(["the best constant answer", "", "", "", *best])

    def draw(axes: Any) -> None:
        millions = [one["parameters"] / 1e6 for one in arms]
        for size, one in zip(millions, arms, strict=True):
            for row in one["loss"]:
                axes[0].plot([size], [sum(row) / len(row)], "o", color="C0")
        axes[0].set(xlabel="M parameters", ylabel="loss of v, last fifth", xscale="log")
        for number, key in enumerate(SETS):
            means = [over_seeds(one["scores"][key]["colour"]).value for one in arms]
            axes[1].plot(millions, means, "o-", color=f"C{number}", label=TOLD[key])
        level = constant(PROMPTED["familiar"](PROMPTS), "colour")
        axes[1].axhline(level, color="grey", linestyle=":", label="best constant answer, as in training")
        axes[1].set(xlabel="M parameters", ylabel="colour right", ylim=(0, 1.02), xscale="log")
        axes[1].legend(frameon=False)

    alone = len(small["loss"]) == 1
    return Page(claims, rows, draw, limit=ONE_SEED if alone else "")


STUDY = Study(
    name="model_size",
    title="Larger base models",
    finding="video sample quality of the base model improves with its parameter count, from 500 M to 5.6 B, in FVD "
    "and CLIP score, while that of super-resolution models hardly does (Ho et al. 2022, arXiv:2210.02303, scaling "
    "section).",
    design={
        "network": "three widths of one that paints single pictures of 24x40",
        "training": f"the same {PAINTING[0].examples:,} pictures in the same order, for all alike; the paper's were "
        "trained for longer the larger they are",
        "judged": f"{PROMPTS} prompts of each set, one picture each, 32 steps of DDIM, guidance 2, by the recogniser; "
        "and by the training loss of the last fifth",
        "baselines": "the best constant answer (prompts are not uniform). Of true pictures of the same scripts, one a "
        "prompt, the recogniser says every colour and 127 "
        "of 128 shapes right",
    },
    arms=ARMS,
    measure=measure,
    page=page,
    doubts={
        "Could it come from noise?": "Yes: one seed. The last gain of the loss was 0.0012 with a standard error of "
        "0.0008 between lines of the log alone, to which the spread of seeds comes.",
        "Is it the number of parameters?": "It may be the learning rate, which suits one width more than another and "
        "was tuned for none of them here.",
        "Do larger ones paint better?": "Colours are right in nearly all pictures of the two larger ones, so there is "
        "nothing left to gain; all three have fewer shapes right than the best constant answer, so nothing of them was "
        "learnt yet that could differ.",
    },
    moves="three seeds of each width, a learning rate tuned for each, the loss on held-out pictures with the same "
    "noise for all, and ten times as many pictures, until shapes are above the best constant answer: a night of a "
    "core.",
)

if __name__ == "__main__":
    main(STUDY)
