"""A super-resolution stage trained with and without noise on what it is given, and what imperfect input does to each.

python studies/conditioning_augmentation.py
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from _judge import clips, restored, shares
from _recipes import ENLARGING, LARGE, SMALL, enlarger
from _study import Arm, Json, Kept, Page, Sampler, Study, main, sampled_with
from torch import Tensor
from torch.nn.functional import avg_pool2d

from zoetrope.cascade.resample import degrade
from zoetrope.data.toybox.prompts import familiar
from zoetrope.training.trained import gather

CLIPS = 24
ARMS = {
    "with": Arm(enlarger(ENLARGING), "ssr", common="enlarger"),
    "without": Arm(enlarger(ENLARGING, augment=0.0), "ssr"),
}
LEVELS = {"1": 1.0, "3": 3.0, "10": 10.0, "30": 30.0, "none": None}  # signal-to-noise ratios when sampling
NOISE = 0.08
INPUTS = {"true": "true input", "damaged": "damaged input"}


def damaged(video: Tensor) -> Tensor:
    """A low-resolution video (B, C, F, h, w) with the faults of a weak generator: blurred, and noisy in every frame."""
    frames = video.transpose(1, 2).flatten(0, 1)
    soft = avg_pool2d(frames, 3, stride=1, padding=1, count_include_pad=False)
    noise = torch.randn(soft.shape, generator=torch.Generator().manual_seed(0))
    return (soft + NOISE * noise).unflatten(0, (len(video), -1)).transpose(1, 2).clamp(-1, 1)


def _sampled(folder: Path, level: float | None, prompts: list[str], given: Tensor) -> Tensor:
    sampler = Sampler.of_run(folder)
    logsnr = None if level is None else math.log(level)
    return sampler(prompts, given, batch=4, stage=sampled_with(sampler.stage, low_res_logsnr=logsnr))


def _generated() -> Tensor:
    """What mini's base makes of the prompts, every second frame: (B, C, 8, 24, 40)."""
    model = gather(["mini"]).originals()
    stage = model.spec.stages[0]
    sampler = Sampler(stage, model.spec.text, model.weights[stage.name])
    return sampler([prompt.text for prompt in familiar(CLIPS)], batch=8)[:, :, ::2]


def measure(folders: Mapping[str, Path], kept: Kept) -> Json:
    """Both arms on true and damaged input, against the truth; and on generated input, judged by the recogniser."""
    truth, told = clips(CLIPS, LARGE)
    small = degrade(truth, SMALL)
    inputs = {"true": small, "damaged": damaged(small)}
    numbers: Json = {"levels": {}, "generated": {}}
    for name, level in LEVELS.items():
        numbers["levels"][f"with, {name}"] = {
            kind: kept(
                f"with-{name}-{kind}", lambda v=video, a=level: restored(_sampled(folders["with"], a, told, v), truth)
            )
            for kind, video in inputs.items()
        }
    numbers["levels"]["without"] = {
        kind: kept(f"without-{kind}", lambda v=video: restored(_sampled(folders["without"], None, told, v), truth))
        for kind, video in inputs.items()
    }
    generated: list[Tensor] = []
    prompts = familiar(CLIPS)
    texts = [prompt.text for prompt in prompts]

    def judged(folder: Path | None, level: float | None) -> Json:
        if not generated:
            generated.append(_generated())
        made = generated[0] if folder is None else _sampled(folder, level, texts, generated[0])
        return shares(made, prompts, SMALL.fps)

    numbers["generated"]["input itself"] = kept("generated-input", lambda: judged(None, None))
    for name, level in LEVELS.items():
        made = kept(f"generated-with-{name}", lambda level=level: judged(folders["with"], level))
        numbers["generated"][f"with, {name}"] = made
    numbers["generated"]["without"] = kept("generated-without", lambda: judged(folders["without"], None))
    return numbers


def page(numbers: Json) -> Page:
    """The findings and the plot."""
    levels, generated = numbers["levels"], numbers["generated"]
    best = max((f"with, {name}" for name in LEVELS), key=lambda name: levels[name]["damaged"]["psnr"])
    damaged_with, damaged_without = levels[best]["damaged"]["psnr"], levels["without"]["damaged"]["psnr"]
    true_with, true_without = levels["with, none"]["true"]["psnr"], levels["without"]["true"]["psnr"]
    lost_with, lost_without = true_with - damaged_with, true_without - damaged_without
    verdict = (
        f"of true input the stage trained with augmentation makes {true_with:.1f} dB (sampled without noise) and the "
        f"one trained without {true_without:.1f} dB; of damaged input, at best (SNR {best.removeprefix('with, ')}), "
        f"{damaged_with:.1f} and {damaged_without:.1f} dB. That augmentation makes a stage less sensitive to damage "
        f"{'was seen' if lost_with < lost_without else 'was **not** seen'}: it loses {lost_with:.1f} dB instead of "
        f"{lost_without:.1f}. That it makes more of damaged input after equally long a training "
        f"{'was seen' if damaged_with > damaged_without else 'was **not** seen'}: with it there is more to learn."
    )
    rows = [
        ["trained, sampled at SNR", *(f"{told}: PSNR, dB" for told in INPUTS.values()), "generated input: shape right"]
    ]
    for name, one in levels.items():
        rows.append([name, *(f"{one[kind]['psnr']:.2f}" for kind in INPUTS), f"{generated[name]['shape']:.0%}"])
    rows.append(["the input itself", "", "", f"{generated['input itself']['shape']:.0%}"])

    def draw(axes: Any) -> None:
        places = range(len(LEVELS))
        for kind, told in INPUTS.items():
            line = axes[0].plot(places, [levels[f"with, {name}"][kind]["psnr"] for name in LEVELS], "o-", label=told)
            axes[0].axhline(levels["without"][kind]["psnr"], color=line[0].get_color(), linestyle=":")
        axes[0].set(ylabel="PSNR, dB (dotted: trained without)", xlabel="signal-to-noise ratio of the input")
        axes[1].plot(places, [generated[f"with, {name}"]["shape"] for name in LEVELS], "o-", label="trained with")
        axes[1].axhline(generated["without"]["shape"], linestyle=":", label="trained without")
        axes[1].axhline(generated["input itself"]["shape"], color="grey", linestyle="--", label="the input itself")
        axes[1].set(ylabel="generated input: shape right", xlabel="signal-to-noise ratio of the input", ylim=(0, 1))
        for axis in axes:
            axis.set_xticks(places, list(LEVELS))
            axis.legend(frameon=False)

    return Page(verdict, rows, draw)


STUDY = Study(
    name="conditioning_augmentation",
    title="Noise conditioning augmentation, on and off",
    finding="adding noise of a random level to the low-resolution input in training, and of a fixed level when "
    "sampling, "
    "reduces the sensitivity of super-resolution models to the faults of the stage before (Ho et al. 2022, "
    "arXiv:2210.02303, section on cascades).",
    setup="One small network that doubles the side of 24x40 clips, trained with noise of a random level on its input "
    "and "
    f"without any. {CLIPS} held-out clips of eight frames are enlarged from their true low resolution, and from a "
    "damaged "
    f"one: blurred over 3x3 pixels, with noise of deviation {NOISE}. As many clips that mini's base made of prompts "
    "are "
    "judged by the recogniser.",
    arms=ARMS,
    measure=measure,
    page=page,
)

if __name__ == "__main__":
    main(STUDY)
