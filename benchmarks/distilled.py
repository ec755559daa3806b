"""Distilled stages beside their originals: quality by the number of steps, against time.

    python benchmarks/distilled.py runs/base-8 runs/base-1 runs/base-stochastic --out runs/distilled --page docs/results
    python benchmarks/distilled.py runs/base-8 --oscillating 4 --out runs/distilled
    python benchmarks/distilled.py runs/tsr1-8 runs/ssr1-8 --clips 16 --out runs/distilled
    python benchmarks/distilled.py mini --speed --until tsr3 --out runs/distilled

A name is that of a distillation, of which every finished round is measured, of one round, or of a model.

The first stage makes videos of held-out combinations, which the analytic recogniser judges: the original in --steps
steps of DDIM with guidance, which are two calls a step, and what was distilled in as many steps as it was distilled
for, of both samplers where it can. The same prompt has the same noise everywhere. --oscillating HIGH measures all ways
that can take it once more with guidance that is HIGH for a fifth of the steps and then 1 and HIGH in turn.

Super-resolution stages enlarge true held-out clips from their true low resolution: PSNR and SSIM against the truth, and
PSNR of the frames that a temporal stage was not given.

--speed times the whole cascade of a model, up to a stage: distilled stages as they are, and their originals in the
numbers of steps of the paper, 256 and 128, all with guidance. The two run in turns in one process.

Seconds are of sampling alone, a video, in batches of eight where the stage is the first. Prints and writes
distilled.md, distilled.json and distilled.png. What was measured is kept, and not measured again.
"""

import argparse
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from _distilled import Sampling, Way, ways
from _distilled_speed import measure_speed
from _judging import judge
from _kept import kept_value, write_json
from _options import positive
from _super_resolution import clip_counts

from zoetrope.data.toybox.held_out import held_out
from zoetrope.data.toybox.prompts import combinations
from zoetrope.metrics.intervals import wilson
from zoetrope.metrics.super_resolution import StageFidelity, TrueVideo, compare
from zoetrope.shapes import VideoShape
from zoetrope.video import Video
from zoetrope.video.resample import degrade

BATCH = 8
SMALL = VideoShape(frames=4, height=24, width=40, fps=0.75)  # enough of a clip to know it again
TITLES = {"psnr": "PSNR", "ssim": "SSIM", "psnr_new": "PSNR new", "interval": "95 % of all"}
ASPECTS = ("colour", "shape", "motion", "all")
Row = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, then write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="+", metavar="DISTILLATION|ROUND|MODEL")
    parser.add_argument("--out", type=Path, required=True, help="what is measured is kept here")
    parser.add_argument("--page", type=Path, help="folder of the table, the numbers and the plot; --out")
    parser.add_argument(
        "--steps", type=positive, nargs="+", default=[256, 128, 48, 16, 8], help="of the first original"
    )
    parser.add_argument(
        "--sr-steps", type=positive, nargs="+", default=[32, 16, 8], help="of super-resolution originals"
    )
    parser.add_argument("--oscillating", type=float, metavar="HIGH", help="measure oscillating guidance as well")
    parser.add_argument("--prompts", type=positive, default=128)
    parser.add_argument("--clips", nargs="+", default=["4"], metavar="N|STAGE=N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=positive)
    parser.add_argument("--speed", action="store_true", help="time whole cascades instead")
    parser.add_argument("--until", help="of --speed: the last stage; the default is the whole cascade")
    parser.add_argument("--divide", type=positive, default=1, metavar="N", help="of --speed: an Nth of all frames")
    parser.add_argument("--repeat", type=positive, default=1, help="of --speed: times that both are run")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    page: Path = options.page or options.out
    page.mkdir(parents=True, exist_ok=True)
    if options.speed:
        told, table = measure_speed(options.names, options)
        _publish(page, "distilled_speed", told, table)
        return
    rows = _measured(options)
    about = {"seed": options.seed, "threads": torch.get_num_threads(), "rows": rows}
    _publish(page, "distilled", about, "\n\n".join(_tables(rows)))
    _plot(rows, page / "distilled.png")


def _publish(page: Path, name: str, value: Any, table: str) -> None:
    print(table)
    write_json(page / f"{name}.json", value)
    (page / f"{name}.md").write_text(table + "\n")


def _measured(options: argparse.Namespace) -> list[Row]:
    """A row for each way. Prompt by prompt: what is there of an interrupted measurement is as much of every way."""
    compared = ways(options.names, steps=options.steps, enlarging_steps=options.sr_steps, high=options.oscillating)
    first = [way for way in compared if way.stage.source is None]
    others = [way for way in compared if way.stage.source is not None]
    counts = clip_counts(options.clips, [way.stage for way in others], usual=4)
    sampling, parts = Sampling(), {way.key(): list[Row]() for way in compared}
    for start in range(0, options.prompts, BATCH) if first else ():
        for way in first:
            parts[way.key()].append(_judged(sampling, way, range(start, min(options.prompts, start + BATCH)), options))
    for number in range(max(counts.values(), default=0)):
        for way in others:
            if number < counts[way.stage.name]:
                parts[way.key()].append(_compared(sampling, way, number, options))
    return [
        {**way.told(), **(_shares if way.stage.source is None else _fidelity)(parts[way.key()])} for way in compared
    ]


def _judged(sampling: Sampling, way: Way, numbers: range, options: argparse.Namespace) -> Row:
    """How many videos of these prompts are right, and the seconds that all took."""
    prompts = combinations(numbers.stop)[numbers.start :]
    texts = [prompt.text for prompt in prompts]
    asked = hashlib.sha256(json.dumps([texts, options.seed]).encode()).hexdigest()[:8]

    def make() -> Row:
        made = sampling(way, texts, numbers, options.seed)
        videos = [[Video.from_tensor(x, way.stage.shape.fps)] for x in made.videos]
        score = judge("combinations", prompts, videos)
        print(_progress(way, f"prompts to {numbers.stop}", made.seconds), flush=True)
        return {"seconds": made.seconds, **score}

    return kept_value(options.out / f"{way.stage.name}-{way.key()}-{asked}.json", make)


def _compared(sampling: Sampling, way: Way, number: int, options: argparse.Namespace) -> Row:
    """How near a held-out clip is to the truth when it is made of its true low resolution."""

    def make() -> Row:
        assert way.stage.source is not None
        clip = held_out(number, way.stage.shape)
        truth = clip.video[None]
        made = sampling(way, [clip.text], [number], options.seed, degrade(truth, way.stage.source))
        fidelity = compare(made.videos, TrueVideo.seen(truth, None), way.stage.source)
        print(_progress(way, f"clip {number}", made.seconds), flush=True)
        return {"seconds": made.seconds, "fidelity": fidelity.to_json()}

    small = held_out(number, SMALL)
    shown = hashlib.sha256(small.video.numpy().tobytes()).hexdigest()
    key = way.key(options.seed, small.text, shown)
    return kept_value(options.out / f"{way.stage.name}-{key}-clip{number:03}.json", make)


def _progress(way: Way, what: str, seconds: float) -> str:
    told = way.told()
    return f"{told['stage']}, {told['network']}, {told['steps']} {told['sampler']}, {what}: {seconds:.1f} s"


def _shares(parts: Sequence[Row]) -> Row:
    count = sum(part["videos"] for part in parts)
    shares = {aspect: sum(part[aspect] * part["videos"] for part in parts) / count for aspect in ASPECTS}
    return {"videos": count, **shares, "seconds": sum(part["seconds"] for part in parts) / count}


def _fidelity(parts: Sequence[Row]) -> Row:
    mean = StageFidelity.mean([StageFidelity.from_json(part["fidelity"]) for part in parts])
    seconds = sum(part["seconds"] for part in parts) / len(parts)
    new = None if mean.new is None else mean.new.psnr
    return {"clips": len(parts), "psnr": mean.every.psnr, "ssim": mean.every.ssim, "psnr_new": new, "seconds": seconds}


def _tables(rows: Sequence[Row]) -> list[str]:
    """A table of the first stage, and one of super-resolution, each if it was measured."""
    found = []
    if judged := [row for row in rows if "all" in row]:
        told = [row | {"interval": "{:.0%} to {:.0%}".format(*wilson(row["all"], row["videos"]))} for row in judged]
        shown = {"network": "", "steps": "", "sampler": "", "guidance": "", **dict.fromkeys(ASPECTS, ".1%")}
        found.append(f"{judged[0]['videos']} videos of each.\n\n" + _table(told, shown | {"interval": ""}))
    if enlarged := [row for row in rows if "psnr" in row]:
        shown = {"stage": "", "network": "", "steps": "", "sampler": "", "clips": ""}
        found.append(_table(enlarged, shown | {"psnr": ".2f", "ssim": ".4f", "psnr_new": ".2f"}))
    return found


def _table(rows: Sequence[Row], shown: Mapping[str, str]) -> str:
    """Rows in Markdown: the values that `shown` names, in its formats, and the seconds."""
    columns = {**shown, "seconds": ".2f"}
    cells = [["-" if row[name] is None else format(row[name], form) for name, form in columns.items()] for row in rows]
    head = [TITLES.get(name, name) for name in columns]
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *cells])


def _plot(rows: Sequence[Row], path: Path) -> None:
    """Quality against time: a curve for each network, sampler and guidance, a panel for each stage."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    stages = list(dict.fromkeys(row["stage"] for row in rows))
    figure, panels = plt.subplots(1, len(stages), figsize=(6 * len(stages), 4), squeeze=False)
    for axis, stage in zip(panels[0], stages, strict=True):
        own = [row for row in rows if row["stage"] == stage]
        measure = "all" if "all" in own[0] else "psnr"
        for name in dict.fromkeys(_curve(row) for row in own):
            points = sorted((row["seconds"], row[measure], row["steps"]) for row in own if _curve(row) == name)
            axis.plot([point[0] for point in points], [point[1] for point in points], "o-", label=name)
            for seconds, quality, steps in points:
                axis.annotate(str(steps), (seconds, quality), textcoords="offset points", xytext=(4, 4), fontsize=7)
        axis.set(xscale="log", xlabel="seconds a video", ylabel="all right" if measure == "all" else "PSNR, dB")
        axis.set_title(stage)
        axis.legend(frameon=False, fontsize=8)
        axis.grid(alpha=0.25)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def _curve(row: Row) -> str:
    return f"{row['network']}, {row['sampler']}" + ("" if row["guidance"] == "0" else f", guidance {row['guidance']}")


if __name__ == "__main__":
    main()
