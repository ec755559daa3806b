"""Guidance of a trained base model: how strong, constant or oscillating, with static or dynamic threshold.

python studies/guidance.py
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from _judge import clips, shares
from _study import Json, Kept, Page, Sampler, Study, main, sampled_with
from torch import Tensor

from zoetrope.data.toybox.prompts import combinations
from zoetrope.training.trained import gather

PROMPTS = 32
STEPS = 16
WEIGHTS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)
EDGE = 0.98  # values beyond it count as saturated
OSCILLATING = {"low": 1.0, "constant": 5}
WAYS: Mapping[str, str | float] = {
    "constant, static": "static",
    "constant, dynamic": 0.995,
    "oscillating, static": "static",
    "oscillating, dynamic": 0.995,
}


@cache
def _sampler() -> Sampler:
    model = gather(["mini"]).originals()
    stage = model.spec.stages[0]
    return Sampler(stage, model.spec.text, model.weights[stage.name])


def _saturation(videos: Tensor) -> float:
    return float((videos.abs() > EDGE).float().mean())


def _one(guidance: Any, threshold: Any) -> Json:
    sampler, prompts = _sampler(), combinations(PROMPTS)
    stage = sampled_with(sampler.stage, guidance=guidance, threshold=threshold, steps=STEPS)
    made = sampler([prompt.text for prompt in prompts], batch=8, stage=stage)
    return {**shares(made, prompts, stage.shape.fps), "saturation": _saturation(made)}


def measure(folders: Mapping[str, Path], kept: Kept) -> Json:
    """Alignment and saturation of every way and weight; what true clips have for comparison."""
    points = []
    for way, threshold in WAYS.items():
        for weight in WEIGHTS:
            guidance: Any = weight
            if way.startswith("oscillating"):
                if weight == 0:
                    continue
                guidance = {**OSCILLATING, "high": weight}
            name = f"{way.replace(', ', '-')}-{weight:g}"
            made = kept(name, lambda guidance=guidance, threshold=threshold: _one(guidance, threshold))
            points.append({"way": way, "weight": weight, **made})
    truth = kept("truth", lambda: {"saturation": _saturation(clips(PROMPTS, _sampler().stage.shape)[0])})
    return {"points": points, "truth": truth}


def page(numbers: Json) -> Page:
    """The findings and the plot."""
    points, truth = numbers["points"], numbers["truth"]["saturation"]
    named = {(point["way"], point["weight"]): point for point in points}
    strong, none = named["constant, static", WEIGHTS[-1]], named["constant, static", 0.0]
    dynamic = named["constant, dynamic", WEIGHTS[-1]]
    waving = named["oscillating, static", WEIGHTS[-1]]
    best = max((point for point in points if point["weight"] > 0), key=lambda point: point["all"])
    verdict = (
        f"without guidance {none['all']:.0%} of the clips are right in all, with it at best {best['all']:.0%}: that "
        f"guidance improves alignment {_seen(best['all'] > none['all'] + 0.02)}. At weight {WEIGHTS[-1]:g} "
        f"{strong['all']:.0%} are right, and {strong['saturation']:.0%} of all values are saturated "
        f"({none['saturation']:.0%} without guidance, {truth:.0%} in true clips): that strong guidance saturates "
        f"{_seen(strong['saturation'] > none['saturation'])}. With the dynamic threshold {dynamic['saturation']:.0%} "
        f"are saturated and {dynamic['all']:.0%} right: that it keeps strong guidance usable "
        f"{_seen(dynamic['all'] > strong['all'] + 0.02)}. With oscillating guidance {waving['saturation']:.0%} are "
        f"saturated and {waving['all']:.0%} right: that it does "
        f"{_seen(waving['saturation'] < strong['saturation'] and waving['all'] > strong['all'] + 0.02)}."
    )
    rows = [["guidance, threshold", "weight", "colour", "shape", "motion", "all", "saturated"]]
    for point in points:
        cells = [f"{point[aspect]:.0%}" for aspect in ("colour", "shape", "motion", "all", "saturation")]
        rows.append([point["way"], f"{point['weight']:g}", *cells])
    rows.append(["true clips", "", "", "", "", "", f"{truth:.0%}"])

    def draw(axes: Any) -> None:
        for way in WAYS:
            own = [point for point in points if point["way"] == way]
            for axis, key in zip(axes, ("all", "saturation"), strict=True):
                axis.plot([point["weight"] for point in own], [point[key] for point in own], "o-", label=way)
        axes[0].set(xlabel="guidance weight (the highest)", ylabel="all right", ylim=(0, 1))
        axes[1].set(xlabel="guidance weight (the highest)", ylabel=f"share of values beyond {EDGE}")
        axes[1].axhline(truth, color="grey", linestyle=":", label="true clips")
        axes[0].legend(frameon=False, fontsize=8)

    return Page(verdict, rows, draw)


def _seen(seen: bool) -> str:
    return "was seen" if seen else "was **not** seen"


STUDY = Study(
    name="guidance",
    title="Guidance: weight, oscillation, threshold",
    finding="large guidance weights improve alignment and saturate images; dynamic thresholding keeps them usable, and "
    "guidance that oscillates between a high and a low weight improves alignment with less saturation (Ho et al. 2022, "
    "arXiv:2210.02303, section on classifier-free guidance).",
    setup=f"The base stage of mini as it ships, {PROMPTS} held-out combinations, one clip of sixteen frames each, "
    f"{STEPS} steps "
    f"of DDIM. Oscillating guidance is constant for {OSCILLATING['constant']} steps and then alternates between the "
    "weight "
    "and 1. The dynamic threshold is the 0.995 quantile of a clip. Toybox is made of saturated colours: what counts "
    "is the "
    "distance from the true clips.",
    arms={},
    measure=measure,
    page=page,
)

if __name__ == "__main__":
    main(STUDY)
