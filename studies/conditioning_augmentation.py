"""A super-resolution stage trained with and without noise on what it is given, and what imperfect input does to each.

python studies/conditioning_augmentation.py
"""

import math
from functools import cache
from typing import Any

import torch
from _arms import Arm
from _claims import Claim, unit
from _enlarged import BASELINES, CLIPS, COLUMNS, STEPS, blurred, enlarged, given, mean, more, plainly, told
from _main import main
from _measured import Json, Kept
from _recipes import ENLARGING, LARGE, SPAN, enlarger
from _study import Folders, Page, Study
from torch import Tensor

NOISE = 0.1
ARMS = {
    "without": Arm(enlarger(anchored=True), "ssr", common="anchored"),
    "mild": Arm(enlarger(anchored=True, augment=0.2), "ssr"),
    "strong": Arm(enlarger(anchored=True, augment=0.5), "ssr"),
}
REACH = {"mild": 9, "strong": 1}  # the lowest signal-to-noise ratio in training
RATIOS: dict[str, float | None] = {"no noise": None, "SNR 30": 30.0, "SNR 10": 10.0, "SNR 3": 3.0}
SAMPLED = {"mild": ("no noise", "SNR 30", "SNR 10"), "strong": ("no noise", "SNR 10", "SNR 3")}
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
        for arm, ratios in SAMPLED.items():
            for name in ratios:
                ratio = RATIOS[name]
                made = f"{arm}-{name}".replace(" ", "-")
                logsnr = None if ratio is None else math.log(ratio)
                numbers[what][f"{arm}, {name}"] = enlarged(kept, made, folders[arm], video, key, logsnr=logsnr)
    return numbers


def page(numbers: Json) -> Page:
    """The findings and the plot."""
    damages = ("blurred", "noisy")

    def precondition(text: str, what: str, one: str, other: str) -> Claim:
        apart = more(numbers[what][one], numbers[what][other])
        return Claim(f"{what} input: {text}", apart, unit("dB"), precondition=True)

    def nearer(text: str, what: str, one: str, testable: bool) -> Claim:
        apart = more(numbers[what][one], numbers[what]["without"])
        return Claim(f"{what} input: {text}, nearer than without", apart, unit("dB"), testable=testable)

    def steadier(text: str, what: str, one: str, testable: bool) -> Claim:
        apart = more(numbers[what]["without"], numbers[what][one], "flicker")
        form = unit("% of the range")
        told = f"{what} input: {text}, flickers less than without"
        return Claim(told, apart, form, exploratory=True, testable=testable)

    clean = {"without": "without", **{arm: f"{arm}, no noise" for arm in SAMPLED}}
    names = {"without": "trained without noise", **{arm: f"trained with {arm} noise" for arm in SAMPLED}}
    learnt = {arm: precondition(f"{names[arm]}, nearer than bicubic", "true", clean[arm], "bicubic") for arm in clean}
    holds = {arm: learnt[arm].verdict == learnt["without"].verdict == "shown" for arm in SAMPLED}
    claims = list(learnt.values())
    for what in ("true", *damages):
        copes = True
        if what in damages:
            best = max(BASELINES, key=lambda way: mean(numbers[what][way]))
            claims.append(precondition(f"trained without noise, nearer than {best}", what, "without", best))
            copes = claims[-1].verdict == "shown"
        for arm in SAMPLED:
            ways = {f"{names[arm]}, sampled without": f"{arm}, no noise"}
            if what in damages:
                ways[f"{names[arm]}, sampled at {FIXED}"] = f"{arm}, {FIXED}"
            for text, one in ways.items():
                claims += [make(text, what, one, holds[arm] and copes) for make in (nearer, steadier)]
    kinds = [(key, what) for key in ("psnr", "flicker") for what in ("true", *damages)]
    rows = [["", *(f"{what} input: {COLUMNS[key]}" for key, what in kinds)]]
    for name in numbers["true"]:
        rows.append([name, *(told(numbers[what][name], key) for key, what in kinds)])

    def draw(axes: Any) -> None:
        for axis, what in zip(axes, damages, strict=True):
            one = numbers[what]
            for colour, (arm, ratios) in enumerate(SAMPLED.items(), start=1):
                values = [mean(one[f"{arm}, {name}"]) for name in ratios]
                places = [list(RATIOS).index(name) for name in ratios]
                axis.plot(places, values, "o-", color=f"C{colour}", label=f"trained with {arm} noise")
            axis.axhline(mean(one["without"]), color="C0", linestyle=":", label="trained without")
            axis.axhline(mean(one["bicubic"]), color="grey", linestyle="--", label="bicubic")
            axis.set(title=f"{what} input", ylabel="PSNR, dB", xlabel="noise on the input when sampling")
            axis.set_xticks(range(len(RATIOS)), list(RATIOS))
        axes[0].legend(frameon=False)

    short = (
        "not testable. Trained with noise, no stage beats bicubic enlarging of true input, so none is shown to have "
        "learnt its task."
    )
    return Page(claims, rows, draw, limit="" if any(holds.values()) else short)


STUDY = Study(
    name="conditioning_augmentation",
    title="Noise conditioning augmentation, on and off",
    finding="adding noise of a random level to the low-resolution input in training, and of a fixed level when "
    "sampling, reduces the sensitivity of super-resolution models to the faults of the stage before (Ho et al. 2022, "
    "arXiv:2210.02303, section on cascades).",
    design={
        "network": "a small one that doubles the side of 24x40 clips and begins at what it is given (`anchored`); "
        f"trained without noise on its input, with mild noise (of levels down to SNR {REACH['mild']}, as mini's) and "
        f"with strong (down to {REACH['strong']}), all else equal",
        "training": f"{ENLARGING[0].examples} stretches of {SPAN} frames, batches of {ENLARGING[0].batch}",
        "clips": f"{CLIPS} held-out clips of {LARGE.frames} frames, {STEPS} steps of DDIM, from their true low "
        f"resolution and from damaged ones: halved and doubled again (blurred), or with noise of deviation {NOISE} "
        "(noisy)",
        "noise when sampling": f"{FIXED} where a claim says so, chosen before anything was measured, or none",
        "baselines": "bilinear and bicubic enlarging of the same input, damaged or not; claims of damaged input are "
        "against the better one",
        "intervals": "over seeds and clips, differences clip by clip (`studies/README.md`); PSNR is the mean of "
        "clips' own",
    },
    arms=ARMS,
    measure=measure,
    page=page,
    doubts={
        "Could it come from a bad baseline?": "Partly, yes. Without noise in training the stage beats bicubic "
        "enlarging of true input; with it neither arm does, after as many stretches. A difference of arms of which one "
        "is not shown to beat a plain way is not counted, here as on the [page of prediction](prediction.md). On "
        "blurred input not even the stage trained without noise is shown to beat bicubic enlarging.",
        "Does flicker say the same as PSNR?": "Not on noisy input that is sampled without noise: there both arms "
        "trained with noise flicker less (3.50 and 3.29 % beside 3.90), which is the paper's way, while the estimates "
        "of their PSNR are lower. On true input they flicker more; on blurred input so do the estimates. Flicker was "
        "measured with PSNR "
        "and first left out of this page; its claims were added when numbers were known, so they are exploratory.",
        "Does the paper say anything of true input?": "Not that training with noise helps there. Those claims tell "
        "whether the arms have learnt their task; their verdicts do not speak against the paper.",
        "Could it come from noise?": "The intervals are over seeds and clips. Strong noise was trained first; mild "
        "was added when that turned out below bicubic.",
        "Was the level when sampling chosen to suit?": "It was fixed before anything was measured. It did not suit: "
        "PSNR is higher with less noise on every input.",
        "Is noise on the input not what training with noise is made for?": "Yes; blur, which no arm was trained on, "
        "stands apart.",
        "Are these the faults of a generator?": "No: blur and independent noise are simpler than what a base model "
        "gets wrong.",
    },
    moves="training with noise until it beats bicubic on true input, and networks that are "
    "not anchored; input from a base model, with a measure that needs no truth.",
)

if __name__ == "__main__":
    main(STUDY)
