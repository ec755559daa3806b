"""Frozen picture encoders, one kind per file: from pictures to the embeddings that a prior makes and a decoder reads.

To add one, add a file with a frozen value that subclasses `PictureEncoder`. An encoder is a small value until its
weights are read, only from safetensors files.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, ClassVar, Protocol, Self

import torch
from pydantic import Field
from torch import Tensor

from zoetrope.config import Kind
from zoetrope.shapes import expect_shape


class EncodePictures(Protocol):
    """A loaded, frozen picture encoder: pictures (B, 3, H, W) in [-1, 1] of any size -> features (B, D)."""

    def __call__(self, pictures: Tensor) -> Tensor:
        """Any length: `embed` scales it."""
        ...


class PictureEncoder(Kind, ABC):
    """The description of a frozen picture encoder, usable without loading it.

    Attributes:
        unit: whether `embed` gives embeddings one length; otherwise they keep their own.
        width: D, of an embedding.
    """

    folder: ClassVar[str] = "zoetrope.pictures"
    unit: ClassVar[bool] = True

    width: Annotated[int, Field(ge=1, le=2**19)]

    @property
    def size(self) -> tuple[int, int]:
        """The height and width in pixels at which it sees pictures best; others are resized."""
        return 24, 40

    @property
    def identity(self) -> str:
        """An identifier of the embeddings, as that of `zoetrope.text.TextEncoder`; by default the description.

        An encoder with files tells of their contents, or their name on the hub, and not of the folder they are in.
        """
        return json.dumps(self.renamed(lambda name: "").to_json(), sort_keys=True)

    @property
    def local(self) -> bool:
        """Whether `identity` may depend on files of this machine; otherwise the description alone gives it."""
        return True

    def renamed(self, change: Callable[[str], str]) -> Self:
        """The same, if it names the folder of a pretrained model, by the name that `change` makes of that name.

        Raises what `change` raises.
        """
        return self

    @abstractmethod
    def load(self) -> EncodePictures:
        """Find, check and read the weights, on the CPU. Raises ValueError, in one line, if they cannot be used."""


def embed(encoder: PictureEncoder, pictures: Tensor) -> Tensor:
    """The embeddings (B, D) of pictures (B, 3, H, W) in [-1, 1], float32 on the CPU, each of the length sqrt(D).

    Then numbers are of about the size 1, as diffusion expects [Ramesh et al. 2022, arXiv:2204.06125]. Those of an
    encoder that is not `unit` keep their length. Each picture is encoded alone, so that its embedding does not depend
    on the batch.

    Raises ValueError for pictures of another shape, and if the encoder cannot be loaded.
    """
    expect_shape("pictures", pictures, None, 3, None, None)
    encode = _loaded(encoder)
    with torch.no_grad():
        features = [encode(one.float().cpu()[None])[0].float() for one in pictures]
    made = torch.stack(features) if features else torch.zeros(0, encoder.width)
    return torch.nn.functional.normalize(made, dim=-1) * encoder.width**0.5 if encoder.unit else made


@lru_cache(maxsize=2)
def _loaded(encoder: PictureEncoder) -> EncodePictures:
    """The encoder with its weights, read once in a process."""
    return encoder.load()
