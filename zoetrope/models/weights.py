"""Weights in safetensors files, and nothing else: a pickle runs code when it is read."""

import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

PICKLES = {".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle"}


def read_weights(module: nn.Module, path: Path) -> None:
    """Fill a module from a safetensors file, converting to the module's own type.

    Raises ValueError that names the file and what is wrong: a pickle, damage, or missing, unexpected or misshapen
    tensors. The module is left as it was then.
    """
    check_weights(module, path)
    own = module.state_dict()
    with safe_open(path, framework="pt") as file:
        stored = {name: file.get_tensor(name) for name in own}
    module.load_state_dict({name: value.to(own[name].dtype) for name, value in stored.items()})


def check_weights(module: nn.Module, path: Path) -> None:
    """Raise what `read_weights` would, from the head of the file alone; the module may be on the "meta" device."""
    beside = [other.name for other in path.parent.glob("*") if other.suffix in PICKLES] if not path.is_file() else []
    if path.suffix in PICKLES or beside:
        raise ValueError(
            f"{path}: pickle files can run code and are never read; convert it to safetensors"
            + (f" (there is only {', '.join(sorted(beside))})" if beside else "")
        )
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    want = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    try:
        with safe_open(path, framework="pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path}: not a whole safetensors file ({error})") from None
    _expect_tensors(path, want, shapes)


def write_weights(module: nn.Module, path: Path, dtype: torch.dtype = torch.bfloat16) -> None:
    """Write a module's weights in `dtype`; the file appears whole or not at all. Raises OSError as on a full disk."""
    partial = path.with_name(f".{path.name}.partial")
    weights = {name: value.detach().to("cpu", dtype).contiguous() for name, value in module.state_dict().items()}
    try:
        save_tensors(weights, partial)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Write a safetensors file. Raises OSError that names it if it cannot be written, as on a full disk."""
    try:
        save_file(tensors, path)
    except SafetensorError as error:
        raise OSError(f"{path}: cannot be written ({error})") from error


def _expect_tensors(path: Path, want: dict[str, tuple[int, ...]], got: dict[str, tuple[int, ...]]) -> None:
    problems = []
    if missing := sorted(want.keys() - got.keys()):
        problems.append(f"{len(missing)} tensors are missing, first {missing[0]!r}")
    if extra := sorted(got.keys() - want.keys()):
        problems.append(f"{len(extra)} tensors are unexpected, first {extra[0]!r}")
    for name in sorted(want.keys() & got.keys()):
        if want[name] != got[name]:
            problems.append(f"{name!r} has shape {got[name]}, expected {want[name]}")
            break
    if problems:
        raise ValueError(f"{path}: these are not the weights of this network: " + "; ".join(problems))
