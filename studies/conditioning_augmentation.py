"""A super-resolution stage trained with and without noise on what it is given, and what imperfect input does to each.

python studies/conditioning_augmentation.py
"""

import math
from functools import cache
from typing import Any

import torch
from _enlarged import CLIPS, STEPS, blurred, enlarged, given, mean, more, plainly, told
from _recipes import ENLARGING, LARGE, SPAN, enlarger
from _study import Arm, Claim, Folders, Json, Kept, Page, Study, main, unit
from torch import Tensor

AUGMENT = 0.5  # of the cosine schedule: up to as much noise as video
NOISE = 0.1
ARMS = {
    "with": Arm(enlarger(anchored=True, augment=AUGMENT), "ssr"),
    "without": Arm(enlarger(anchored=True), "ssr", common="anchored"),
}
LEVELS = {"none": None, "SNR 10": 10.0, "SNR 3": 3.0}
FIXED = "SNR 10"  # the one that claims are made of, fixed before anything was measured


@cache
def inputs() -> dict[str, Tensor]:
    """What is enlarged: true low resolution, and the same with faults that a stage before might leave."""
    noise = torch.randn(given().shape, generator=torch.Generator().manual_seed(0))
    return {
        "true": given(),
        "blurred": blurred(given()),
        "noisy": (given() + NOISE * noise).clamp(-1, 1),
    }


def measure(folders: Folders, kept: Kept) -> Json:
    """Both arms and the plain ways on every input."""
    numbers: Json = {}
    for what, video in inputs().items():
        key = what.replace(" ", "-")
        numbers[what] = plainly(kept, video, key)
        numbers[what]["without"] = enlarged(kept, "without", folders["without"], video, key)
        for name, level in LEVELS.items():
            logsnr = None if level is None else math.log(level)
            arm = enlarged(kept, f"with-{name}".replace(" ", "-"), folders["with"], video, key, low_res_logsnr=logsnr)
            numbers[what][f"with, {name}"] = arm
    return numbers


def page(numbers: Json) -> Page:
    """The findings and the plot."""
    true = numbers["true"]
    damages = [what for what in numbers if what not in ("true", "minutes")]
    fixed, clean = f"with, {FIXED}", "with, none"

    def nearer(text: str, what: str, one: str, other: str) -> Claim:
        return Claim(f"{what} input: {text}", more(numbers[what][one], numbers[what][other]), unit("dB"))

    claims = [
        nearer("trained without, nearer than bicubic", "true", "without", "bicubic"),
        nearer("trained with, nearer than bicubic", "true", clean, "bicubic"),
        nearer("trained without is nearer than trained with", "true", "without", clean),
        *(nearer(f"trained with, at {FIXED}, nearer than without", what, fixed, "without") for what in damages),
        *(nearer("trained with, no noise, nearer than without", what, clean, "without") for what in damages),
        *(nearer(f"trained with, at {FIXED}, nearer than bicubic", what, fixed, "bicubic") for what in damages),
    ]
    rows = [["PSNR, dB", *(f"{what} input" for what in ("true", *damages))]]
    for name in true:
        rows.append([name, *(told(numbers[what][name]) for what in ("true", *damages))])

    def draw(axes: Any) -> None:
        for axis, whats in zip(axes, (("true", "blurred"), ("true", "noisy")), strict=True):
            for number, what in enumerate(whats):
                one, colour = numbers[what], f"C{number}"
                axis.plot(
                    range(len(LEVELS)), [mean(one[f"with, {name}"]) for name in LEVELS], "o-", color=colour, label=what
                )
                axis.axhline(mean(one["without"]), color=colour, linestyle=":")
                axis.axhline(mean(one["bicubic"]), color=colour, linestyle="--", linewidth=0.8)
            axis.set(ylabel="PSNR, dB", xlabel="noise on the input (dotted: without; dashed: bicubic)")
            axis.set_xticks(range(len(LEVELS)), list(LEVELS))
            axis.legend(frameon=False, title="input")

    return Page(claims, rows, draw)


STUDY = Study(
    name="conditioning_augmentation",
    title="Noise conditioning augmentation, on and off",
    finding="adding noise of a random level to the low-resolution input in training, and of a fixed level when "
    "sampling, reduces the sensitivity of super-resolution models to the faults of the stage before (Ho et al. 2022, "
    "arXiv:2210.02303, section on cascades).",
    design={
        "network": "a small one that doubles the side of 24x40 clips and begins at what it is given (`anchored`), "
        f"trained with noise on its input of levels up to SNR 1 (augment = {AUGMENT}), and without any; all else equal",
        "training": f"{ENLARGING[0].examples} stretches of {SPAN} frames, batches of {ENLARGING[0].batch}",
        "clips": f"{CLIPS} held-out clips of {LARGE.frames} frames, {STEPS} steps of DDIM, from their true low "
        f"resolution and from damaged ones: halved and doubled again (blurred), noise of deviation {NOISE}",
        "noise when sampling": f"{FIXED} for all claims that say so, chosen before anything was measured",
        "baselines": "bilinear and bicubic enlarging of the same input, damaged or not",
        "intervals": "over seeds and clips, differences clip by clip (`studies/README.md`); PSNR is the mean of "
        "clips' own",
    },
    arms=ARMS,
    measure=measure,
    page=page,
    doubts={
        "Could it come from noise?": "The intervals are over seeds and clips; three seeds cost 4.3 standard errors.",
        "Could it come from a bad baseline?": "Both arms beat bicubic enlarging of true input, and every damaged "
        "input has bicubic enlarging of the same beside it.",
        "Is noise on the input not what training with noise is made for?": "Yes, which is why blur, which neither arm "
        "was trained on, stands apart.",
        "Was the level chosen to suit?": "No: it was fixed before anything was measured; all levels are in the table.",
        "Did both learn equally much?": "Both saw as many stretches, and with augmentation there is more to learn "
        "from each; whether the price on true input goes with longer training is not known.",
        "Are these the faults of a generator?": "No: blur and independent noise are simpler than what a base model "
        "gets wrong. True generated input has no truth to measure against.",
    },
    moves="input from a base model, with a measure that needs no truth; longer training; levels and damages in finer "
    "steps.",
)

if __name__ == "__main__":
    main(STUDY)
