"""Clips of few things alone, or together with pictures of many more.

python studies/joint_training.py
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from _judge import shares
from _recipes import painter
from _study import Arm, Json, Kept, Page, Sampler, Study, main, minutes

from zoetrope.data.mixture import Mixture, Part
from zoetrope.data.toybox import Toybox
from zoetrope.data.toybox.prompts import Prompt, familiar
from zoetrope.data.toybox.world import numbered_script
from zoetrope.shapes import VideoShape
from zoetrope.training.spec import Phase
from zoetrope.training.state import read_metrics

CLIP = VideoShape(frames=4, height=24, width=40, fps=0.75)
EXAMPLES, PROMPTS, SCRIPTS = 12_000, 128, 8
SHARES = {"clips alone": 0.0, "30 % pictures": 0.3, "60 % pictures": 0.6}
DATA = Mixture(parts=(Part(source=Toybox(scripts=SCRIPTS), weight=1.0), Part(source=Toybox(pictures=True), weight=9.0)))
ARMS = {
    name: Arm(painter(CLIP, (Phase(examples=EXAMPLES, batch=16, images=share, peak=2e-3),), data=DATA))
    for name, share in SHARES.items()
}
FILMED = frozenset(thing.colour for number in range(SCRIPTS) for thing in numbered_script(number).things)
ASPECTS = ("colour", "shape")


def _prompts(filmed: bool) -> list[Prompt]:
    """Those whose colour some clip of the training has, or no clip."""
    return [prompt for prompt in familiar(PROMPTS) if (prompt.script.things[0].colour in FILMED) == filmed]


SETS = {"colours of clips": _prompts(True), "colours of pictures alone": _prompts(False)}


def _judged(folder: Path, key: str) -> Json:
    prompts = SETS[key]
    return shares(Sampler.of_run(folder)([prompt.text for prompt in prompts], batch=32), prompts, CLIP.fps)


def measure(folders: Mapping[str, Path], kept: Kept) -> Json:
    """The recogniser's scores of clips."""
    return {
        name: {
            "minutes": minutes(folder),
            "loss": [(line["examples"], line["loss"]) for line in read_metrics(folder / "metrics.jsonl")],
            **{
                key: kept(f"{name}-{key}".replace(" ", "-"), lambda folder=folder, key=key: _judged(folder, key))
                for key in SETS
            },
        }
        for name, folder in folders.items()
    }


def page(numbers: Json) -> Page:
    """The findings and the plot."""
    new, old = (
        {name: one[key]["colour"] for name, one in numbers.items()}
        for key in ("colours of pictures alone", "colours of clips")
    )
    alone = "clips alone"
    taught = max(new.values()) > new[alone] + 0.1
    better = max(old.values()) > old[alone]
    verdict = (
        "on clips, colours that only pictures showed are right in "
        + ", ".join(f"{share:.0%} ({name})" for name, share in new.items())
        + f": that clips take over what only pictures show {_seen(taught)}. Colours that clips showed too are right in "
        + ", ".join(f"{share:.0%}" for share in old.values())
        + f": that pictures make clips better in what these show themselves {_seen(better)}. "
        "Shapes are right in "
        + ", ".join(f"{one['colours of clips']['shape']:.0%}" for one in numbers.values())
        + ", about as often as by chance: so short a training says nothing of them."
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
            axis.set(title=f"{key} ({len(SETS[key])} prompts)", ylim=(0, 1), ylabel="right")
            axis.set_xticks(range(len(ASPECTS)), ASPECTS)
        axes[0].legend(frameon=False)

    return Page(verdict, rows, draw)


def _seen(seen: bool) -> str:
    return "was seen" if seen else "was **not** seen"


STUDY = Study(
    name="joint_training",
    title="Joint training on images and videos",
    finding="packing independent images into the sequence of a video, with temporal attention masked, lets one model "
    "learn from both: video samples are better for it, and what only images show, such as styles, goes over to videos "
    "(Ho et al. 2022, arXiv:2210.02303, section on joint training).",
    setup=f"A small base model on clips of four frames of 24x40, {EXAMPLES:,} examples of four frames each whatever "
    f"they are: clips, which show {SCRIPTS} scripts of toybox in endless sizes and places, with {len(FILMED)} colours, "
    "or packs of four pictures, each with its own caption, a tenth from these scripts and the others from all 40 000. "
    f"{PROMPTS} prompts as in training, one clip each, 32 steps of DDIM, guidance 2, judged by the recogniser, "
    "which reads no motion from four frames, not even from true ones; they are told apart by whether any clip of the "
    f"training has their colour. Few of them tell what one of the {SCRIPTS} scripts tells.",
    arms=ARMS,
    measure=measure,
    page=page,
)

if __name__ == "__main__":
    main(STUDY)
