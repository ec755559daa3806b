"""TorchScript files. Each is a program, which loading runs: only files that the user names are loaded."""

import os
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from zoetrope.metrics.features import Missing
from zoetrope.metrics.features._files import expect_digest, find_file

Levels = Literal["-1..1", "0..1", "0..255"]


def find_program(path: str, sha256: str | None, remedy: str, device: torch.device | str) -> tuple[Any, str]:
    """The module in a file, local or of the hub, and the file's sha256, which is checked before anything runs.

    Raises `Missing`, with `remedy`, if there is no such file, and ValueError if its `sha256` differs. Files of the hub
    require a `sha256`: otherwise a typo in a path could run anyone's program.
    """
    if sha256 is None and not Path(os.path.expanduser(path)).is_file():
        raise Missing(f"{path}: no such file here; it is a program, and taken from the hub only with a sha256", remedy)
    file = find_file(path, remedy)
    checksum = expect_digest(file, sha256)
    return load(file, device), checksum


def load(path: Path, device: torch.device | str) -> Any:
    """The module in the file, frozen. Raises ValueError if it is not TorchScript."""
    try:
        network = torch.jit.load(str(path), map_location=device)
    except (RuntimeError, ValueError) as error:
        cause = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"{path}: expected a TorchScript file, got one that torch.jit.load refuses ({cause})"
        ) from None
    return network.eval()


def run(network: Any, x: Tensor, levels: Levels, options: dict[str, bool], device: torch.device | str) -> Tensor:
    """The network's features (N, D), on the CPU, of x in [-1, 1], rescaled to its own `levels`.

    Raises ValueError if it fails, or gives anything else.
    """
    with torch.no_grad():
        try:
            made = network(to_levels(x, levels).to(device), **options)
        except RuntimeError as error:
            cause = str(error).strip().splitlines()[-1]
            raise ValueError(f"the TorchScript network cannot look at {tuple(x.shape)} {options}: {cause}") from None
    if not isinstance(made, Tensor) or made.ndim < 2 or len(made) != len(x):
        got = tuple(made.shape) if isinstance(made, Tensor) else type(made).__name__
        raise ValueError(f"the TorchScript network: expected features ({len(x)}, D), got {got}")
    return made.flatten(1).float().cpu()


def to_levels(x: Tensor, levels: Levels) -> Tensor:
    """x in [-1, 1] in the range that a network was trained with."""
    if levels == "-1..1":
        return x
    return (x + 1) / 2 if levels == "0..1" else (x + 1) * 127.5
