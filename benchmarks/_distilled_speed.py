"""How long whole cascades take: distilled ones, and their originals in the numbers of steps of the paper."""

import argparse
import hashlib
import json
import statistics
import time
from collections.abc import Sequence
from typing import Any

import torch
from _kept import kept_value

from zoetrope.cascade.spec import CascadeSpec, StageSpec
from zoetrope.models.cascade import Cascade
from zoetrope.models.opening import OpenModel, open_model
from zoetrope.models.precision import compute_dtype
from zoetrope.samplers.ddim import DDIM

FIRST, OTHERS = 256, 128  # steps [Ho et al. 2022, arXiv:2210.02303, Table 1]; guided, so two calls each
PROMPT = "a red star spinning"


def measure_speed(names: Sequence[str], options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Seconds of the stages of both cascades, and a table of them.

    Raises ValueError if a stage that is to run is not distilled, or if its original is not there.
    """
    model = open_model(names)
    stages = model.spec.until(options.until)
    if plain := [stage.name for stage in stages if stage.distilled is None]:
        raise ValueError(f"--speed: expected distilled stages alone, got {', '.join(plain)} that are not; see --until")
    originals = model.originals()
    slow = originals._replace(spec=_as_published(originals.spec))
    both = {
        name: Cascade.of(_shortened(one, options.divide), device=device, dtype=compute_dtype(device))
        for device in [torch.device("cuda" if torch.cuda.is_available() else "cpu")]
        for name, one in (("distilled", model), ("original", slow))
    }
    _once(both["distilled"], stages[0].name)  # reads the text and wakes the machine
    passes: dict[str, list[dict[str, float]]] = {name: [] for name in both}
    for number in range(options.repeat):
        for name, cascade in both.items():
            told = [cascade.spec.to_json(), options.until, torch.get_num_threads(), str(cascade.device)]
            key = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]

            def run(cascade: Cascade = cascade, name: str = name) -> dict[str, float]:
                seconds = _once(cascade, options.until)
                print(f"{name}: {sum(seconds.values()):.1f} s", flush=True)
                return seconds

            passes[name].append(kept_value(options.out / f"speed-{name}-{key}-{number}.json", run))
    return _told(both, passes, [stage.name for stage in stages])


def _once(cascade: Cascade, until: str | None) -> dict[str, float]:
    """Seconds of each stage of one video, of the whole run in order: reading weights is a part of it."""
    seconds: dict[str, float] = {}
    before = time.perf_counter()
    for progress in cascade.stream([PROMPT], until=until):
        done, name = progress.done, progress.stage
        del progress
        if done:
            now = time.perf_counter()
            seconds[name], before = now - before, now
    return seconds


def _as_published(spec: CascadeSpec) -> CascadeSpec:
    """Every stage in as many steps as in the paper, and guided, be it for the time alone."""

    def slow(stage: StageSpec) -> StageSpec:
        update: dict[str, Any] = {"steps": FIRST if stage.source is None else OTHERS, "sampler": DDIM()}
        if not any(stage.sampling.weights()):
            update["guidance"] = 1.0
        return stage.with_(sampling=stage.sampling.with_(**update))

    return spec.with_(stages=tuple(slow(stage) for stage in spec.stages))


def _shortened(model: OpenModel, divide: int) -> OpenModel:
    """The same cascade for videos of an Nth of the frames, at the same frames a second.

    Raises ValueError unless the frames of every stage can be divided so.
    """
    if odd := [stage for stage in model.spec.stages if stage.shape.frames % divide]:
        raise ValueError(
            f"--divide: expected a divisor of the {odd[0].shape.frames} frames of {odd[0].name}, got {divide}"
        )
    value = model.spec.with_(teachers=()).to_json()
    for stage in value["stages"]:
        for shape in (stage["shape"], *(told["shape"] for told in stage["inputs"] if "shape" in told)):
            shape["frames"] //= divide
    return model._replace(spec=CascadeSpec.from_json(value))


def _told(
    both: dict[str, Cascade], passes: dict[str, list[dict[str, float]]], names: Sequence[str]
) -> tuple[dict[str, Any], str]:
    """The medians of all passes, stage by stage and of the whole."""
    every = [*names, "all"]
    sums = {name: [{**one, "all": sum(one.values())} for one in own] for name, own in passes.items()}
    medians = {
        name: {part: statistics.median(one[part] for one in own) for part in every} for name, own in sums.items()
    }
    lines = [
        "| stage | frames | steps | original's steps | seconds | original's | times |",
        "|---|---|---|---|---|---|---|",
    ]
    for part in every:
        fast, slow = medians["distilled"][part], medians["original"][part]
        stages = [cascade.spec.stage(part) for cascade in both.values()] if part != "all" else []
        cells = [str(stages[0].shape.frames), *(str(stage.sampling.steps) for stage in stages)] if stages else [""] * 3
        lines.append(f"| {part} | {' | '.join(cells)} | {fast:.2f} | {slow:.2f} | {slow / fast:.1f} |")
    ratio = medians["original"]["all"] / medians["distilled"]["all"]
    value = {"prompt": PROMPT, "threads": torch.get_num_threads(), "passes": passes, "medians": medians, "times": ratio}
    return value, "\n".join(lines)
