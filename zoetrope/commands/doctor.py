"""`zoetrope doctor`: check what this machine can do."""

import os
import platform
from collections.abc import Callable
from importlib import metadata
from typing import Any

import typer

from zoetrope.commands._options import Json, Quiet
from zoetrope.commands._talk import Talk

PACKAGES = ("torch", "numpy", "safetensors", "huggingface_hub", "transformers", "av", "pydantic", "typer", "rich")
ENCODERS = {"mp4": "libx264", "webm": "libvpx-vp9", "gif": "gif", "png": "png"}


def doctor(json: Json = False, quiet: Quiet = False) -> None:
    """Tell what this machine can do, and what is missing.

    Versions, devices, speed, codecs, text encoders, models and caches. Exit status 1 if making and saving a video would
    fail.
    """
    from zoetrope.commands._health import Finding, findings, first_line

    sections, found = dict[str, dict[str, Any]](), list[Finding]()
    for title, told in SECTIONS.items():
        try:
            sections[title] = told()
        except (ImportError, OSError) as error:  # of a package that is missing or broken
            sections[title] = {}
            found.append(Finding(f"{title}: {first_line(error)}"))
    found = list(dict.fromkeys([*found, *findings(sections["writes"], sections["cache"])]))
    problems, notes = ([one.told for one in found if one.fatal is fatal] for fatal in (True, False))
    lines = []
    for title, facts in sections.items():
        lines += [f"{title}:", *(f"  {key}: {value}" for key, value in facts.items())]
    lines += [f"NOTE: {note}" for note in notes]
    lines += [f"PROBLEM: {problem}" for problem in problems] or ["no problems found"]
    value = {**sections, "problems": problems, "notes": notes}
    Talk(json, quiet).result(value, "" if quiet and not problems else "\n".join(lines))
    if problems:
        raise typer.Exit(1)


def _versions() -> dict[str, Any]:
    from zoetrope import __version__

    found: dict[str, Any] = {"zoetrope": __version__, "python": platform.python_version()}
    return found | {package: _version(package) for package in PACKAGES}


def _machine() -> dict[str, Any]:
    import torch

    from zoetrope.processes.cores import cores

    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
    facts: dict[str, Any] = {
        "system": platform.platform(),
        "cores": cores(),
        "torch threads": torch.get_num_threads(),
        "memory": f"{pages / 2**30:.1f} GiB",
    }
    for number in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(number)
        facts[f"cuda:{number}"] = f"{card.name}, {card.total_memory / 2**30:.1f} GiB"
    if torch.backends.mps.is_available():
        facts["mps"] = "available"
    return facts


def _speed() -> dict[str, Any]:
    """The measured gain of bfloat16 on the CPU, and the choice of `--dtype auto`."""
    import torch

    from zoetrope.commands._options import device_named
    from zoetrope.models.precision import compute_dtype, matmul_seconds

    full, half = (matmul_seconds(dtype) for dtype in (torch.float32, torch.bfloat16))
    device = device_named(None)
    operations = 2 * 512**3
    return {
        "cpu fp32": f"{operations / full / 1e9:.1f} GFLOP/s",
        "cpu bf16": f"{operations / half / 1e9:.1f} GFLOP/s",
        "default": f"{device}, {str(compute_dtype(device)).removeprefix('torch.')}",
    }


def _writes() -> dict[str, Any]:
    """The codec behind each suffix, None where PyAV lacks it or cannot be imported."""
    try:
        import av
    except ImportError:
        return dict.fromkeys(ENCODERS)
    found: dict[str, Any] = {}
    for suffix, codec in ENCODERS.items():
        try:
            av.Codec(codec, "w")
        except av.codec.codec.UnknownCodecError:
            found[suffix] = None
        else:
            found[suffix] = codec
    return found


def _text_encoders() -> dict[str, Any]:
    """The location on this machine of each kind's default encoder; nothing is downloaded."""
    from zoetrope.commands._health import in_hub_cache
    from zoetrope.text import TextEncoder
    from zoetrope.text import minilm as mini

    found: dict[str, Any] = {}
    for kind in TextEncoder.every():
        default = kind.model_fields.get("model")
        name = mini.HUB if kind is mini.MiniLM else None if default is None else str(default.default)
        if name is None:
            found[kind.kind()] = "needs no files"
        else:
            found[kind.kind()] = f"{name}, {'in the cache of the hub' if in_hub_cache(name) else 'not here'}"
    if mini.packaged() is not None:
        found["minilm"] = f"package {mini.PACKAGE} {_version(mini.PACKAGE)}"
    return found


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _models() -> dict[str, Any]:
    from zoetrope.models.finding import shipped

    return {name: str(folder) for name, folder in shipped().items()} or {"shipped": "none"}


def _cache() -> dict[str, Any]:
    """The cache folder: whether it is writable, how many texts it holds, and remains of older versions."""
    from zoetrope.commands._health import writable
    from zoetrope.files import cache_folder
    from zoetrope.files.store import FILE

    folder = cache_folder("text")
    file = folder / FILE
    facts: dict[str, Any] = {"folder": str(folder.parent), "writable": writable(folder.parent)}
    facts["text features"] = f"{file.stat().st_size / 1e6:.1f} MB" if file.is_file() else "none yet"
    old = [path for path in folder.glob("*/*.safetensors") if path.is_file()]
    if old:
        size = sum(path.stat().st_size for path in old) / 1e6
        facts["of older versions"] = f"{size:.1f} MB in folders of {folder}, read no more, which may be removed"
    return facts


SECTIONS: dict[str, Callable[[], dict[str, Any]]] = {
    "versions": _versions,
    "machine": _machine,
    "speed": _speed,
    "writes": _writes,
    "text encoders": _text_encoders,
    "models": _models,
    "cache": _cache,
}
