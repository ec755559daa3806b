"""Finding the files of extractors, and their digests."""

import hashlib
import os
from pathlib import Path

from zoetrope.metrics.features import Missing


def find_file(where: str, remedy: str) -> Path:
    """A local file, or one of the hub by "owner/name/path/of/file".

    Raises `Missing`, with `remedy`, if there is no such file and the hub cannot give it.
    """
    path = Path(os.path.expanduser(where))
    if path.is_file():
        return path
    if where.count("/") < 2 or where.startswith(("/", ".", "~")) or path.exists():
        raise Missing(f"{where}: no such file", remedy)
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError

    owner, name, file = where.split("/", 2)
    try:
        return Path(hf_hub_download(f"{owner}/{name}", file))
    except (OSError, HFValidationError, RuntimeError) as error:
        cause = str(error).strip().partition("\n")[0]
        raise Missing(
            f"{where}: no such file here, nor from the hub: {type(error).__name__}: {cause}", remedy
        ) from None


def find_model(where: str, remedy: str) -> Path:
    """The folder of a transformers model: a local one, or a hub id, without its pickled weights.

    Raises `Missing`, with `remedy`, if there is none, and ValueError if its weights are not in safetensors or its
    config.json is not usable, see `zoetrope.pretrained.expect_usable`.
    """
    from zoetrope.pretrained import expect_usable, find_folder

    try:
        folder = find_folder(where)
    except ValueError as error:
        raise Missing(str(error), remedy) from None
    expect_usable(folder)
    if not any(folder.glob("*.safetensors")):
        raise ValueError(f"{folder}: expected weights in *.safetensors, got none; pickles are never read")
    return folder


def digest(*paths: Path) -> str:
    """The sha256 of files, one after the other."""
    total = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            for part in iter(lambda file=file: file.read(2**20), b""):  # type: ignore[misc]
                total.update(part)
    return total.hexdigest()


def expect_digest(path: Path, wanted: str | None) -> str:
    """The sha256 of a file. Raises ValueError if it is not the `wanted` one."""
    found = digest(path)
    if wanted is not None and found != wanted.lower():
        raise ValueError(f"{path}: expected the file with sha256 {wanted}, got {found}")
    return found
