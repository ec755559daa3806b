"""Words without a language model: the network learns their meaning from training alone.

A baseline for the paper's frozen language model. Every word has a fixed random vector, unrelated to all others, which
the network's first linear layer learns to map. With no more words than `width` this equals a learned table of word
embeddings, because random vectors are then as good as a one-hot code.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated
from zlib import crc32

import torch
from pydantic import Field
from torch import Tensor

from zoetrope.text import Embedding, Encode, TextEncoder, expect_text

_WORD = re.compile(r"\w+|[^\w\s]")


class Words(TextEncoder):
    """One token for each word or punctuation mark, in order; its vector includes its position.

    Attributes:
        width: features of a token.
        limit: most words and punctuation marks of a text.
    """

    width: Annotated[int, Field(ge=8, le=2**19)] = 384
    limit: Annotated[int, Field(ge=1, le=100_000)] = 64

    @property
    def identity(self) -> str:
        """See `TextEncoder`."""
        return f"words {self.width} {self.limit}"

    @property
    def local(self) -> bool:
        """See `TextEncoder`."""
        return False

    def load(self, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Encode:
        """See `TextEncoder`; no file is needed."""
        return _Table(self.width, self.limit, torch.device(device), dtype)


@dataclass(frozen=True)
class _Table:
    width: int
    limit: int
    device: torch.device
    dtype: torch.dtype

    def __call__(self, texts: Sequence[str]) -> Embedding:
        """See `zoetrope.text.Encode`."""
        for prompt in texts:
            expect_text(prompt)
        rows = [_WORD.findall(prompt.lower())[: self.limit] for prompt in texts]
        text = torch.zeros(len(rows), max(map(len, rows)), self.width)
        mask = torch.zeros(text.shape[:2], dtype=torch.bool)
        for number, words in enumerate(rows):
            places = (_vector(f"place {place}", self.width) for place in range(len(words)))
            vectors = [_vector(word, self.width) + 0.5 * place for word, place in zip(words, places, strict=True)]
            text[number, : len(words)] = torch.stack(vectors)
            mask[number, : len(words)] = True
        return Embedding(text.to(self.device, self.dtype), mask.to(self.device))

    def cut(self, text: str) -> str:
        """See `zoetrope.text.Encode`."""
        expect_text(text)
        starts = [found.start() for found in _WORD.finditer(text.lower())]
        return text[starts[self.limit] :].strip() if len(starts) > self.limit else ""


@lru_cache(maxsize=65536)
def _vector(word: str, width: int) -> Tensor:
    """The vector (D,) of a word or place, of standard normal values."""
    return torch.randn(width, generator=torch.Generator().manual_seed(crc32(word.encode())))
