"""Shared by encoders: running a frozen model of transformers, and cutting texts at its limit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from zoetrope.text import Embedding, expect_text

_BREAKS = str.maketrans({sign: " " for sign in "\t\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029"})


@dataclass(frozen=True)
class Frozen:
    """A transformers text model and its tokenizer, in evaluation mode and without gradients.

    With `padded` every text is padded to the limit, the model is told of no padding, and all tokens are real: that is
    how Stable Diffusion reads texts. "" is a text then, its null.
    """

    tokenizer: Any
    network: torch.nn.Module
    limit: int
    padded: bool = False

    def __call__(self, texts: Sequence[str]) -> Embedding:
        """See `zoetrope.text.Encode`."""
        for text in texts:
            if text or not self.padded:
                expect_text(text)
        device = next(self.network.parameters()).device
        tokens = self.tokenizer(
            [text.translate(_BREAKS) for text in texts],
            padding="max_length" if self.padded else True,
            truncation=True,
            max_length=self.limit,
            padding_side="right",
            return_tensors="pt",
        ).to(device)
        attended = None if self.padded else tokens.attention_mask
        with torch.no_grad():
            text = self.network(input_ids=tokens.input_ids, attention_mask=attended).last_hidden_state
        mask = torch.ones_like(tokens.input_ids, dtype=torch.bool) if attended is None else attended.bool()
        return Embedding(text.masked_fill(~mask[..., None], 0), mask)

    def cut(self, text: str) -> str:
        """See `zoetrope.text.Encode`."""
        expect_text(text)
        text = text.translate(_BREAKS)
        if len(self.tokenizer(text, verbose=False).input_ids) <= self.limit:
            return ""
        read = self.tokenizer(text, truncation=True, max_length=self.limit, return_offsets_mapping=True)
        return after(text, max(stop for _, stop in read.offset_mapping))


def after(text: str, end: int) -> str:
    """The rest of a text that is read up to position `end`, from the first word that is not wholly read."""
    if end < len(text) and not text[end].isspace():
        while end > 0 and not text[end - 1].isspace():
            end -= 1
    return text[end:].strip()
