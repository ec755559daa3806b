"""Partial fine-tuning: frozen weights, and low-rank adapters beside them [Hu et al. 2021, arXiv:2106.09685].

The adapters are those of the library peft. A checkpoint holds the merged weights under the network's own names, so that
its readers need not know about adapters, and the adapters separately.
"""

import difflib
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from zoetrope.config import Config
from zoetrope.files.plain import expect_plain
from zoetrope.models.weights import read_weights, write_weights
from zoetrope.networks import Former, Network

ATTENTION = ("*attention.*",)
MARKS = (".lora_A.", ".lora_B.")  # in the names of an adapter's parameters
BASE = "base.safetensors"  # the weights beside which a run's adapters learn
NAME = "zoetrope"  # of the adapter, among those that peft could keep in one network


class Lora(Config):
    """Adapters beside linear maps, trained instead of the maps themselves.

    Attributes:
        rank: of each adapter's product. alpha: scales the product by alpha / rank; None: alpha = rank, a scale of 1.
        dropout: share of an adapter's input that is dropped in training.
        targets: patterns over the names of linear maps, such as "*.query"; by default all projections of attention.
    """

    rank: PositiveInt = 8
    alpha: PositiveFloat | None = None
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    targets: Annotated[tuple[str, ...], Field(min_length=1)] = ATTENTION


def freeze(network: Network, patterns: Iterable[str], learn: Iterable[str] = ()) -> None:
    """Freeze the parameters that match one of `patterns`; if `learn` is not empty, also all that match none of it.

    Raises ValueError, with the nearest name, for a pattern that matches nothing, or if nothing is left to learn.
    """
    parameters = dict(network.named_parameters())
    names = {name: _older(network, name) for name in parameters}
    learning = {name for one in learn for name in _matching("learn", "parameter", one, names)} or set(parameters)
    frozen = {name for one in patterns for name in _matching("freeze", "parameter", one, names)}
    for name in frozen | (parameters.keys() - learning):
        parameters[name].requires_grad_(False)
    if not any(parameter.requires_grad for parameter in parameters.values()):
        raise ValueError("freeze: every parameter of the network is frozen, nothing is left to learn")


def adapt(network: Network, lora: Lora) -> None:
    """Insert adapters, whose product is initially zero, into a network, and freeze everything else.

    Raises ValueError if peft is not installed, or for a pattern that matches no linear map.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ValueError(f"lora: expected the package peft to be installed ({error}); try: pip install peft") from None
    linear = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    maps = {name: _older(network, f"{name}.weight").removesuffix(".weight") for name in linear}
    found = {name for one in lora.targets for name in _matching("lora.targets", "linear map", one, maps)}
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.rank if lora.alpha is None else lora.alpha,  # type: ignore[arg-type]
        lora_dropout=lora.dropout,
        target_modules=sorted(found),
    )
    inject_adapter_in_model(config, network, adapter_name=NAME)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(_is_adapter(name))


def keep_base(network: Network, path: Path, leads: bool) -> None:
    """Load the base weights of an adapted network from a file or, without it, write them there in full precision.

    Only the leading process writes. Raises ValueError if the file is not of this network.
    """
    if path.exists():
        read_weights(network, path)
    elif leads:
        write_weights(network, path, torch.float32)


def is_adapted(network: nn.Module) -> bool:
    """Whether there are adapters in a network."""
    return any(_is_adapter(name) for name, _ in network.named_parameters())


def adapters(network: nn.Module) -> dict[str, Tensor]:
    """The tensors of a network's adapters, ready for a safetensors file; {} without any."""
    return {name: value.detach().contiguous() for name, value in network.state_dict().items() if _is_adapter(name)}


def merged(network: nn.Module, state: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """A network's weights, each with its adapter's product added, under their names without adapters.

    `state` is the network's state_dict if it was gathered from several processes.
    """
    state = network.state_dict() if state is None else state
    plain = {
        name.replace(".base_layer.", "."): value.detach().contiguous()
        for name, value in state.items()
        if not _is_adapter(name)
    }
    for name, module in network.named_modules():
        down, up = (f"{name}.lora_{side}.{NAME}.weight" for side in "AB")
        if down in state:
            change = float(module.scaling[NAME]) * (state[up].float() @ state[down].float())
            plain[f"{name}.weight"] = (plain[f"{name}.weight"] + change.to(plain[f"{name}.weight"].dtype)).contiguous()
    return plain


def read_adapters(network: Network, path: Path) -> None:
    """Load a network's adapters from a safetensors file.

    Raises ValueError that names the file if it is missing or damaged, or if its adapters are not this network's.
    """
    own = adapters(network)
    expect_plain(path)
    try:
        stored = _of_today(network, load_file(path), own)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except SafetensorError as error:
        raise ValueError(f"{path}: not a whole safetensors file ({error})") from None
    wrong = {name for name in own.keys() | stored.keys() if name not in own or name not in stored}
    wrong |= {name for name in own.keys() & stored.keys() if own[name].shape != stored[name].shape}
    if wrong:
        raise ValueError(f"{path}: these are not the adapters of this network; first {min(wrong)!r}")
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(stored[name])


def formerly(network: Network) -> dict[str, Former]:
    """See `Network.formerly`; also for adapters, whose input side stays whole and whose output side is split."""
    found = dict(network.formerly())
    for name, value in adapters(network).items():
        if (old := found.get(".".join([name[: name.index(".lora_")], "weight"]))) is not None:
            place = old.name.removesuffix(".weight") + name[name.index(".lora_") :]
            rows = (0, len(value)) if ".lora_A." in name else (old.first, old.end)
            found[name] = Former(place, *rows)
    return found


def _of_today(network: Network, stored: dict[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Stored adapters under today's names."""
    moved = {name: old for name, old in formerly(network).items() if name in own and old.name in stored}
    gone = {old.name for old in moved.values()}
    today = {name: stored[old.name][old.first : old.end] for name, old in moved.items()}
    return {name: value for name, value in stored.items() if name not in gone} | today


def _is_adapter(name: str) -> bool:
    return any(mark in name for mark in MARKS)


def _older(network: Network, name: str) -> str:
    """The name that a parameter had in older versions."""
    former = network.formerly().get(name)
    return name if former is None else former.name


def _matching(where: str, what: str, pattern: str, names: Mapping[str, str]) -> list[str]:
    """The names that a pattern matches, by today's or older spelling. Raises ValueError, with the nearest, if none."""
    found = [name for name, older in names.items() if fnmatchcase(name, pattern) or fnmatchcase(older, pattern)]
    if not found:
        near = sorted(names, key=lambda name: -_likeness(pattern.strip("*."), name))[:3]
        raise ValueError(f"{where}: no {what} matches {pattern!r}; nearest: {', '.join(near)}")
    return found


def _likeness(wanted: str, name: str) -> float:
    """The similarity, in [0, 1], of a name or a part of it to `wanted`."""
    return max(difflib.SequenceMatcher(None, wanted, part).ratio() for part in (name, *name.split(".")))
