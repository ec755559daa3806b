"""Text: tokens of a frozen language model [Ho et al. 2022, arXiv:2210.02303, Sec. 2.2]."""

from collections.abc import Iterable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from zoetrope.conditioning import Conditioning, Tokens
from zoetrope.inputs import Examples, Extent, Input
from zoetrope.shapes import VideoShape

TEXT = "text"


class Text(Input):
    """The caption of each video, or of each picture of a pack.

    Attributes:
        dropout: share of training examples whose text is dropped, for classifier-free guidance. With 1 a network that
            could read text learns without any, and is told none in sampling either.
    """

    dropout: Annotated[float, Field(ge=0, le=1)] = 0.1

    def of_examples(self, shape: VideoShape, examples: Examples) -> Conditioning:
        """One text per video; if any example of the whole batch is a pack of images, one per frame."""
        frames = examples.x.shape[2]
        texts = [[sample.text for sample in samples] for samples in examples.samples]
        if examples.packed is not None:
            texts = [own * frames if len(own) == 1 else own for own in texts]
        tokens = examples.encode([text for own in texts for text in own])
        if examples.packed is not None:
            tokens = tokens.each(lambda value: value.unflatten(0, (len(texts), frames)))
        return Conditioning(tokens={TEXT: tokens}).without(TEXT, examples.uniform() < self.dropout)

    def blank(self, extent: Extent) -> Conditioning:
        """Tokens of zeros, all of them real."""
        each = (extent.videos, extent.grid[0]) if extent.packed else (extent.videos,)
        values = torch.zeros(*each, extent.tokens, extent.width)
        return text_given(values, torch.ones(values.shape[:-1], dtype=torch.bool))


def tells_text(inputs: Iterable[Input]) -> bool:
    """Whether there is a text among the inputs of a stage, and its network has been told some in training."""
    return any(each.name == TEXT and not (isinstance(each, Text) and each.dropout == 1) for each in inputs)


def text_given(values: Tensor, mask: Tensor | None = None) -> Conditioning:
    """Conditioning that is text alone: embeddings (B, L, D) with mask (B, L), or (B, F, L, D) for one text per frame.

    Without a mask all tokens are real.
    """
    return Conditioning(tokens={TEXT: Tokens.real(values) if mask is None else Tokens(values, mask)})
