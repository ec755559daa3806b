"""The text that the stages of a cascade are told."""

from collections.abc import Sequence

import torch

from zoetrope.cascade.spec import CascadeSpec
from zoetrope.conditioning import Conditioning
from zoetrope.embeddings.cache import EmbeddingCache
from zoetrope.inputs.text import text_given
from zoetrope.models.places import memory_told


def encoded(
    spec: CascadeSpec,
    cache: EmbeddingCache | None,
    prompts: Sequence[str | None],
    negative: str | None,
    device: torch.device,
) -> tuple[Conditioning, Conditioning | None]:
    """The text of the prompts and of the negative prompt, padded to equal length; None has no real tokens.

    Raises ValueError for a prompt if the cascade is told no text.
    """
    texts = [*prompts] if negative is None else [*prompts, negative]
    known = [row for row, text in enumerate(texts) if text is not None]
    if spec.text is None or cache is None:
        if known:
            raise ValueError(f"{spec.name}: expected no prompt, for it is told no text; got {texts[known[0]]!r}")
        return Conditioning(), None
    text, mask = torch.zeros(len(texts), 1, spec.text.width), torch.zeros(len(texts), 1, dtype=torch.bool)
    if known:
        with memory_told(f"the text encoder {spec.text.kind()}"):
            some = cache.encode([text for text in texts if text is not None])
        length = some.mask.shape[1]
        text, mask = text.repeat(1, length, 1), mask.repeat(1, length)
        text[known], mask[known] = some.text, some.mask
    text, mask = text.to(device), mask.to(device)
    count = len(prompts)
    against = None if negative is None else text_given(text[count:], mask[count:])
    return text_given(text[:count], mask[:count]), against
