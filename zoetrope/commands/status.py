"""`zoetrope status`: the progress of trainings."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoetrope.commands._options import Json, Quiet, Trust
from zoetrope.commands._talk import Talk

if TYPE_CHECKING:
    from zoetrope.training.standing import Standing

Runs = Annotated[
    list[Path], typer.Argument(metavar="RUN...", help="Folders of trainings or distillations, or with such in them.")
]
HEAD = ("run", "stage", "examples", "loss", "examples/s", "eta", "checkpoint", "state")


def status(runs: Runs, trust: Trust = None, json: Json = False, quiet: Quiet = False) -> None:
    """Tell how trainings stand: one line for each run."""
    from zoetrope.training.standing import standings

    found = [one for folder in runs for one in standings(Path(os.path.expanduser(folder)))]
    Talk(json, quiet).result([_value(one) for one in found], "\n".join(_table(found)))


def _value(one: "Standing") -> dict[str, Any]:
    return {**one._asdict(), "run": str(one.run), "checkpoint": str(one.checkpoint) if one.checkpoint else None}


def _table(found: "list[Standing]") -> list[str]:
    """The runs in columns, with the errors of failed and damaged ones below."""
    rows = [HEAD, *(_row(one) for one in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [*lines, *(f"{one.run}: {one.error}" for one in found if one.error)]


def _row(one: "Standing") -> tuple[str, ...]:
    return (
        str(one.run),
        one.stage,
        f"{one.examples}/{one.total}",
        "-" if one.loss is None else f"{one.loss:.4f}",
        "-" if one.examples_per_second is None else f"{one.examples_per_second:.1f}",
        "-" if one.eta is None else _duration(one.eta),
        "-" if one.checkpoint is None else one.checkpoint.name,
        one.state,
    )


def _duration(seconds: float) -> str:
    """Seconds in the two units that matter."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    hours = round(minutes / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
