"""The U-Net against the transformer on patches: at equal parameters, equal operations and equal minutes.

python studies/network.py
"""

from functools import partial
from typing import Any, NamedTuple

import torch
from _claims import Claim, markdown, of_trained, share, share_interval, unit
from _intervals import Interval, over_clips, over_seeds
from _judge import CHANCE_MOVING
from _main import main
from _measured import Json
from _network import (
    ARMS,
    ASPECTS,
    CLIP,
    CLIPS,
    KINDS,
    LEVELS,
    NOISES,
    PEAK,
    PROMPTS,
    REPEATS,
    SETS,
    SIZES,
    STEPS,
    STILLS,
    SWEEP,
    SWEPT,
    TOLD,
    measure,
)
from _study import Page, Study


class Curve(NamedTuple):
    """What an arm had reached at each checkpoint: examples, and the mean loss over levels of every clip."""

    examples: list[int]
    rows: list[list[float]]

    @classmethod
    def of(cls, one: Json) -> "Curve":
        """That of an arm's numbers."""
        rows = [torch.tensor(each["losses"], dtype=torch.float64).mean(0).tolist() for each in one["course"]]
        return cls([each["examples"] for each in one["course"]], rows)

    def at(self, examples: float) -> list[float]:
        """The loss of every clip after so many examples, between two checkpoints by the logarithm of examples."""
        places = torch.tensor(self.examples, dtype=torch.float64).log()
        where = torch.tensor(float(examples), dtype=torch.float64).log().clamp(places[0], places[-1])
        if len(places) == 1:
            return self.rows[0]
        right = min(max(int(torch.searchsorted(places, where)), 1), len(places) - 1)
        part = float((where - places[right - 1]) / (places[right] - places[right - 1]))
        pairs = zip(self.rows[right - 1], self.rows[right], strict=True)
        return [(1 - part) * before + part * after for before, after in pairs]


def cost_of(one: Json, by: str) -> float:
    """What an example of the training costs: 1 of "examples", operations, or minutes of a core."""
    if by == "examples":
        return 1.0
    return float(one["training"]) if by == "operations" else min(one["milliseconds"]["training"]) / 60_000


BY = {"examples": "parameters and examples", "operations": "operations of training", "minutes": "minutes of training"}


def matched(arms: Json, size: str, by: str) -> tuple[list[float], list[float], float]:
    """The losses of the pair's U-Net and transformer once both have spent what the one that spent less did."""
    pair = [arms[f"{kind}-{size}"] for kind in KINDS]
    curves, costs = [Curve.of(one) for one in pair], [cost_of(one, by) for one in pair]
    spent = min(curve.examples[-1] * cost for curve, cost in zip(curves, costs, strict=True))
    one, other = (curve.at(spent / cost) for curve, cost in zip(curves, costs, strict=True))
    return one, other, spent


def over_pairs(arms: Json, by: str) -> Interval:
    """How much lower the transformer's loss is, in per cent of the U-Net's, over pairs and clips."""
    rows = []
    for size in SIZES:
        one, other, _ = matched(arms, size, by)
        mean = sum(one) / len(one)
        rows.append([100 * (a - b) / mean for a, b in zip(one, other, strict=True)])
    return over_seeds(rows)


def table_of(arms: Json, kind: str, key: str, aspect: str) -> list[list[float]]:
    """Of each pair a row of prompts: the share of noises that are right."""
    tables = [torch.tensor(arms[f"{kind}-{size}"]["scores"][key][aspect], dtype=torch.float64) for size in SIZES]
    return [table.mean(0).tolist() for table in tables]


def claims_of(arms: Json) -> dict[str, Claim]:
    """What is claimed, by a short name."""
    found = {
        by: Claim(f"at equal {told} the transformer has a lower loss", over_pairs(arms, by), unit("%"))
        for by, told in BY.items()
    }
    for key, aspect in (("familiar", "shape"), ("familiar", "motion"), ("familiar", "all"), ("combinations", "all")):
        told = "everything" if aspect == "all" else f"the {aspect}"
        tables = (table_of(arms, kind, key, aspect) for kind in ("dit", "unet"))
        text = f"after equal minutes the transformer has {told} right more often, prompts {TOLD[key]}"
        found[f"{key}-{aspect}"] = of_trained(text, *tables)
    return found


def ratio(arms: Json, size: str, which: str) -> Interval:
    """How many times as long the transformer takes as the U-Net, over repeats."""
    rows = [[arms[f"{kind}-{size}"]["milliseconds"][which]] for kind in ("dit", "unet")]
    return over_clips(torch.div, *rows)


def advice(claims: dict[str, Claim], arms: Json) -> str:
    """Which network to pick when, as far as the numbers decide."""
    winner = {"shown": "the **transformer**", "the opposite": "the **U-Net**"}
    lines = []
    for by, told in {
        "minutes": "The time to train is given",
        "operations": "The operations are given, on a machine that runs both equally well",
        "examples": "The data and the parameters are given",
    }.items():
        claim = claims[by]
        value, high, low = (f"{-each:+.1f} %" for each in claim.interval)
        picked = winner.get(claim.verdict)
        told_by = f"the transformer's loss against the U-Net's: {value}, {low} to {high}"
        end = f"{picked} ({told_by})." if picked else f"either: a difference is not shown ({told_by})."
        lines.append(f"- {told}: {end}")
    named = [claims[name] for name in claims if name not in BY]
    shown = [claim for claim in named if claim.verdict in winner]
    if shown:
        for claim in shown:
            value = claim.form(claim.interval.value)
            lines.append(f"- What is asked for matters most: {winner[claim.verdict]} ({claim.text}: {value}).")
    else:
        lines.append("- What videos show of their prompts decides nothing here: no difference is shown.")
    for which, told in (("forward", "Sampling"), ("training", "A step of training")):
        each = [ratio(arms, size, which).value for size in SIZES]
        faster = "the transformer" if max(each) < 1 else "the U-Net" if min(each) > 1 else "neither at all sizes"
        cells = ", ".join(f"{value:.2f}" for value in each)
        lines.append(f"- {told} of a pair is faster with {faster}: the transformer takes {cells} times as long.")
    lines.append(
        "- Several sizes, shapes and lengths in one network, packed together: the transformer, as the U-Net does not "
        "pack. Super-resolution in tiles, or a stream of frames: a U-Net without attention, whose reach is bounded. "
        "Both follow from how they are built, not from these numbers."
    )
    return "## Which one to pick\n\n" + "\n".join(lines)


def _of_pairs(arms: Json) -> str:
    """Each pair by itself: how far apart, with the interval over clips of these two trainings alone."""
    rows = [["the transformer's loss is lower by, at equal", *SIZES, "all (see the claims)"]]
    for by, told in BY.items():
        cells = []
        for size in SIZES:
            one, other, _ = matched(arms, size, by)
            each = over_clips(_lower, [one], [other])
            cells.append(f"{each.value:+.1f} % ({each.low:+.1f} to {each.high:+.1f})")
        rows.append([told, *cells, f"{over_pairs(arms, by).value:+.1f} %"])
    return markdown(rows) + (
        "\n\nIntervals of a single pair are over clips, for these two trainings as they are; another training may "
        "differ by more."
    )


def _lower(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return 100 * (one - other) / one


def _of_levels(arms: Json) -> str:
    """The last checkpoint's loss at each noise level."""
    heads = [f"u = {(number + 0.5) / LEVELS:.2f}" for number in range(LEVELS)]
    rows = [["last loss of v by noise level, from clean to noise", *heads]]
    for name, one in arms.items():
        rows.append([name_of(name), *(f"{sum(row) / len(row):.4f}" for row in one["course"][-1]["losses"])])
    return markdown(rows)


def _of_sweep(numbers: Json) -> str:
    """The learning rates: what the sweep found, and what was taken."""
    rows = [[f"loss after {SWEEP:,} examples, peak", *(f"{peak:g}" for peak in SWEPT)]]
    told = []
    for kind, found in numbers["sweep"].items():
        each = {peak: Curve.of({"course": [found[str(peak)]]}).rows[0] for peak in SWEPT}
        means = {peak: sum(row) / len(row) for peak, row in each.items()}
        best = min(means, key=lambda peak: means[peak])
        rows.append([f"{KINDS[kind]}, small", *(f"{means[peak]:.4f}" for peak in SWEPT)])
        edge = " the best is the largest or the smallest that was tried" if best in (SWEPT[0], SWEPT[-1]) else ""
        taken = f"{PEAK[kind]:g}" + ("" if best == PEAK[kind] else f", though {best:g} did better")
        told.append(f"{KINDS[kind]}: taken is {taken}{';' + edge if edge else ''}")
    return markdown(rows) + "\n\n" + ". ".join(told) + ". Larger sizes were trained with the same peaks."


def name_of(arm: str) -> str:
    """An arm as people call it."""
    kind, _, size = arm.partition("-")
    return f"{KINDS[kind]}, {size}"


def page(numbers: Json) -> Page:
    """The findings and the plot."""
    arms = numbers["arms"]
    claims = claims_of(arms)
    heads = ("parameters, M", "GFLOPs forward", "GFLOPs an example", "examples", "minutes", "loss")
    rows = [["network", *heads, *(f"{TOLD[key]}: {aspect}" for key in SETS for aspect in ASPECTS)]]
    for name, one in arms.items():
        curve = Curve.of(one)
        size = [f"{one['parameters'] / 1e6:.2f}", f"{one['forward'] / 1e9:.2f}", f"{one['training'] / 1e9:.2f}"]
        spent = [f"{curve.examples[-1]:,}", f"{curve.examples[-1] * cost_of(one, 'minutes'):.0f}"]
        right = [
            f"{share(one['scores'][key][aspect])} ({share_interval(one['scores'][key][aspect])})"
            for key in SETS
            for aspect in ASPECTS
        ]
        rows.append([name_of(name), *size, *spent, f"{sum(curve.rows[-1]) / len(curve.rows[-1]):.4f}", *right])
    blank = [""] * len(heads)
    rows.append(["true clips", *blank, *(share([numbers["truth"][key][a]]) for key in SETS for a in ASPECTS)])
    rows.append(["chance", *blank, *(f"{CHANCE_MOVING[a]:.1%}" for _ in SETS for a in ASPECTS)])
    cost = [["milliseconds of a core", "forward, one clip", "training, one example", "MB sampling", "MB training"]]
    for name, one in arms.items():
        each = one["milliseconds"]
        cells = (f"{min(each[which]):.2f}" for which in ("forward", "training"))
        sizes = (f"{one[key] / 1e6:.0f}" for key in ("sampling_bytes", "training_bytes"))
        cost.append([name_of(name), *cells, *sizes])
    notes = [
        advice(claims, arms),
        "## Pair by pair",
        _of_pairs(arms),
        _of_levels(arms),
        "## What it costs",
        markdown(cost),
        f"Time is the least of {REPEATS} repeats in turns, of one machine's processor in bfloat16, so it gets no "
        "verdict. Operations and bytes are counted.",
        "## Learning rates",
        _of_sweep(numbers),
    ]
    return Page(list(claims.values()), rows, partial(_draw, arms), "\n\n".join(notes))


def _draw(arms: Json, axes: Any) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    for axis, by in zip(axes, ("minutes", "operations"), strict=True):
        for name, one in arms.items():
            kind, _, size = name.partition("-")
            curve, scale = Curve.of(one), cost_of(one, by) / (1 if by == "minutes" else 1e15)
            means = [sum(row) / len(row) for row in curve.rows]
            style = dict(color=f"C{list(KINDS).index(kind)}", linestyle=(":", "--", "-")[SIZES.index(size)])
            axis.plot([n * scale for n in curve.examples], means, marker=".", label=name_of(name), **style)
        told = "minutes of a core" if by == "minutes" else "PFLOPs of training"
        axis.set(xlabel=told, ylabel="loss of v, held-out clips", xscale="log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.xaxis.set_minor_formatter(NullFormatter())
    axes[0].legend(frameon=False, fontsize=7, handlelength=4)


STUDY = Study(
    name="network",
    title="U-Net against transformer",
    finding="diffusion transformers on patches are as good as convolutional U-Nets or better at less compute, and "
    "improve with their operations (Peebles & Xie 2023, arXiv:2212.09748, Sec. 5); Sora reports the same of spacetime "
    "patches (Brooks et al. 2024). Imagen Video itself uses U-Nets.",
    design={
        "network": "three pairs, small, medium and large. The U-Net is mini's base at other widths. The transformer "
        "has patches of 4x4 pixels of a frame, which are the cells of the U-Net's coarse level, and one modulation "
        "for all blocks; so both of a pair have the same parameters and, for each clip, the same operations, within a "
        "tenth",
        "training": f"clips of {CLIP.frames} frames of {CLIP.height}x{CLIP.width} and, for each of them, {STILLS} "
        "pictures; the same examples in the same order, v prediction, one schedule, weights averaged. The rate falls "
        "with the root of the examples and knows no end, so that a curve can be read at any place",
        "equal": "examples: both of a pair after as many examples. Operations, minutes: both once they have spent as "
        "much of it, between checkpoints by the logarithm. Minutes are examples times the time of one, measured in "
        "turns, so that they do not depend on what else the machine did",
        "loss": f"the squared error of v on {CLIPS} held-out clips at {LEVELS} noise levels, the same noise for all",
        "judged": f"{PROMPTS} prompts of each set, {NOISES} clips each, {STEPS} steps of DDIM, guidance 2, by the "
        "recogniser",
        "intervals": "of claims: over the three pairs, each trained once, and clips or prompts (`studies/README.md`, "
        "with pairs in the place of seeds); what differs between sizes widens them. Of single shares: Wilson's, "
        "clustered by prompt",
        "baselines": "true clips of the same prompts, and chance",
    },
    arms=ARMS,
    measure=measure,
    page=page,
    doubts={
        "Could it come from noise?": "Every network was trained once. The interval takes the three pairs for repeats "
        "of one comparison: it covers the luck of a training, and also any change with size, which it cannot tell "
        "from luck.",
        "Could it come from the learning rate?": "The U-Net has the best of four peaks of a short sweep at its "
        "smallest size; the transformer has the largest, and 0.001 did better there, see above. "
        "The optimum may move with size and with longer training.",
        "Is the transformer the best of its kind?": "Patches of 2 frames would halve its operations, patches of 2x2 "
        "quadruple them; full attention and separate modulations are other choices. None of these was tried here.",
        "Is the U-Net the best of its kind?": "Its shape was chosen for mini, on this data, with more trials than the "
        "transformer's.",
        "Does it hold for longer training, larger videos?": "Not shown: an hour of one core, clips of 8 frames. "
        "Attention among all cells of a frame grows with the square of their number in both.",
        "How sure is the time?": "It is that of one processor, in bfloat16, at these sizes; another machine runs "
        "convolutions and products at other relative speeds. Operations are the machine-free measure.",
    },
    moves="three seeds of each network; ten times the examples; a learning rate for every size; other patches.",
    seeds=(0,),
)

if __name__ == "__main__":
    main(STUDY)
