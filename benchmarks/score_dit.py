"""Videos of one model on several grids, judged by the recogniser: does it do as well on each?

    python benchmarks/score_dit.py --model runs/dit --out runs/score_dit

The same familiar prompts on every grid: two shapes in two lengths, as recipe `dit` is trained on, and a shape between
them that it never saw. Every video has noise of its own: noise k of prompt n is that of seed k and sample n, on all
grids. Printed, and written to scores.json and table.md, are for each grid the shares of videos whose colour, shape,
motion, and all of them are right, with intervals clustered by prompt; beside them the shares of true clips and of
chance; and how far each grid is from the best, prompt by prompt, with Student's interval over prompts, widened by two
prompts that differ as in `studies/README.md`. A grid is within 5 points if all of the interval is. The best is chosen
by these same numbers, so that a difference from it is rather too large than too small. Grids that scores.json has of
the same weights and settings are not made again.
"""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _kept import settings_of
from _options import positive

from zoetrope.data.toybox.framing import Framing
from zoetrope.data.toybox.prompts import Prompt, familiar
from zoetrope.data.toybox.render import render
from zoetrope.data.toybox.scene import scene
from zoetrope.data.toybox.vocabulary import COLOURS, FLAT_SHAPES, MOTIONS
from zoetrope.metrics.intervals import Mean, Proportion
from zoetrope.metrics.recogniser import recognise
from zoetrope.models.cascade import Cascade
from zoetrope.models.opening import open_model
from zoetrope.shapes import VideoShape

BATCH = 16
SIZES, UNSEEN, LENGTHS = ((24, 40), (40, 24)), (32, 32), (16, 8)
ASPECTS = ("colour", "shape", "motion", "all")
CHANCE = {"colour": 1 / len(COLOURS), "shape": 1 / len(FLAT_SHAPES), "motion": 1 / len(MOTIONS)}
WITHIN = 0.05
Hits = dict[str, list[list[bool]]]  # aspect -> noises of prompts


def grids() -> list[tuple[int, int, int]]:
    """Frames, height, width of each grid: the trained ones, then those of the unseen shape."""
    return [(frames, *size) for size in (*SIZES, UNSEEN) for frames in LENGTHS]


def judged(prompt: Prompt, frames: Any, fps: float) -> dict[str, bool]:
    """Whether each aspect of a clip is what its prompt says."""
    seen, thing = recognise(frames, fps), prompt.script.things[0]
    truth = {"colour": thing.colour, "shape": thing.shape, "motion": prompt.script.motion}
    right = {aspect: getattr(seen, aspect) == value for aspect, value in truth.items()}
    return {**right, "all": all(right.values())}


def by_aspect(each: Sequence[Sequence[dict[str, bool]]]) -> Hits:
    """Noises of prompts, aspect by aspect."""
    return {aspect: [[one[aspect] for one in row] for row in each] for aspect in ASPECTS}


def made(cascade: Cascade, prompts: Sequence[Prompt], grid: tuple[int, int, int], noises: int) -> Hits:
    """What the model makes on a grid, in as many noises of each prompt; every video has noise of its own."""
    frames, height, width = grid
    own, rows = cascade.tuned(size=(height, width), frames=frames), list[list[dict[str, bool]]]()
    for noise in range(noises):
        row = list[dict[str, bool]]()
        for start in range(0, len(prompts), BATCH):
            part = range(start, min(start + BATCH, len(prompts)))
            for now in own.stream([prompts[number].text for number in part], seed=noise, samples=part):
                videos = now.videos() if now.done else []
            row += [judged(prompts[n], video.frames, video.fps) for n, video in zip(part, videos, strict=True)]
        rows.append(row)
    return by_aspect(rows)


def true(prompts: Sequence[Prompt], grid: tuple[int, int, int], fps: float) -> Hits:
    """What the recogniser says of true clips: the most that can be reached."""
    frames, height, width = grid
    shape = VideoShape(frames=frames, height=height, width=width, fps=fps)
    framing = Framing.whole(shape)
    drawn = (render(scene(prompt.script, number), shape, framing=framing) for number, prompt in enumerate(prompts))
    return by_aspect([[judged(prompt, clip, fps) for prompt, clip in zip(prompts, drawn, strict=True)]])


def shares(hits: Hits) -> dict[str, Proportion]:
    """The share of each aspect, clustered by prompt."""
    return {aspect: _share(rows) for aspect, rows in hits.items()}


def _share(rows: list[list[bool]]) -> Proportion:
    numbered = [(hit, number) for row in rows for number, hit in enumerate(row)]
    return Proportion.of([hit for hit, _ in numbered], [number for _, number in numbered])


def apart(one: Hits, other: Hits) -> tuple[float, float]:
    """How much more often all is right in one way than in another, and the half-width of the interval."""
    means = ([sum(column) / len(column) for column in zip(*hits["all"], strict=True)] for hits in (one, other))
    values = [a - b for a, b in zip(*means, strict=True)]
    half = Mean.of([*values, 1.0, -1.0]).half
    assert half is not None
    return sum(values) / len(values), half


def verdict(difference: float, half: float) -> str:
    """What the interval of a difference says of 5 points."""
    if abs(difference) + half <= WITHIN:
        return "within 5 points"
    return "not within 5 points" if abs(difference) - half > WITHIN else "not shown"


def table(found: dict[str, Hits], truth: dict[str, Hits]) -> str:
    """All grids as Markdown."""
    best = max(found, key=lambda name: shares(found[name])["all"].value)
    heads = ("grid", *(f"{aspect}: made, true" for aspect in ASPECTS), f"less than {best}, points", "verdict")
    lines = [heads, ("---",) * len(heads)]
    for name, hits in found.items():
        reached, most = shares(hits), shares(truth[name])
        cells = [
            f"{reached[a].value:.1%} ({reached[a].low:.0%} to {reached[a].high:.0%}), {most[a].value:.1%}"
            for a in ASPECTS
        ]
        difference, half = apart(found[best], hits)
        last = ("", "") if name == best else (f"{100 * difference:.1f} ± {100 * half:.1f}", verdict(difference, half))
        lines.append((name, *cells, *last))
    chance = CHANCE | {"all": CHANCE["colour"] * CHANCE["shape"] * CHANCE["motion"]}
    lines.append(("chance", *(f"{chance[aspect]:.1%}" for aspect in ASPECTS), "", ""))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Generate, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--prompts", type=positive, default=256)
    parser.add_argument("--noises", type=positive, default=2)
    options = parser.parse_args(arguments)
    model = open_model([options.model])
    cascade, fps = Cascade.from_pretrained(options.model), model.spec.stages[0].shape.fps
    asked = [options.prompts, options.noises, settings_of(model, cascade.spec.until(cascade.spec.default_until))]
    told = json.loads(json.dumps(asked))  # as it is read back
    options.out.mkdir(parents=True, exist_ok=True)
    path, prompts = options.out / "scores.json", familiar(options.prompts)
    there = json.loads(path.read_text()) if path.exists() else {}
    found: dict[str, Hits] = there["grids"] if there.get("of") == told else {}
    for grid in grids():
        name = "x".join(map(str, grid))
        if name not in found:
            found[name] = made(cascade, prompts, grid, options.noises)
            partial = path.with_name(f".{path.name}.partial")
            partial.write_text(json.dumps({"of": told, "grids": found}))
            os.replace(partial, path)
    text = table(found, {"x".join(map(str, grid)): true(prompts, grid, fps) for grid in grids()})
    (options.out / "table.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
