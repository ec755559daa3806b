"""Clips alone, or clips and packs of independent pictures in one batch.

python studies/joint_training.py
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from _judge import shares
from _recipes import painter
from _study import Arm, Json, Kept, Page, Sampler, Study, main, minutes

from zoetrope.data.toybox.prompts import combinations, familiar
from zoetrope.shapes import VideoShape
from zoetrope.training.spec import Phase
from zoetrope.training.state import read_metrics

CLIP = VideoShape(frames=4, height=24, width=40, fps=0.75)
EXAMPLES, PROMPTS = 12_000, 96
SHARES = {"clips alone": 0.0, "30 % pictures": 0.3, "60 % pictures": 0.6}
ARMS = {
    name: Arm(painter(CLIP, (Phase(examples=EXAMPLES, batch=16, images=share, peak=2e-3),)))
    for name, share in SHARES.items()
}
SETS = {"familiar": familiar, "combinations": combinations}
ASPECTS = ("colour", "shape", "motion")


def _judged(folder: Path, key: str) -> Json:
    prompts = SETS[key](PROMPTS)
    return shares(Sampler.of_run(folder)([prompt.text for prompt in prompts], batch=32), prompts, CLIP.fps)


def measure(folders: Mapping[str, Path], kept: Kept) -> Json:
    """The recogniser's scores of clips."""
    return {
        name: {
            "minutes": minutes(folder),
            "loss": [(line["examples"], line["loss"]) for line in read_metrics(folder / "metrics.jsonl")],
            **{
                key: kept(f"{name.replace(' ', '-')}-{key}", lambda folder=folder, key=key: _judged(folder, key))
                for key in SETS
            },
        }
        for name, folder in folders.items()
    }


def page(numbers: Json) -> Page:
    """The findings and the plot."""
    shape = {name: one["combinations"]["shape"] for name, one in numbers.items()}
    alone = shape["clips alone"]
    best = max(shape, key=lambda name: shape[name])
    seen = shape[best] > alone
    verdict = (
        "on clips of held-out combinations shapes are right in "
        + ", ".join(f"{share:.0%} ({name})" for name, share in shape.items())
        + f": that training on pictures as well makes better clips {'was seen' if seen else 'was **not** seen'}."
    )
    rows = [["trained on", "minutes", *(f"{key}: {aspect}" for key in SETS for aspect in ASPECTS)]]
    for name, one in numbers.items():
        cells = [f"{one[key][aspect]:.1%}" for key in SETS for aspect in ASPECTS]
        rows.append([name, f"{one['minutes']:.0f}", *cells])

    def draw(axes: Any) -> None:
        width = 0.8 / len(numbers)
        for axis, key in zip(axes, SETS, strict=True):
            for number, (name, one) in enumerate(numbers.items()):
                places = [place + (number - 1) * width for place in range(len(ASPECTS))]
                axis.bar(places, [one[key][aspect] for aspect in ASPECTS], 0.9 * width, label=name)
            axis.set(title=key, ylim=(0, 1), ylabel="right")
            axis.set_xticks(range(len(ASPECTS)), ASPECTS)
        axes[0].legend(frameon=False)

    return Page(verdict, rows, draw)


STUDY = Study(
    name="joint_training",
    title="Joint training on images and videos",
    finding="packing independent images into the sequence of a video, with temporal attention masked, lets one model "
    "learn "
    "from both, and video samples are better for it (Ho et al. 2022, arXiv:2210.02303, section on joint training).",
    setup=f"A small base model on clips of four frames of 24x40, {EXAMPLES:,} examples of four frames each whatever "
    "they are: "
    f"clips, or packs of four pictures from other clips, each with its own caption. {PROMPTS} prompts of each set, "
    "one clip "
    "each, 32 steps of DDIM, guidance 2, judged by the recogniser. Pictures and clips are of the same toybox here, so "
    "the "
    "pictures add variety and not new subjects, as the paper's did.",
    arms=ARMS,
    measure=measure,
    page=page,
)

if __name__ == "__main__":
    main(STUDY)
