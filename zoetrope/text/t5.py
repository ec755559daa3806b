"""T5 encoders (Raffel et al. 2020, arXiv:1910.10683); T5-XXL v1.1 reads the prompts of Imagen Video."""

from collections.abc import Callable
from typing import Annotated, Self

import torch
from pydantic import Field

from zoetrope.pretrained import find_folder, fingerprint, is_local, read, tokenizer
from zoetrope.text import Encode, TextEncoder
from zoetrope.text._frozen import Frozen
from zoetrope.text._spiece import read_spiece


class T5(TextEncoder):
    """The token sequence of a T5 encoder: a hub id, at `revision` if one is given, or a local folder.

    The folder needs config.json, weights in safetensors, and tokenizer.json or spiece.model.

    Attributes:
        model: a hub id, or a local folder; "./NAME": in the model's own folder.
        revision: branch, tag or commit on the hub; None is its main branch. Of no meaning for a folder.
        width: features of a token, T5's d_model: 512 for small, 768 base, 1024 large, 2048 xl, 4096 xxl.
        limit: most tokens of a text, including the one that marks its end.
    """

    model: str = "google/t5-v1_1-xxl"
    revision: str | None = None
    width: Annotated[int, Field(ge=1, le=2**19)] = 4096
    limit: Annotated[int, Field(ge=2, le=100_000)] = 128

    @property
    def identity(self) -> str:
        """See `TextEncoder`."""
        return f"t5 {fingerprint(self.model, self.revision)} {self.limit}"

    @property
    def local(self) -> bool:
        """See `TextEncoder`."""
        return is_local(self.model)

    def renamed(self, change: Callable[[str], str]) -> Self:
        """See `TextEncoder`."""
        return self.with_(model=change(self.model))

    def load(self, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Encode:
        """See `TextEncoder`."""
        from transformers import T5EncoderModel

        folder = find_folder(self.model, self.revision)
        network = read(T5EncoderModel, ("t5", "mt5"), folder, self.width, device, dtype)
        alone = (folder / "spiece.model").is_file() and not (folder / "tokenizer.json").is_file()
        words = read_spiece(folder / "spiece.model") if alone else tokenizer(folder, ("tokenizer.json", "spiece.model"))
        return Frozen(words, network, self.limit)
