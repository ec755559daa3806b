"""Distillation of a trained base model: quality by the number of steps, for two samplers and two kinds of guidance.

python studies/distillation.py
"""

import time
from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from _judge import shares
from _study import DEVICE, Distilling, Json, Kept, Page, Sampler, Study, main, sampled_with, texts
from torch import Tensor

from zoetrope.cascade.sample import Draw, stage_video
from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.data.toybox.prompts import combinations
from zoetrope.models.runs import average_file
from zoetrope.recipes.mini import recipe as mini
from zoetrope.shapes import VideoShape
from zoetrope.training.distil import Distillation
from zoetrope.training.precision import compute_dtype
from zoetrope.training.spec import DistilSpec, Phase, Recipe
from zoetrope.training.trained import Gathered, gather

CLIP = VideoShape(frames=4, height=24, width=40, fps=0.75)
PROMPTS, BATCH = 64, 16
ORIGINAL = (128, 32, 16, 8, 4, 2, 1)
START, HIGH, CONSTANT = 64, 4.0, 0.2  # of oscillating guidance: the high weight, and the share of constant steps
ASPECTS = ("colour", "shape")
NEAR = 0.03
SAMPLERS = {"ddim": 1, "stochastic": 2}  # with the steps where halving ends


@cache
def _model() -> Gathered:
    model = gather(["mini"])
    return model.originals() if model.spec.stages[0].distilled else model


def _recipe(sampler: str, steps: int) -> Recipe:
    """The base of mini as it ships, on clips of four frames."""
    model, known = _model().spec, mini()
    stage = model.stages[0].model_copy(update={"shape": CLIP})
    cascade = CascadeSpec(name="study", text=model.text, stages=(stage,))
    distil = DistilSpec.from_json(
        {
            "start": START,
            "steps": steps,
            "sampler": sampler,
            "weights": [0.0, HIGH],
            "guidance": Phase(examples=3000, batch=16, peak=5e-4).to_json(),
            "halving": Phase(examples=800, batch=16, peak=4e-4).to_json(),
            "last": Phase(examples=1500, batch=16, peak=4e-4).to_json(),
            "warm_up": 200,
            "half_life": 400,
        }
    )
    spec = known.train_spec("base").model_copy(update={"phases": (Phase(examples=1),), "sample_every": 0})
    return Recipe(name="study", cascade=cascade, training={"base": spec}, distillation={"base": distil})


def _weights() -> Path:
    return _model().weights[_model().spec.stages[0].name]


def _sampled(stage: StageSpec, weights: Path, guidance: str) -> Json:
    """Shares of right clips, and the seconds of a clip."""
    steps = stage.sampling.steps
    if guidance == "oscillating":
        wave = {"high": HIGH, "low": 1.0, "constant": max(1, round(CONSTANT * steps))}
        stage = sampled_with(stage, guidance=wave)
    prompts, network = combinations(PROMPTS), Sampler(stage, _model().spec.text, weights).network
    given = texts(_model().spec.text, [prompt.text for prompt in prompts]).to(DEVICE, torch.float32)
    made, start = list[Tensor](), time.perf_counter()
    for rows in torch.arange(PROMPTS).split(BATCH):
        draw = Draw(seed=0, samples=rows.tolist(), device=DEVICE, dtype=compute_dtype(DEVICE))
        last = stage_video(stage, network, given.select(rows), None, draw)
        made.append(last.float().clamp(-1, 1).cpu())
    seconds = (time.perf_counter() - start) / PROMPTS
    found = shares(torch.cat(made), prompts, stage.shape.fps)
    return {"guidance": guidance, "steps": steps, "seconds": seconds, **{key: found[key] for key in ASPECTS}}


def measure(folders: Mapping[str, Path], kept: Kept) -> Json:
    """Every number of steps of the original and of each distillation, with constant and oscillating guidance."""
    original = _recipe("ddim", 1).cascade.stages[0]
    found: list[Json] = []
    for guidance in ("constant", "oscillating"):
        for steps in ORIGINAL:
            stage = sampled_with(original, steps=steps)
            name = f"original-{guidance}-{steps}"
            made = kept(name, partial(_sampled, stage, _weights(), guidance))
            found.append({"network": "original", **made})
        for arm, folder in folders.items():
            for part in Distillation.open(folder).rounds():
                if part.folder.name == "guided":
                    continue
                stage, weights = part.recipe.cascade.stage("base"), average_file(part.folder)
                name = f"{arm}-{guidance}-{stage.sampling.steps}"
                made = kept(name, partial(_sampled, stage, weights, guidance))
                found.append({"network": f"distilled, {arm}", **made})
    return {"points": found}


def page(numbers: Json) -> Page:
    """The findings and the plot."""
    points: list[Json] = numbers["points"]
    named = {(point["network"], point["guidance"], point["steps"]): point for point in points}
    best = named["original", "constant", ORIGINAL[0]]
    eight, plain = named["distilled, ddim", "constant", 8], named["original", "constant", 8]
    noisy, wave = named["distilled, stochastic", "constant", 8], named["distilled, ddim", "oscillating", 8]
    taught = named["original", "oscillating", ORIGINAL[0]]
    verdict = (
        f"of the original in {best['steps']} steps {best['shape']:.0%} of the clips have the right shape, in 8 steps "
        f"{plain['shape']:.0%}. Distilled to 8 steps {eight['shape']:.0%}, with "
        f"{2 * best['steps'] / eight['steps']:.0f} times fewer calls of the network: "
        f"that they lose no more than {NEAR:.0%} {_seen(eight['shape'] >= best['shape'] - NEAR)}. In 8 "
        f"steps of the stochastic sampler {noisy['shape']:.0%}: "
        f"there it {_seen(noisy['shape'] >= best['shape'] - NEAR)}. "
        f"With oscillating guidance {wave['shape']:.0%} in 8 steps against {taught['shape']:.0%} of the original in "
        f"{taught['steps']}: that it distils as well {_seen(wave['shape'] >= taught['shape'] - NEAR)}. Of {PROMPTS} "
        f"clips a share of {best['shape']:.0%} is known to within {1.96 * _error(best['shape']):.0%} (95 %)."
    )
    rows = [["network", "guidance", "steps", "seconds a clip", *ASPECTS]]
    for point in points:
        cells = [f"{point[aspect]:.0%}" for aspect in ASPECTS]
        rows.append([point["network"], point["guidance"], str(point["steps"]), f"{point['seconds']:.3f}", *cells])

    def draw(axes: Any) -> None:
        for network in dict.fromkeys(point["network"] for point in points):
            for guidance, line in (("constant", "o-"), ("oscillating", "x:")):
                own = [point for point in points if (point["network"], point["guidance"]) == (network, guidance)]
                for axis, key in zip(axes, ("steps", "seconds"), strict=True):
                    _line(axis, own, key, line, f"{network}, {guidance}")
        axes[0].set(xscale="log", xlabel="steps", ylabel="shape right", ylim=(0, 1))
        axes[1].set(xscale="log", xlabel="seconds a clip", ylabel="shape right", ylim=(0, 1))
        axes[0].legend(frameon=False, fontsize=7)

    return Page(verdict, rows, draw)


def _line(axis: Any, points: Sequence[Json], key: str, line: str, label: str) -> None:
    axis.plot([point[key] for point in points], [point["shape"] for point in points], line, label=label)


def _error(share: float) -> float:
    """The standard error of a share of the prompts."""
    return float((share * (1 - share) / PROMPTS) ** 0.5)


def _seen(seen: bool) -> str:
    return "was seen" if seen else "was **not** seen"


STUDY = Study(
    name="distillation",
    title="Distillation: eight steps instead of hundreds",
    finding="distilled to eight steps of one call each, for constant and for oscillating guidance, the cascade is "
    "about 18 times as fast and its videos look as good; a stochastic sampler is used beside DDIM (Ho et al. 2022, "
    "arXiv:2210.02303, section on progressive distillation).",
    setup="The base stage of mini as it ships, on clips of four frames over its whole duration, distilled for "
    f"guidance of weights up to {HIGH:g} and then from {START} steps to 1, once for each sampler. {PROMPTS} held-out "
    "combinations with the same noise everywhere, judged by the recogniser, which reads no motion from four frames, "
    "not even from true ones; the original is sampled with DDIM and "
    "asked twice in each step. Constant guidance is that of mini; the oscillating one is constant for a fifth of the "
    f"steps, at {HIGH:g}, and then 1 and {HIGH:g} in turn. Seconds are of batches of {BATCH}, and "
    "count whatever else the machine did.",
    arms={name: Distilling(_recipe(name, steps), _weights) for name, steps in SAMPLERS.items()},
    measure=measure,
    page=page,
)

if __name__ == "__main__":
    main(STUDY)
