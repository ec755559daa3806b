"""Pretrained language and picture models: finding a model's folder, and reading it without pickle or its code."""

import contextlib
import hashlib
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from zoetrope.config.errors import shown
from zoetrope.files import cache_folder
from zoetrope.files.plain import expect_plain, read_json
from zoetrope.files.store import Store

FILES = ["*.safetensors", "*.json", "spiece.model", "vocab.txt", "merges.txt"]
# Models whose main branch holds only a pickle, and where the same weights are in safetensors.
REVISIONS = {"google/t5-v1_1-xxl": "refs/pr/2"}
VARIANTS = ("fp32", "fp16", "bf16")
"""Of weights, by their precision: what repositories call files beside those of no such name, or in place of them."""
_MOST, _MOST_LAYERS = 10_000_000, 1000  # of any number in a config.json, and of layers


def find_folder(model: str, revision: str | None = None) -> Path:
    """The folder of a model: a local one, or that of a hub id, downloaded once (never its pickled weights).

    Raises ValueError, in one line, if there is no such folder and the hub cannot give it.
    """
    local = Path(os.path.expanduser(model))
    if local.is_dir():
        return local
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    revision = revision or REVISIONS.get(model)
    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=FILES, ignore_patterns=["*/*"]))
    except HFValidationError:
        reason = "no such folder, and no name that the hub could have"
    except (OSError, ValueError, RuntimeError) as error:
        message = str(error).strip().partition("\n")[0]  # some errors say nothing
        reason = f"no such folder here; from the hub: {type(error).__name__}{message and ': '}{message}"
    at = f" (revision {revision})" if revision else ""
    raise ValueError(f"{model}{at}: expected a local folder or a model of the Hugging Face hub, got {reason}")


def located(model: str, folder: Path) -> str:
    """The name of a model, or its path if it is one relative to `folder`: "./" and a path below it.

    Raises ValueError for a path that leads out of the folder: a description may come from anyone.
    """
    if not model.startswith("./"):
        return model
    path = (folder / model).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ValueError(f"{folder}: expected an encoder inside it, got {model!r}, which leads out of it")
    return str(path)


def is_local(model: str) -> bool:
    """Whether a model is a folder here, and not one of the hub."""
    return Path(os.path.expanduser(model)).is_dir()


def fingerprint(model: str, revision: str | None = None) -> str:
    """A string that identifies a model without loading it: its name on the hub, or a digest of its files.

    A name on the hub is only as exact as its revision: only a commit never changes. The files of a folder are read
    whole, but only once while they stay unchanged; the folder's path and dates do not matter.
    """
    if not is_local(model):
        return f"{model}@{revision or REVISIONS.get(model, 'main')}"
    store, local = Store(cache_folder("text")), Path(os.path.expanduser(model))
    told = hashlib.sha256()
    for path in sorted(path for path in local.iterdir() if any(map(path.match, FILES)) and path.is_file()):
        told.update(f"{path.name} {store.sha256(path)}\n".encode())
    return f"sha256:{told.hexdigest()}"


def tokenizer(folder: Path, names: Sequence[str]) -> Any:
    """The fast tokenizer in `folder`. Raises ValueError if it has none of `names`, or needs code of its own."""
    if not any((folder / name).is_file() for name in names):
        raise ValueError(f"{folder}: expected a tokenizer ({' or '.join(names)}), got none")
    from transformers import AutoTokenizer

    with reading(folder):
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def read(
    kind: Any, types: Collection[str], folder: Path, width: int, device: torch.device | str, dtype: torch.dtype
) -> torch.nn.Module:
    """The model of class `kind` in `folder`, frozen. `types` are the "model_type"s that its config.json may say.

    Raises ValueError if its features have not this `width`, if it is a model of another type, or if the folder holds no
    safetensors weights, not all or others too: a pickle can run any code and is never read, and code that the folder
    brings along is never run.
    """
    expect_encoder_dtype(dtype)
    expect_usable(folder)
    if (got := read_json(folder / "config.json").get("model_type")) not in (None, *types):
        raise ValueError(f"{folder}: expected a model of type {' or '.join(sorted(types))}, got one of type {got}")
    with reading(folder):
        config = kind.config_class.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if config.hidden_size != width:
        raise ValueError(f"width: expected {config.hidden_size}, the width of {folder}, got {width}")
    network, left = with_weights(kind, config, folder, dtype=dtype)
    parts = {name.partition(".")[0] for name in network.state_dict()}
    more = [name for name in left if name.removeprefix(f"{network.base_model_prefix}.").partition(".")[0] in parts]
    if more:
        raise ValueError(f"{folder}: expected the weights that its config.json describes, got also {more[0]}")
    made: torch.nn.Module = network.to(device)
    return made


def variant_in(folder: Path, stem: str = "model") -> str | None:
    """The variant of the weights to read, such as "fp16" of `model.fp16.safetensors`; None for those without one.

    One is only read where those without are missing, so that a repository of that variant alone can be read.
    """
    for variant in (None, *VARIANTS):
        if any((folder / name).is_file() for name in files_of(stem, variant)):
            return variant
    return None


def files_of(stem: str, variant: str | None) -> tuple[str, str]:
    """What the file of weights is called, and the index of those in several files."""
    dotted = "" if variant is None else f".{variant}"
    return f"{stem}{dotted}.safetensors", f"{stem}.safetensors.index{dotted}.json"


def with_weights(
    kind: Any,
    config: Any,
    folder: Path,
    *,
    spare: str | None = None,
    dtype: torch.dtype | Literal["auto"] = torch.float32,
) -> tuple[Any, list[str]]:
    """The model of class `kind` of a config, with the weights in `folder`, frozen; the names of those that are left.

    A part of the name `spare`, which the caller does not use, may lack its weights. "auto" is the type that they are
    stored in.

    Raises ValueError if the folder holds no safetensors weights, or not all that the config describes: no memory is
    taken for more than there can be.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickles = sorted(p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pth", ".ckpt"))
        got = f"only pickled weights ({', '.join(pickles)}), which are never read" if pickles else "none"
        raise ValueError(f"{folder}: expected weights in *.safetensors, got {got}")
    make, told = (kind.from_config, {"trust_remote_code": False}) if hasattr(kind, "from_config") else (kind, {})
    with reading(folder), torch.device("meta"):
        count = sum(value.numel() for value in make(config, **told).parameters())
    if count > (size := sum(file.stat().st_size for file in files)):
        what = f"the weights of {count:,} parameters, as its config.json describes them"
        raise ValueError(f"{folder}: expected {what}, got files of {size:,} bytes")
    with reading(folder):
        network, report = kind.from_pretrained(
            folder,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            variant=variant_in(folder),
            dtype=dtype,
        )
    if missing := sorted(name for name in report["missing_keys"] if name.partition(".")[0] != spare):
        what = f"the weights of a {type(network).__name__}"
        raise ValueError(f"{folder}: expected {what}, got none for {missing[0]} ({len(missing)} missing)")
    left = sorted(name for name in report["unexpected_keys"] if not name.endswith("position_ids"))
    return network.eval().requires_grad_(False), left


def expect_usable(folder: Path) -> None:
    """Check the config.json of a model's folder before a model is built from it.

    Raises ValueError if there is none or it is no JSON object, if it requires foreign code or claims absurd sizes, if
    the folder has adapters of another model, which would be downloaded, or if a file that may be read is a pipe, a
    device, or elsewhere.
    """
    file = folder / "config.json"
    for path in folder.iterdir():
        if any(map(path.match, FILES)):
            expect_plain(path)
        if path.match("*.safetensors.index*.json"):
            _expect_beside(path)
    if not file.is_file():
        raise ValueError(f"{folder}: expected a model's folder, got one without config.json")
    if (folder / "adapter_config.json").exists():
        raise ValueError(f"{folder}: expected a whole model, got an adapter of another one (adapter_config.json)")
    parts = [read_json(file)]
    if not isinstance(parts[0], dict):
        raise ValueError(f"{file}: expected an object, got {shown(parts[0])}")
    while parts:
        part = parts.pop()
        parts += [value for value in part.values() if isinstance(value, dict)] if isinstance(part, dict) else []
        for key, value in part.items() if isinstance(part, dict) else ():
            most = _MOST_LAYERS if key.endswith("layers") else _MOST
            if isinstance(value, int | float) and value > most:
                raise ValueError(f"{file}: {key}: expected at most {most:,}, got {value:,}")
            if key.endswith("attn_implementation") and "/" in str(value):
                raise ValueError(f"{file}: {key}: expected one of transformers itself, got {value!r} of the hub")


def _expect_beside(index: Path) -> None:
    """Raise ValueError for an index of weights in several files that names one which does not lie beside it."""
    told = read_json(index)
    files = told.get("weight_map") if isinstance(told, dict) else None
    for name in set(map(str, files.values())) if isinstance(files, dict) else ():
        if Path(name).name != name or "\\" in name:
            raise ValueError(f"{index}: expected files of weights beside it, got {name!r}")


@contextlib.contextmanager
def reading(folder: Path) -> Iterator[None]:
    """A context for transformers to read a folder in: nothing is printed, and any error becomes one ValueError."""
    try:
        with _quiet():
            yield
    except MemoryError:
        raise
    except Exception as error:  # damaged files make it raise almost anything
        message = str(error).strip().partition("\n")[0]
        if "custom code" in message:
            message = "its model is not one of transformers but comes with code of its own, which is never run"
        raise ValueError(f"{folder}: cannot be read: {message or type(error).__name__}") from error


def expect_encoder_dtype(dtype: torch.dtype) -> None:
    """Raise ValueError unless encoders compute in this type."""
    if dtype not in (torch.float32, torch.bfloat16):
        raise ValueError(f"dtype: expected float32 or bfloat16, got {str(dtype).removeprefix('torch.')}")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress bar and the table of unused weights that transformers writes while it reads a model."""
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
