"""Options that several verbs share, and the parsing of their values."""

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoetrope.config import unknown
from zoetrope.config.foreign import trusting
from zoetrope.config.strict_json import is_deep

if TYPE_CHECKING:
    import torch

    from zoetrope.shapes import VideoShape

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout; messages go to stderr.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no messages but warnings and errors.")]
Device = Annotated[str | None, typer.Option(metavar="NAME", help="cpu, cuda, cuda:1, mps. [cuda if there is one]")]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change any field. Repeatable.")]

Short = Annotated[
    str | None,
    typer.Option(
        metavar="HOW",
        help="Videos too short for the grid: hold (the last picture stands still, if half of the frames exist), "
        "slow (played slower), or drop. Train with the same, --set STAGE.training.data.short=HOW. [hold]",
    ),
]


def short_named(how: str | None) -> Any:
    """The treatment of short videos of that name; None: the usual one. Raises ValueError for an unknown one."""
    legal = ("hold", "slow", "drop")
    if how is not None and how not in legal:
        raise ValueError(f"--short: {unknown('way', how, legal)}")
    return how


def _trusting(context: typer.Context, packages: list[str] | None) -> list[str] | None:
    """Trust these packages until the command ends."""
    context.with_resource(trusting(*(packages or ())))
    return packages


Trust = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PACKAGE",
        callback=_trusting,
        help="Import this package if a model, a run or a recipe.json names classes of it. Repeatable.",
    ),
]


def changes(sets: list[str] | None) -> list[tuple[str, Any]]:
    """The (path, value) of each "path=value"; a value is JSON, or else plain text."""
    return _pairs("--set", sets, "path=value, such as base.sampling.steps=32")


def values_named(option: str, given: list[str] | None) -> dict[str, Any]:
    """The values of "name=value", by name. Raises ValueError for a repeated name."""
    found: dict[str, Any] = {}
    for name, value in _pairs(option, given, "name=value, such as speed=0.5"):
        if name in found:
            raise ValueError(f"{option}: expected one value for {name!r}, got two")
        found[name] = value
    return found


def _pairs(option: str, given: list[str] | None, expected: str) -> list[tuple[str, Any]]:
    found = []
    for item in given or []:
        path, sign, text = item.partition("=")
        if not sign or not path.strip():
            raise ValueError(f"{option} {item}: expected {expected}")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        except (ValueError, RecursionError):
            raise ValueError(_too_much(option, path, text)) from None
        if is_deep(value):
            raise ValueError(_too_much(option, path, text))
        found.append((path.strip(), value))
    return found


def _too_much(option: str, path: str, text: str) -> str:
    return f"{option} {path}: expected fewer digits or brackets, got {text[:20]}..."


def device_named(name: str | None) -> "torch.device":
    """The device of that name; for None, the best one here. Raises ValueError for one that does not exist."""
    from zoetrope.models import places

    try:
        return places.device_named("auto" if name is None else name)
    except ValueError as error:
        raise ValueError(f"--device: {error}") from None


def expect_device_name(name: str) -> None:
    """Raise ValueError for what no machine calls a device; whether it is here, only `device_named` knows."""
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name):
        raise ValueError("--device: " + unknown("device", name, ("auto", "cpu", "cuda", "mps")))


def expect_dtype_name(name: str) -> None:
    """Raise ValueError for a name that `dtype_named` does not know."""
    if name not in ("auto", "fp32", "bf16"):
        raise ValueError("--dtype: " + unknown("dtype", name, ("auto", "fp32", "bf16")))


def dtype_named(name: str, device: "torch.device") -> "torch.dtype":
    """The dtype that networks compute in: fp32, bf16, or for "auto" the faster one on the device."""
    from zoetrope.models.precision import compute_dtype

    expect_dtype_name(name)
    return compute_dtype(device, "auto" if name == "auto" else "bf16" if name == "bf16" else "fp32")


MOST = 2**63  # upper bound of integers and sizes: no machine has as much of anything
UNITS = {"B": 1} | {f"{p}B": 1000 ** (i + 1) for i, p in enumerate("kMGT")} | {
    f"{p}iB": 1024 ** (i + 1) for i, p in enumerate("KMGT")
}  # fmt: skip


def bytes_named(text: str, option: str = "--memory") -> int:
    """The bytes that "4GB", "512MB" or "2GiB" means. Raises ValueError for anything else."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*", text)
    units = {name.lower(): size for name, size in UNITS.items()}
    size = float(match[1]) * units.get(match[2].lower(), 0) if match else 0
    if not 1 <= size < MOST:
        got = text if len(text) < 40 else f"{text[:40]}..."
        raise ValueError(f"{option}: expected a size such as 4GB, 512MB or 2GiB, got {got!r}")
    return int(size)


MOST_MADE = 100_000
"""The most videos of a prompt, clips of an evaluation, or pictures of a sheet, in one command."""


def at_least(option: str, value: float | None, least: int, most: int = MOST - 1) -> None:
    """Raise ValueError unless an option's value is absent, or finite, at least `least`, and at most `most`."""
    if value is None or least <= value <= most:
        return
    if value > most and value != float("inf"):
        raise ValueError(f"{option}: expected a number from {least} to {most}, got a larger one")
    raise ValueError(f"{option}: expected a finite number of {least} or more, got {value:g}")


def size_named(text: str) -> tuple[int, int]:
    """The (height, width) that "24x40" means. Raises ValueError for anything else."""
    match = re.fullmatch(r"\s*(\d{1,6})\s*x\s*(\d{1,6})\s*", text)
    if match is None or not (int(match[1]) and int(match[2])):
        raise ValueError(f"--size: expected HEIGHTxWIDTH in pixels, such as 24x40, got {text!r}")
    return int(match[1]), int(match[2])


def shape_named(text: str) -> "VideoShape":
    """The shape that "16x24x40@3" means: frames, height and width, and frames a second."""
    from zoetrope.shapes import VideoShape

    sizes, _, rate = text.removesuffix("fps").partition("@")
    try:
        frames, height, width = (int(size) for size in sizes.split("x"))
        return VideoShape(frames=frames, height=height, width=width, fps=float(rate))
    except ValueError:
        raise ValueError(f"--shape {text}: expected FRAMESxHEIGHTxWIDTH@FPS, such as 16x24x40@3") from None


def new_folder(path: str | Path) -> Path:
    """The folder that `--out` names; "~" is the home folder. Raises ValueError for an address."""
    from zoetrope.video.naming import is_address

    if is_address(path):
        raise ValueError(f"--out {path}: is an address; expected a folder on this machine")
    return Path(os.path.expanduser(path))


def prompts_in(path: str) -> list[str]:
    """The prompts of a file, one per line.

    Blank lines and lines that start with # are skipped; a prompt that starts with # is written as \\#.
    """
    try:
        text = Path(os.path.expanduser(path)).read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path}: expected UTF-8 text, one prompt a line") from None
    lines = (line.strip() for line in text.split("\n"))  # `splitlines` would part at characters that texts may hold
    found = [line.removeprefix("\\") if line.startswith("\\#") else line for line in lines if line[:1] not in ("", "#")]
    if not found:
        raise ValueError(f"{path}: holds no prompt")
    return found
