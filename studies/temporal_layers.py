"""Temporal convolution, temporal attention, or neither, in a super-resolution stage.

python studies/temporal_layers.py
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from _judge import clips, restored
from _recipes import ENLARGING, LARGE, SMALL, enlarger
from _study import Arm, Json, Kept, Page, Sampler, Study, main, minutes

from zoetrope.cascade.resample import degrade
from zoetrope.metrics.flicker import flicker

CLIPS = 24
ARMS = {
    "convolution": Arm(enlarger(ENLARGING), "ssr", common="enlarger"),
    "attention": Arm(enlarger(ENLARGING, temporal="attention"), "ssr"),
    "none": Arm(enlarger(ENLARGING, temporal=None), "ssr"),
}
LONGER = 4  # times as many frames as a clip has, at as many times the rate
SHAPES = {
    length: tuple(
        shape.model_copy(update={"frames": shape.frames * n, "fps": shape.fps * n}) for shape in (SMALL, LARGE)
    )
    for length, n in (("8 frames", 1), ("32 frames", LONGER))
}


def _one(folder: Path, length: str, count: int) -> Json:
    small, large = SHAPES[length]
    truth, told = clips(count, large)
    sampler = Sampler.of_run(folder)
    stage = sampler.stage.model_copy(update={"shape": large, "source": small})
    start = time.process_time()
    made = sampler(told, degrade(truth, small), batch=4, stage=stage)
    seconds = (time.process_time() - start) / count
    return {**restored(made, truth), "flicker": float(flicker(made, truth).mean()), "seconds": seconds}


def measure(folders: Mapping[str, Path], kept: Kept) -> Json:
    """Quality and processor time, on clips as in training and on longer ones."""
    return {
        name: {
            "minutes": minutes(folder),
            **{
                length: kept(
                    f"{name}-{shapes[1].frames}", lambda f=folder, k=length: _one(f, k, CLIPS if k[0] == "8" else 8)
                )
                for length, shapes in SHAPES.items()
            },
        }
        for name, folder in folders.items()
    }


def page(numbers: Json) -> Page:
    """The findings and the plot."""
    short = {name: one["8 frames"] for name, one in numbers.items()}
    fast = numbers["convolution"]["32 frames"]["seconds"] < numbers["attention"]["32 frames"]["seconds"]
    near = short["convolution"]["psnr"] > short["attention"]["psnr"] - 0.5
    verdict = (
        "PSNR on clips of eight frames is "
        + ", ".join(f"{one['psnr']:.1f} dB ({name})" for name, one in short.items())
        + f"; a clip of 32 frames takes {numbers['convolution']['32 frames']['seconds']:.1f} s of processor time with "
        f"convolution and {numbers['attention']['32 frames']['seconds']:.1f} s with attention: that convolution does "
        "for "
        f"super-resolution {'was seen' if near else 'was **not** seen'}, that it is cheaper "
        f"{'was seen' if fast else 'was **not** seen'}."
    )
    keys = ("psnr", "flicker", "seconds")
    rows = [["temporal layers", "minutes", *(f"{length}: {key}" for length in SHAPES for key in keys)]]
    for name, one in numbers.items():
        cells = [f"{one[length][key]:.3g}" for length in SHAPES for key in keys]
        rows.append([name, f"{one['minutes']:.0f}", *cells])

    def draw(axes: Any) -> None:
        for axis, key, label in zip(axes, ("psnr", "flicker"), ("PSNR, dB", "flicker"), strict=True):
            for number, name in enumerate(numbers):
                places = [place + 0.26 * (number - 1) for place in range(len(SHAPES))]
                axis.bar(places, [numbers[name][length][key] for length in SHAPES], 0.24, label=name)
            axis.set(ylabel=label)
            axis.set_xticks(range(len(SHAPES)), list(SHAPES))
        axes[0].set_ylim(bottom=min(one[length]["psnr"] for one in numbers.values() for length in SHAPES) - 2)
        axes[0].legend(frameon=False)

    return Page(verdict, rows, draw)


STUDY = Study(
    name="temporal_layers",
    title="Temporal convolution against temporal attention in super-resolution",
    finding="the base model uses temporal attention, the super-resolution models temporal convolution, which costs "
    "less "
    "memory and time at high resolution and keeps local consistency (Ho et al. 2022, arXiv:2210.02303, section on "
    "architecture).",
    setup="One small network that doubles the side of 24x40 clips, with either kind of layer or none, trained on "
    "four frames "
    f"at a time, all else equal. {CLIPS} held-out clips of eight frames and 8 of 32 are enlarged with 16 steps of "
    "DDIM. "
    "Flicker is the change from frame to frame that the truth does not have.",
    arms=ARMS,
    measure=measure,
    page=page,
)

if __name__ == "__main__":
    main(STUDY)
