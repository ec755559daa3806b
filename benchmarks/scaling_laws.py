"""Time and memory against frames, resolution, batch and parameters, with fitted exponents; laws for `zoetrope plan`.

    python benchmarks/scaling_laws.py --out runs/scaling
    zoetrope plan imagen_video --measured runs/scaling/scaling.json

Starting from mini's base stage, one thing at a time is made smaller and larger. Of each point are measured a denoising
step (guidance included), a training step on a batch, and the memory that both add. Straight lines are fitted to the
logarithms: y = factor x^exponent. At the same time `zoetrope plan` predicts every point, and measured against predicted
is fitted as well: the laws that the plan corrects itself with. On a CPU it is calibrated anew for each point.

Written are scaling.json, table.md, and scaling.png where matplotlib is installed.
"""

import argparse
import json
import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from _history import shown
from _machine import CLOCKS, DTYPES, Place, described, place
from _options import positive
from _work import learning, lesson, network_of, sample

from zoetrope.cascade.spec import StageSpec
from zoetrope.planning.calibrate import cpu
from zoetrope.planning.devices import Device, gpu, of_card
from zoetrope.planning.fits import PowerLaw, fit
from zoetrope.planning.plan import plan_stage
from zoetrope.planning.work import training
from zoetrope.recipes import load_recipe

Axis = Literal["frames", "pixels", "batch", "parameters"]
FRAMES, SIZES, BATCHES, WIDTHS = (4, 8, 16, 32), (0.5, 1.0, 1.5, 2.0), (1, 2, 4, 8), (0.5, 1.0, 1.5, 2.0)
MEASURED = ("sampling seconds", "sampling bytes", "training seconds", "training bytes")
STEPS = 2


class Point(NamedTuple):
    """A stage and a batch that are measured as one point of an axis."""

    axis: Axis
    stage: StageSpec
    batch: int


def points(stage: StageSpec, count: int) -> list[Point]:
    """The first `count` points of every axis through a stage."""
    stage = stage.with_(sampling=stage.sampling.with_(steps=STEPS))
    shape, levels, least = stage.shape, stage.network.levels, stage.network.head
    found = []
    for frames in FRAMES[:count]:
        found.append(Point("frames", _changed(stage, shape=shape.with_(frames=frames)), 1))
    for size in SIZES[:count]:
        sides = {"height": round(shape.height * size), "width": round(shape.width * size)}
        found.append(Point("pixels", _changed(stage, shape=shape.with_(**sides)), 1))
    found += [Point("batch", stage, batch) for batch in BATCHES[:count]]
    for width in WIDTHS[:count]:
        wide = tuple(level.with_(width=max(least, round(level.width * width / least) * least)) for level in levels)
        found.append(Point("parameters", _changed(stage, network=stage.network.with_(levels=wide)), 1))
    return found


def _changed(stage: StageSpec, **fields: Any) -> StageSpec:
    """The stage with other fields."""
    return stage.with_(**fields)


def predicted(point: Point, here: Place) -> dict[str, float]:
    """What `zoetrope plan` says of a point right now; of sampling for one video only, which is all that it plans."""
    device: Device = (
        cpu(here.dtype, clock=here.now)
        if here.device.type == "cpu"
        else gpu(of_card(torch.cuda.get_device_name(here.device)))
    )
    dtype = here.dtype
    [(_, batch, peak)] = (learnt := training(point.stage, lesson(point.batch), dtype)).phases
    found = {"training seconds": device.seconds(batch), "training bytes": float(max(peak, learnt.peak))}
    if point.batch == 1:
        plan = plan_stage(point.stage, device._replace(dtype=dtype), None)
        found |= {"sampling seconds": plan.seconds / STEPS, "sampling bytes": float(plan.peak_bytes)}
    return found


def measured(point: Point, here: Place, repetitions: int) -> dict[str, float]:
    """Seconds and bytes of a denoising step and of a training step; bytes are left out where they cannot be known."""
    stage, batch, found = point.stage, point.batch, dict[str, float]()

    def sampled() -> None:
        sample(stage, network_of(stage, here), here, batch=batch)

    def learnt() -> None:
        learn = learning(stage, here, batch)
        learn()
        learn()  # what the optimizer remembers is there from the second step on

    for name, run in (("sampling bytes", sampled), ("training bytes", learnt)):
        run()  # libraries set themselves up at the first use
        held = here.held(run)
        if held:
            found[name] = float(held)
    network, learn = network_of(stage, here), learning(stage, here, batch)
    learn()
    seconds: dict[str, list[float]] = {"sampling seconds": [], "training seconds": []}
    for _ in range(repetitions):
        _, times = sample(stage, network, here, batch=batch)
        seconds["sampling seconds"].append((times[-1] - times[0]) / STEPS)
        seconds["training seconds"].append(here.seconds(learn))
    return found | {name: statistics.median(values) for name, values in seconds.items()}


def place_on_axis(point: Point) -> int:
    """The x of a point."""
    shape = point.stage.shape
    if point.axis == "parameters":
        with torch.device("meta"):
            return sum(weight.numel() for weight in point.stage.network.build().parameters())
    values = {"frames": shape.frames, "pixels": shape.height * shape.width, "batch": point.batch}
    return values[point.axis]


def axes(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, PowerLaw]]:
    """For each axis the law of each quantity that was measured at two places of it or more."""
    found: dict[str, dict[str, PowerLaw]] = {}
    for axis in dict.fromkeys(row["axis"] for row in rows):
        for name in MEASURED:
            pairs = [
                (row["x"], row["measured"][name]) for row in rows if row["axis"] == axis and name in row["measured"]
            ]
            if len({x for x, _ in pairs}) > 1:
                found.setdefault(axis, {})[name] = fit(*map(list, zip(*pairs, strict=True)))
    return found


def laws(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, PowerLaw]]:
    """Measured against predicted, for sampling and training, seconds and bytes, over all points of all axes."""
    found: dict[str, dict[str, PowerLaw]] = {}
    for name in MEASURED:
        what, quantity = name.split()
        both = [row for row in rows if name in row["measured"] and name in row["predicted"]]
        xs, ys = ([row[side][name] for row in both] for side in ("predicted", "measured"))
        if len(set(xs)) > 1:
            found.setdefault(what, {})[quantity] = fit(xs, ys)
    return found


def table(lines: dict[str, dict[str, PowerLaw]], title: str) -> str:
    """Exponents, one row for each axis or kind of work."""
    text = [f"| {title} | | factor | exponent | from | to | off by at most |", "|---|---|---|---|---|---|---|"]
    for name, each in lines.items():
        for quantity, law in each.items():
            ends = f"{shown(law.low)} | {shown(law.high)} | x{law.spread:.2f}"
            text.append(f"| {name} | {quantity} | {law.factor:.3g} | {law.exponent:.2f} | {ends} |")
    return "\n".join(text)


def plot(rows: Sequence[dict[str, Any]], lines: dict[str, dict[str, PowerLaw]], file: Path) -> None:
    """Logarithmic plots: a column for each axis, time above and memory below, with the fitted lines."""
    try:
        import matplotlib

        matplotlib.use("agg")
        import matplotlib.pyplot as plt
    except ModuleNotFoundError:
        print("plot: left out, matplotlib is not installed", file=sys.stderr)
        return
    figure, grid = plt.subplots(2, len(lines), figsize=(4 * len(lines), 7), layout="constrained", squeeze=False)
    for column, (axis, each) in enumerate(lines.items()):
        for name, law in each.items():
            what, quantity = name.split()
            panel = grid[int(quantity == "bytes")][column]
            dots = [(r["x"], r["measured"][name]) for r in rows if r["axis"] == axis and name in r["measured"]]
            [line] = panel.loglog([law.low, law.high], [law.at(law.low), law.at(law.high)])
            panel.loglog(*zip(*dots, strict=True), "o", color=line.get_color(), label=f"{what}: {law.exponent:.2f}")
            panel.set_xlabel(axis)
            panel.set_xticks(sorted({x for x, _ in dots}), [shown(x) for x in sorted({x for x, _ in dots})])
            panel.set_xticks([], minor=True)
            panel.set_ylabel(quantity)
            panel.legend(title="exponents")
    figure.savefig(file, dpi=120)
    plt.close(figure)


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/scaling"), help="folder of the results [runs/scaling]")
    parser.add_argument("--axes", nargs="+", choices=Axis.__args__, default=Axis.__args__, metavar="AXIS")
    parser.add_argument("--points", type=positive, default=4, help="of each axis, 2 to 4 [4]")
    parser.add_argument("--repetitions", type=positive, default=5)
    parser.add_argument("--device", choices=("cpu", "cuda"), help="[cuda if there is one]")
    parser.add_argument("--dtype", choices=DTYPES, help="what networks compute in [what training would choose]")
    parser.add_argument("--threads", type=positive, help="of a CPU [all cores]")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu: for a busy machine, with --threads 1")
    options = parser.parse_args()
    if not 2 <= options.points <= 4:
        parser.error(f"--points: expected 2, 3 or 4, got {options.points}")
    return options


def main() -> None:
    """Measure, fit, write."""
    options = arguments()
    if options.threads:
        torch.set_num_threads(options.threads)
    here = place(options.device, options.dtype, options.clock)
    rows = []
    for point in points(load_recipe("mini").cascade.stages[0], options.points):
        if point.axis not in options.axes:
            continue
        row: dict[str, Any] = {"axis": point.axis, "x": place_on_axis(point)}
        row["predicted"], row["measured"] = predicted(point, here), measured(point, here, options.repetitions)
        rows.append(row)
        print(json.dumps(row), file=sys.stderr, flush=True)
    lines, plans = axes(rows), laws(rows)
    device = "cpu" if here.device.type == "cpu" else of_card(torch.cuda.get_device_name(here.device))
    value = described(here) | {
        "device": device,
        "points": rows,
        "axes": {axis: {name: law._asdict() for name, law in each.items()} for axis, each in lines.items()},
        "plan": {what: {name: law._asdict() for name, law in each.items()} for what, each in plans.items()},
    }
    text = f"{table(lines, 'against')}\n\n{table(plans, 'measured against planned')}\n"
    options.out.mkdir(parents=True, exist_ok=True)
    for name, content in (("scaling.json", json.dumps(value, indent=1) + "\n"), ("table.md", text)):
        part = options.out / (name + ".part")
        part.write_text(content, "utf-8")
        os.replace(part, options.out / name)
    plot(rows, lines, options.out / "scaling.png")
    print(text, end="")


if __name__ == "__main__":
    main()
