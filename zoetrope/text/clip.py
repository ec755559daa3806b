"""The text side of CLIP (Radford et al. 2021, arXiv:2103.00020): narrower, and trained on what pictures show."""

from collections.abc import Callable
from typing import Annotated, Self

import torch
from pydantic import Field

from zoetrope.pretrained import find_folder, fingerprint, is_local, read, tokenizer
from zoetrope.text import Encode, TextEncoder
from zoetrope.text._frozen import Frozen


class CLIPText(TextEncoder):
    """The last hidden states, after the final normalisation, of a CLIP text encoder: a hub id or a local folder.

    The folder may hold the whole CLIP; only its text side is read.

    Attributes:
        model: a hub id, or a local folder with config.json, safetensors and tokenizer; "./NAME": in the model's own
            folder.
        revision: branch, tag or commit on the hub; None is its main branch. Of no meaning for a folder.
        width: features of a token: 512 for ViT-B, 768 for ViT-L.
        limit: most tokens of a text, including the two that mark its begin and end.
        padded: whether every text is padded to the limit and all its tokens count, as Stable Diffusion has it.
    """

    model: str = "openai/clip-vit-large-patch14"
    revision: str | None = None
    width: Annotated[int, Field(ge=1, le=2**19)] = 768
    limit: Annotated[int, Field(ge=3, le=77)] = 77
    padded: bool = False

    @property
    def identity(self) -> str:
        """See `TextEncoder`."""
        padded = " padded" if self.padded else ""
        return f"clip {fingerprint(self.model, self.revision)} {self.limit}{padded}"

    @property
    def local(self) -> bool:
        """See `TextEncoder`."""
        return is_local(self.model)

    @property
    def pads(self) -> bool:
        """See `TextEncoder`."""
        return self.padded

    def renamed(self, change: Callable[[str], str]) -> Self:
        """See `TextEncoder`."""
        return self.with_(model=change(self.model))

    def load(self, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Encode:
        """See `TextEncoder`."""
        from transformers import CLIPTextModel

        folder = find_folder(self.model, self.revision)
        network = read(CLIPTextModel, ("clip", "clip_text_model"), folder, self.width, device, dtype)
        return Frozen(tokenizer(folder, ("tokenizer.json", "vocab.json")), network, self.limit, self.padded)
