"""`zoetrope plan`: the cost of the stages of a recipe or model on a device, before anything runs."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoetrope.commands._options import Json, Quiet, Sets, Trust, bytes_named, changes
from zoetrope.commands._talk import Talk

if TYPE_CHECKING:
    from zoetrope.cascade.spec import StageSpec
    from zoetrope.planning.devices import Device
    from zoetrope.planning.fits import Measured
    from zoetrope.planning.plan import StagePlan
    from zoetrope.training.spec import Recipe, TrainSpec

What = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE|MODEL",
        help="A shipped name, a recipe.json or .py file, a model's folder, a hub id, a run, or a folder of runs.",
    ),
]
On = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="NAME",
        help="cpu: this one, as fast as it is now; or a GPU that need not be here, such as h100 or rtx4090; cuda: the "
        "GPU here. [cuda if there is one]",
    ),
]
Until = Annotated[str | None, typer.Option(metavar="STAGE", help="The last stage to plan. [all]")]
Memory = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="The most that sampling may hold, such as 4GB. [what the device can spare]"),
]

By = Annotated[
    Path | None,
    typer.Option(
        "--measured",
        metavar="FILE",
        help="Correct time and memory by what benchmarks/scaling_laws.py has measured on the device.",
    ),
]


def plan(
    what: What,
    device: On = None,
    until: Until = None,
    memory: Memory = None,
    measured: By = None,
    sets: Sets = None,
    trust: Trust = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Tell what each stage costs on a device.

    Parameters, FLOPs, memory and time, to sample a video and to train.
    """
    talk = Talk(json, quiet)
    fields = changes(sets)
    budget = bytes_named(memory) if memory else None
    card = _card(device)
    name, stages, recipe = _stages(what, until, fields)

    from zoetrope.cascade.execution.layout import expect_memory
    from zoetrope.planning.devices import torch_device
    from zoetrope.planning.plan import plan_stage, rounds_of, totals
    from zoetrope.planning.work import TOKENS

    if budget is not None:
        expect_memory(stages, 1, TOKENS, budget, torch_device(card))
    specs = {} if recipe is None else recipe.training
    place = _device(card, training=bool(specs))
    seen = _measured(measured, place)
    made = []
    for stage in stages:
        rounds = rounds_of(recipe, stage.name) if recipe is not None and stage.name in specs else ()
        spec = specs.get(stage.name)
        made.append(plan_stage(stage, place, spec, budget, seen, rounds, _examples(place, recipe, stage, spec)))
        talk.say(f"{stage.name}: counted")
    total = totals(made, place.memory)
    value = {
        "name": name,
        "device": {"name": place.name, "title": place.title, "memory": place.memory},
        "dtype": str(place.dtype).removeprefix("torch."),
        "measured": None if seen is None else seen.source,
        "assumed": _assumed(place, seen),
        "stages": [stage.to_json(place.memory) for stage in made],
        "total": total,
    }
    lines = _lines(name, place, made, total, _assumed(place, seen))
    if seen is not None:
        lines.append(f"Time and memory are corrected by what was measured: {seen.source}.")
    talk.result(value, "\n".join(lines))


def _examples(
    place: "Device", recipe: "Recipe | None", stage: "StageSpec", spec: "TrainSpec | None"
) -> list[float] | None:
    """Seconds to make an example of each phase, where the training is planned for this machine; None: unknown."""
    from zoetrope.planning.examples import example_seconds

    if place.name != "cpu" or recipe is None or spec is None:
        return None
    return example_seconds(stage, spec, recipe.cascade.text)


def _assumed(device: "Device", measured: "Measured | None") -> bool:
    """Whether times are based only on published figures and typical shares of them, not on measurements."""
    return device.name != "cpu" and measured is None


def _card(name: str | None) -> str:
    """ "cpu", or the name of a GPU that has published figures."""
    import torch

    from zoetrope.planning.devices import gpu, of_card

    if name == "cpu" or (name is None and not torch.cuda.is_available()):
        return "cpu"
    if name is None or name == "cuda":
        if not torch.cuda.is_available():
            raise ValueError("--device cuda: there is no GPU here; name the one you mean, such as h100")
        return of_card(torch.cuda.get_device_name())
    return gpu(name).name


def _device(card: str, training: bool) -> "Device":
    import torch

    from zoetrope.models.precision import compute_dtype
    from zoetrope.planning.calibrate import cpu
    from zoetrope.planning.devices import gpu

    return cpu(compute_dtype(torch.device("cpu")), training=training) if card == "cpu" else gpu(card)


def _measured(path: Path | None, device: "Device") -> "Measured | None":
    """The measurements of the device in a file. Raises ValueError if there are none, or of another dtype or setup."""
    if path is None:
        return None
    import torch

    from zoetrope.planning.fits import read_measured

    measured = read_measured(Path(os.path.expanduser(path)))
    measured.check(device.name, str(device.dtype).removeprefix("torch."), torch.get_num_threads())
    return measured


def _stages(
    what: str, until: str | None, fields: list[tuple[str, Any]]
) -> "tuple[str, Sequence[StageSpec], Recipe | None]":
    """The stages to plan, and for a recipe the recipe itself, with their training and distillation."""
    from zoetrope import recipes
    from zoetrope.cascade.tuning import Tuning, tuned
    from zoetrope.models.opening import open_model

    if recipes.is_recipe(what):
        recipe = recipes.load_recipe(what)
        recipe = recipe.overridden(dict(fields))
        return recipe.name, recipe.cascade.until(until), recipe
    spec = tuned(open_model(what).spec, Tuning(fields=fields))
    return spec.name, spec.until(until), None


def _lines(
    name: str, device: "Device", stages: "Sequence[StagePlan]", total: dict[str, Any], assumed: bool
) -> list[str]:
    """The plan as tables for people."""
    dtype = str(device.dtype).removeprefix("torch.")
    lines = [f"{name} on {device.title}, {device.memory / 1e9:.0f} GB, computing in {dtype}", "", "one video:"]
    rows: list[tuple[str, ...]] = [
        ("stage", "makes", "parameters", "weights", "FLOPs/step", "steps", "FLOPs", "peak memory", "time")
    ]
    for stage in stages:
        rows.append(
            (
                stage.name,
                stage.shape,
                f"{stage.parameters:,}",
                _bytes(stage.weight_bytes),
                _scaled(stage.flops_per_step),
                str(stage.steps),
                _scaled(stage.flops),
                _bytes(stage.peak_bytes) + ("" if stage.peak_bytes <= device.memory else " (!)"),
                _time(stage.seconds, assumed),
            )
        )
    parameters, weights = f"{total['parameters']:,}", _bytes(total["weight_bytes"])
    sums = (_scaled(total["flops"]), _bytes(total["peak_bytes"]), _time(total["seconds"], assumed))
    lines += _columns([*rows, ("all", "", parameters, weights, "", "", *sums)])
    if total["training"] is not None:
        lines += ["", "training:", *_columns(_training(stages, device.memory, assumed))]
    if total["distillation"] is not None:
        lines += ["", "distillation:", *_columns(_distillation(stages, device.memory, assumed))]
    learnt = [total[name] for name in ("training", "distillation") if total[name] is not None]
    crowded = not total["fits"] or any(cost["peak_bytes"] > device.memory for cost in learnt)
    notes = ["(!) more than the device has"] if crowded else []
    if assumed:
        notes.append(
            "Parameters, FLOPs and memory are counted. Times are assumed, from figures that the maker publishes."
        )
    elif device.name == "cpu":
        notes.append("Parameters, FLOPs and memory are counted. Times rest on what single operations take here, now.")
    learning = [stage.learning for stage in stages if stage.learning is not None]
    timed = [cost for cost in learning if cost.data_seconds is not None]
    if timed:
        notes.append("Training takes as long as the slower of network and data: a few examples were made here, now.")
    if device.name == "cpu" and len(timed) < len(learning):
        notes.append("Of data that are not here no example could be made.")
    examples = "the examples of distillation" if timed else "examples"
    left_out = f"The text encoder, {examples}, reading weights and writing files are not in these figures."
    return [*lines, "", *notes, left_out]


def _training(stages: "Sequence[StagePlan]", memory: int, assumed: bool) -> list[tuple[str, ...]]:
    head = ("stage", "examples", "FLOPs", "memory, activations kept", "recomputed", "examples/s", "of the data", "time")
    rows: list[tuple[str, ...]] = [head]
    for stage in stages:
        learning = stage.learning
        if learning is None:
            rows.append((stage.name, *["-"] * 7))
            continue
        kept, again = (
            _bytes(size) + ("" if size <= memory else " (!)")
            for size in (learning.peak_bytes_kept, learning.peak_bytes_checkpointed)
        )
        examples = f"{learning.examples:,}"
        spent = (learning.network_seconds, learning.data_seconds)
        speeds = (f"{float(f'{learning.examples / seconds:.2g}'):,.12g}" if seconds else "-" for seconds in spent)
        time = _time(learning.seconds, assumed)
        rows.append((stage.name, examples, _scaled(learning.flops), kept, again, *speeds, time))
    return rows


def _distillation(stages: "Sequence[StagePlan]", memory: int, assumed: bool) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        ("stage", "rounds", "examples", "FLOPs", "memory", "time", "steps", "FLOPs/video", "time/video")
    ]
    for stage in stages:
        cost = stage.distilling
        if cost is None:
            rows.append((stage.name, *["-"] * 8))
            continue
        held = _bytes(cost.peak_bytes) + ("" if cost.peak_bytes <= memory else " (!)")
        learnt = (str(cost.rounds), f"{cost.examples:,}", _scaled(cost.flops), held, _time(cost.seconds, assumed))
        made = (str(cost.steps), _scaled(cost.sampling_flops), _time(cost.sampling_seconds, assumed))
        rows.append((stage.name, *learnt, *made))
    return rows


def _columns(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _scaled(number: float) -> str:
    """A number with a letter for its thousands: 5.1 T."""
    for letter, size in (("Z", 1e21), ("E", 1e18), ("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {letter}"
    return f"{number:.3g}"


def _bytes(number: float) -> str:
    return f"{_scaled(number)}B"


def _time(seconds: float, assumed: bool) -> str:
    """Seconds in a readable unit, with two digits; marked if they are assumed."""
    units = (("years", 31_557_600), ("days", 86_400), ("h", 3600), ("min", 60), ("s", 1))
    unit, size = next((each for each in units if seconds >= 2 * each[1]), units[-1])
    amount = float(f"{seconds / size:.{1 if assumed else 2}g}")
    return f"{'about ' if assumed else ''}{amount:,.12g} {unit}"
