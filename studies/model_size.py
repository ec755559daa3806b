"""Base models of three sizes, trained alike: larger ones should paint better.

python studies/model_size.py
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from _pictures import PROMPTS, TOLD, judged
from _recipes import PAINTING, STILL, painter
from _study import Arm, Json, Kept, Page, Study, main, minutes

from zoetrope.training.spec import Recipe
from zoetrope.training.state import read_metrics

ARMS = {
    "small": Arm(painter(STILL, PAINTING, widths=(32, 64))),
    "medium": Arm(painter(STILL, PAINTING), common="painter"),
    "large": Arm(painter(STILL, PAINTING, widths=(96, 224))),
}
SETS = ("familiar", "combinations")
LEARNT = 0.3  # of the shapes right: there are a dozen to guess from


def _parameters(recipe: Recipe) -> int:
    return sum(weight.numel() for weight in recipe.cascade.stages[0].network.build().parameters())


def measure(folders: Mapping[str, Path], kept: Kept) -> Json:
    """The recogniser's scores, the loss at the end, and what each size is and takes."""
    return {
        name: {
            "parameters": _parameters(ARMS[name].recipe),
            "minutes": minutes(folder),
            "loss": [(line["examples"], line["loss"]) for line in read_metrics(folder / "metrics.jsonl")],
            "scores": judged(folder, name, kept, SETS),
        }
        for name, folder in folders.items()
    }


def _end(one: Json) -> float:
    """The mean training loss of the last tenth."""
    tail = [loss for _, loss in one["loss"][-max(1, len(one["loss"]) // 10) :]]
    return sum(tail) / len(tail)


def page(numbers: Json) -> Page:
    """The findings and the plot."""
    ordered = sorted(numbers.values(), key=lambda one: one["parameters"])
    losses = [_end(one) for one in ordered]
    scores = [one["scores"]["familiar"] for one in ordered]
    colours = {key: [one["scores"][key]["colour"] for one in ordered] for key in SETS}
    seen = losses == sorted(losses, reverse=True)
    painted = all(shares == sorted(shares) for shares in colours.values())
    verdict = (
        f"from {ordered[0]['parameters'] / 1e6:.1f} to {ordered[-1]['parameters'] / 1e6:.1f} M parameters the loss "
        f"goes {', '.join(f'{loss:.4f}' for loss in losses)}: that larger base models learn more from as many pictures "
        f"{_seen(seen)}. Colours are right in {_listed(colours['familiar'])} of the pictures of prompts as in "
        f"training and in {_listed(colours['combinations'])} of held-out combinations: that larger ones paint better "
        f"{_seen(painted)} throughout. Shapes are right in "
        f"{_listed(one['shape'] for one in scores)}"
        + ("." if scores[-1]["shape"] > LEARNT else ", little more than by chance: they are not learnt yet.")
    )
    rows = [["size", "parameters", "minutes", "loss", *(f"{TOLD[s]}: {a}" for s in SETS for a in ("colour", "shape"))]]
    for name, one in numbers.items():
        cells = [f"{one['scores'][s][a]:.1%}" for s in SETS for a in ("colour", "shape")]
        rows.append([name, f"{one['parameters'] / 1e6:.2f} M", f"{one['minutes']:.0f}", f"{_end(one):.4f}", *cells])

    def draw(axes: Any) -> None:
        for name, one in numbers.items():
            axes[0].plot(*zip(*one["loss"], strict=True), label=name)
        axes[0].set(xlabel="pictures", ylabel="loss of v", yscale="log")
        axes[0].legend(frameon=False)
        for key in SETS:
            shares = [one["scores"][key]["colour"] for one in ordered]
            axes[1].plot([one["parameters"] / 1e6 for one in ordered], shares, "o-", label=TOLD[key])
        axes[1].set(xlabel="M parameters", ylabel="colour right", ylim=(0, 1), xscale="log")
        axes[1].legend(frameon=False)

    return Page(verdict, rows, draw)


def _listed(shares: Iterable[float]) -> str:
    return ", ".join(f"{share:.0%}" for share in shares)


def _seen(seen: bool) -> str:
    return "was seen" if seen else "was **not** seen"


STUDY = Study(
    name="model_size",
    title="Larger base models",
    finding="video sample quality of the base model improves with its parameter count, from 500 M to 5.6 B, in FVD and "
    "CLIP score, while that of super-resolution models hardly does (Ho et al. 2022, arXiv:2210.02303, scaling "
    "section).",
    setup=f"Three widths of one network, trained on the same 32 000 single pictures of 24x40, in the same order. Of "
    f"{PROMPTS} prompts of each set one picture each is painted with 32 steps of DDIM, guidance 2, and judged by the "
    "recogniser. The paper's sizes were trained for longer the larger they are; these were not.",
    arms=ARMS,
    measure=measure,
    page=page,
)

if __name__ == "__main__":
    main(STUDY)
