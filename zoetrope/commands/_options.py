"""Options that several verbs share, and what their values mean."""

import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoetrope.config import unknown

if TYPE_CHECKING:
    import torch

    from zoetrope.shapes import VideoShape

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout; messages go to stderr.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no messages but warnings and errors.")]
Device = Annotated[str | None, typer.Option(metavar="NAME", help="cpu, cuda, cuda:1, mps. [cuda if there is one]")]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change any field. Repeatable.")]


def changes(sets: list[str] | None) -> list[tuple[str, Any]]:
    """The (path, value) of each "path=value"; a value is JSON, or else the plain text that it is."""
    found = []
    for item in sets or []:
        path, sign, text = item.partition("=")
        if not sign or not path.strip():
            raise ValueError(f"--set {item}: expected path=value, such as base.sampling.steps=32")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        found.append((path.strip(), value))
    return found


def device_named(name: str | None) -> "torch.device":
    """The device of that name, or the best one here for None. Raises ValueError for one that is not here."""
    import torch

    here = ["cpu", *(f"cuda:{k}" for k in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        here.append("mps")
    if name is None:
        return torch.device("cuda" if "cuda:0" in here else "cpu")
    wanted = "cuda:0" if name == "cuda" else name
    if wanted not in here:
        raise ValueError("--device: " + unknown("device", name, here))
    return torch.device(wanted)


def dtype_named(name: str, device: "torch.device") -> "torch.dtype":
    """The type that networks compute in: fp32, bf16, or for "auto" what the device gains from."""
    from zoetrope.training.precision import compute_dtype

    if name not in ("auto", "fp32", "bf16"):
        raise ValueError("--dtype: " + unknown("dtype", name, ("auto", "fp32", "bf16")))
    return compute_dtype(device, "auto" if name == "auto" else "bf16" if name == "bf16" else "fp32")


UNITS = {"B": 1} | {f"{p}B": 1000 ** (i + 1) for i, p in enumerate("kMGT")} | {
    f"{p}iB": 1024 ** (i + 1) for i, p in enumerate("KMGT")
}  # fmt: skip


def bytes_named(text: str, option: str = "--memory") -> int:
    """The bytes that "4GB", "512MB" or "2GiB" means. Raises ValueError for anything else."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*", text)
    units = {name.lower(): size for name, size in UNITS.items()}
    size = float(match[1]) * units.get(match[2].lower(), 0) if match else 0
    if size < 1:
        raise ValueError(f"{option}: expected a size such as 4GB, 512MB or 2GiB, got {text!r}")
    return int(size)


def at_least(option: str, value: float | None, least: int) -> None:
    """Raise ValueError unless an option's value is absent, or finite and at least `least`."""
    if value is not None and not (math.isfinite(value) and value >= least):
        raise ValueError(f"{option}: expected a finite number of {least} or more, got {value:g}")


def shape_named(text: str) -> "VideoShape":
    """The shape that "16x24x40@3" means: frames, height and width, and frames a second."""
    from zoetrope.shapes import VideoShape

    sizes, _, rate = text.removesuffix("fps").partition("@")
    try:
        frames, height, width = (int(size) for size in sizes.split("x"))
        return VideoShape(frames=frames, height=height, width=width, fps=float(rate))
    except ValueError:
        raise ValueError(f"--shape {text}: expected FRAMESxHEIGHTxWIDTH@FPS, such as 16x24x40@3") from None


def prompts_in(path: Path) -> list[str]:
    """The prompts of a file, one a line; blank lines are passed over."""
    try:
        lines = [line.strip() for line in path.read_text("utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        raise ValueError(f"{path}: expected UTF-8 text, one prompt a line") from None
    if not any(lines):
        raise ValueError(f"{path}: holds no prompt")
    return [line for line in lines if line]
