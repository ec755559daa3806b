"""Frozen text encoders: from prompts to the token features that every stage attends to.

Imagen Video conditions on the token sequence of a frozen T5-XXL encoder (Ho et al. 2022, arXiv:2210.02303);
any encoder that gives a sequence of features can stand in its place. An encoder is a small value until `load` is
called; only then are weights found, checked and read, and only from safetensors files.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar, NamedTuple, Protocol, Self

import torch
from pydantic import Field
from torch import Tensor

from zoetrope.config import Kind


class Embedding(NamedTuple):
    """Encoded prompts: `text` (B, L, D), zero at padding, and `mask` (B, L) bool, True at real tokens."""

    text: Tensor
    mask: Tensor


class Encode(Protocol):
    """A loaded, frozen text encoder."""

    def __call__(self, texts: Sequence[str]) -> Embedding:
        """Encode prompts as one batch, padded to its longest; a prompt's features do not depend on its neighbours.

        Tokens beyond the encoder's limit are dropped: see `cut`. Raises ValueError for an empty prompt.
        """
        ...

    def cut(self, text: str) -> str:
        """The end of a prompt beyond the limit, from the first word that does not wholly fit; "" if all of it fits."""
        ...


class TextEncoder(Kind, ABC):
    """The description of a frozen language model, usable without loading it.

    `width` is D, the features of a token, and `limit` the most tokens of a prompt, special ones included.
    """

    folder: ClassVar[str] = "zoetrope.text"

    width: Annotated[int, Field(ge=1, le=2**19)]
    limit: Annotated[int, Field(ge=1, le=100_000)]

    @property
    @abstractmethod
    def identity(self) -> str:
        """An identifier of the features: encoders of equal identity give equal features, wherever their files are.

        It covers weights, tokenizer, settings and limit, by their content or a required checksum. Any change to how an
        encoder computes features must change its identity.
        """

    @property
    def local(self) -> bool:
        """Whether `identity` may depend on files of this machine; otherwise the description alone gives it."""
        return True

    @property
    def pads(self) -> bool:
        """Whether all texts have `limit` real tokens, so that their number does not tell how long a text is."""
        return False

    def renamed(self, change: Callable[[str], str]) -> Self:
        """The same, if it names the folder of a pretrained model, by the name that `change` makes of that name.

        Raises what `change` raises.
        """
        return self

    @abstractmethod
    def load(self, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Encode:
        """Find, check and read the weights.

        Raises ValueError, in one line that says what was tried, if they are missing or not those of this encoder.
        """


def expect_text(text: str) -> None:
    """Raise ValueError for a blank text, and for characters that a file cannot hold. Line breaks count as blanks."""
    if not text.strip():
        raise ValueError(f"prompt: expected some text, got {'only blanks' if text else 'an empty string'}")
    for place, letter in enumerate(text):
        if letter == "\0" or "\ud800" <= letter <= "\udfff":
            raise ValueError(f"prompt: expected text, got {letter!a}, which is no letter, at place {place}")
