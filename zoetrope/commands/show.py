"""`zoetrope show`: describe a model, a recipe, a run, or a video by what made it."""

import json as js
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoetrope.commands._card import readable
from zoetrope.commands._made import described, is_video
from zoetrope.commands._options import Json, Quiet, Trust
from zoetrope.commands._talk import Talk
from zoetrope.wording import counted, one_line

if TYPE_CHECKING:
    from zoetrope.cascade.spec import CascadeSpec, StageSpec
    from zoetrope.networks import NetworkConfig
    from zoetrope.text import TextEncoder
    from zoetrope.training.spec import Recipe

What = Annotated[
    str,
    typer.Argument(
        metavar="MODEL|RECIPE|RUN|VIDEO",
        help="A shipped name, a folder, a hub id, a recipe.json, a recipe.py, which is run, or a video that was made.",
    ),
]


Authorities = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Certificates, PEM, of those who are believed about who signed a video.",
    ),
]


def show(
    what: What, authorities: Authorities = None, trust: Trust = None, json: Json = False, quiet: Quiet = False
) -> None:
    """Tell what a model, a recipe, a run or a file is.

    Of a recipe, --json prints the complete recipe.json, to start from.
    """
    from zoetrope import recipes
    from zoetrope.models.finding import FoundRun, find, find_run, shipped

    talk = Talk(json, quiet)
    if is_video(what):
        value, lines = described(what, authorities)
    elif authorities is not None:
        raise ValueError(f"--authorities: expected a video, whose signature they are about, got {what}")
    elif (run := find_run(what)) is not None:
        value, lines = _run(run.folder)
    elif recipes.is_recipe(what):
        if Path(what).suffix == ".py":
            talk.say(f"{one_line(what)}: is a program, and is run to see what it describes")
        made = recipes.load_recipe(what)
        value, lines = made.to_json(), _recipe(made)
        if (folder := shipped().get(what)) is not None:
            lines += ["", f"Its weights come with the package: {folder}", *_model(folder)[1]]
    else:
        found = find(what)
        runs = [_run(one.folder) for one in found if isinstance(one, FoundRun)]
        text = {"runs": [value for value, _ in runs]}, [line for _, lines in runs for line in lines]
        value, lines = text if runs else _model(found[0].folder)
    talk.result(value, "\n".join(lines))


def parameters(network: "NetworkConfig") -> int:
    """The number of parameters of a network, counted without allocating them."""
    return sum(weight.numel() for weight in network.bare().parameters())


def _model(folder: Path) -> tuple[dict[str, Any], list[str]]:
    from zoetrope.models.opening import open_model

    model = open_model(folder)
    spec, weights, card = model.spec, model.weights, model.card
    sizes = {stage: path.stat().st_size if path.is_file() else None for stage, path in weights.items()}
    value = {
        "name": spec.name,
        "folder": str(folder),
        "parameters": {stage.name: parameters(stage.network) for stage in spec.stages},
        "bytes": sizes,
        "cascade": spec.to_json(),
        "card": card,
    }
    lines = [
        one_line(f"{spec.name}, a model in {folder}"),
        *_channels(spec),
        _text(spec.text),
        *_table(spec.stages, sizes),
        *_inputs(spec.stages),
    ]
    return value, [*lines, "", readable(card) if card.strip() else "It has no card."]


def _text(encoder: "TextEncoder | None") -> str:
    return "text: none" if encoder is None else f"text: {js.dumps(encoder.to_json())}"


def _channels(spec: "CascadeSpec") -> list[str]:
    """The channels of the videos with their scales; nothing of red, green and blue."""
    from zoetrope.channels import are_rgb

    if are_rgb(spec.channels):
        return []
    return [f"channels: {', '.join(f'{one} ({one.scale.kind()})' for one in spec.channels)}"]


def _recipe(recipe: "Recipe") -> list[str]:
    lines = [one_line(f"{recipe.name}, a recipe"), *_channels(recipe.cascade), _text(recipe.cascade.text)]
    lines += [*_table(recipe.cascade.stages, {}), *_inputs(recipe.cascade.stages), "", "training:"]
    for name, spec in recipe.training.items():
        phases = [f"{p.examples} x {p.frames or 'all'} frames, batch {p.batch}" for p in spec.phases]
        text = f"{spec.data.kind()}, {counted(spec.examples, 'example')} ({'; '.join(phases)})"
        lines.append(f"  {one_line(name)}: {text}")
    return lines


def _run(path: Path) -> tuple[dict[str, Any], list[str]]:
    from zoetrope.models.checkpoints import find_checkpoints
    from zoetrope.training.state import read_metrics
    from zoetrope.training.trained import run_recipe

    recipe, name = run_recipe(path)
    stage = recipe.cascade.stage(name)
    found = find_checkpoints(path / "checkpoints")
    examples = int(found[-1].name) if found else 0
    total = recipe.train_spec(name).examples
    lines_so_far = read_metrics(path / "metrics.jsonl")
    last = lines_so_far[-1] if lines_so_far else None
    sizes = {name: (found[-1] / "average.safetensors").stat().st_size} if found else {}
    value = {
        "run": str(path),
        "stage": name,
        "examples": examples,
        "total": total,
        "checkpoint": str(found[-1]) if found else None,
        "metrics": last,
        "parameters": {name: parameters(stage.network)},
        "bytes": sizes,
        "recipe": recipe.to_json(),
    }
    head = one_line(f"{path}, a run of stage {name} of {recipe.name}: {examples} of {counted(total, 'example')}")
    lines = [head, *_table([stage], sizes), *_inputs([stage])]
    return value, [*lines, *([_last(last)] if last else [])]


def _last(metrics: dict[str, Any]) -> str:
    """The last line of metrics, for people; --json has all of it."""
    loss, speed = metrics.get("loss"), metrics.get("examples_per_second")
    text = ["loss unknown" if loss is None else f"loss {loss:.4f}"]
    text += [] if speed is None else [f"{speed:.1f} examples/s"]
    return f"after {counted(metrics['examples'], 'example')}: {', '.join(text)}"


def _inputs(stages: "Sequence[StageSpec]") -> list[str]:
    """What each stage is told beside other stages' videos, where it is told something."""
    told = {stage.name: [each.description for each in stage.inputs if each.source is None] for stage in stages}
    return [one_line(f"{name} is told: {', '.join(words)}") for name, words in told.items() if words]


def _table(stages: "Sequence[StageSpec]", sizes: dict[str, int | None] | dict[str, int]) -> list[str]:
    """The stages in columns."""
    rows = [("stage", "kind", "makes", "parameters", "sampling", "on disk")]
    for stage in stages:
        plan = stage.sampling
        weights = dict.fromkeys(plan.weights())
        guidance = f"{next(iter(weights)):g}" if len(weights) == 1 else plan.guidance.kind()
        size = sizes.get(stage.name)
        rows.append(
            (
                one_line(stage.name),
                stage.kind,
                str(stage.made),
                f"{parameters(stage.network):,}",
                f"{plan.sampler.kind()} {counted(plan.steps, 'step')}, guidance {guidance}",
                f"{size / 1e6:.2f} MB" if size is not None else "-",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
