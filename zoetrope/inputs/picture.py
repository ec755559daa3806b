"""The embedding of a picture: made by a prior from text, or of a picture that a user has.

unCLIP's decoder [Ramesh et al. 2022, arXiv:2204.06125, Sec. 2.1], and Make-A-Video's [Singer et al. 2022,
arXiv:2209.14792, Sec. 3.1]. A vector is a sequence of one token, so that it may be of the video, (B, 1, D), or of each
frame, (B, F, 1, D), and may be unknown, as text may be.
"""

import os
from collections.abc import Callable
from typing import Annotated, Any, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from zoetrope.conditioning import Conditioning, Tokens
from zoetrope.inputs import Asked, Examples, Extent, Input
from zoetrope.pictures import PictureEncoder, embed
from zoetrope.pictures.small import SmallPictures
from zoetrope.shapes import VideoShape
from zoetrope.video import Video, probe, read

NAME = "picture"


class Picture(Input):
    """A picture's embedding: in training that of a random frame of the clip.

    Attributes:
        encoder: what makes embeddings of pictures.
        of: the stage that makes the embedding in sampling where no picture is given; None: it is unknown then.
        dropout: share of training examples whose embedding is unknown, for guidance.
    """

    encoder: PictureEncoder = SmallPictures()
    of: str | None = None
    dropout: Annotated[float, Field(ge=0, le=1)] = 0.1

    @property
    def vector(self) -> int:
        """D of the embedding."""
        return self.encoder.width

    @property
    def asked(self) -> Asked:
        """See `Input`."""
        return Asked("picture")

    def renamed(self, change: Callable[[str], str]) -> Self:
        """See `Input`."""
        encoder = self.encoder.renamed(change)
        return self if encoder == self.encoder else self.with_(encoder=encoder)

    @property
    def stage(self) -> str | None:
        """The stage that makes the embedding."""
        return self.of

    def of_examples(self, shape: VideoShape, examples: Examples) -> Conditioning:
        """Of a clip the embedding of a random frame of it; of images, packed or appended to a clip, of each its own.

        One per video; if any example of the whole batch is a pack of images, one per frame, equal in all of a clip.
        """
        places = _told_of(examples)
        told = places[:, :1] if examples.packed is None else places
        flat = torch.arange(len(told))[:, None] * places.shape[1] + told
        some, back = flat.unique(return_inverse=True)
        shown = examples.x.transpose(1, 2).flatten(0, 1)[some][:, :, None]
        values = embed(self.encoder, examples.pixels(shown)[:, :, 0])[back]
        values = values if examples.packed is None else values[:, :, None]
        given = Conditioning(tokens={NAME: Tokens.real(values)})
        return given.without(NAME, examples.uniform() < self.dropout)

    def of_request(self, value: Any, count: int) -> Conditioning:
        """The embedding of one picture for all videos: a `Video` of one frame, an array (H, W, 3) uint8, or a file.

        A tensor (D,) or (1, D) is an embedding, and (count, D) are several. Raises ValueError for anything else.
        """
        if value is None:
            return self.blank(Extent(count, (1, 1, 1), 0, 0)).without(NAME)
        told = self._told(value, count)
        values = told if isinstance(value, Tensor) else embed(self.encoder, told)[0]
        return Conditioning(tokens={NAME: Tokens.real(values.expand(count, -1)[:, None])})

    def expect(self, value: Any, shape: VideoShape, count: int) -> None:
        """See `Input`; nothing is embedded yet."""
        self._told(value, count)

    def _told(self, value: Any, count: int) -> Tensor:
        """The embeddings of a request, or its picture (1, 3, H, W)."""
        if not isinstance(value, Tensor):
            return picture_told(value)
        if value.shape not in ((self.vector,), (1, self.vector), (count, self.vector)):
            got = tuple(value.shape)
            raise ValueError(f"{NAME}: expected an embedding of width {self.vector}, or {count} of them, got {got}")
        return value.float()

    def of_output(self, output: Tensor) -> Conditioning:
        """The vectors (B, D, 1, 1, 1) that another stage has made."""
        return Conditioning(tokens={NAME: Tokens.real(output.flatten(1)[:, None])})

    def blank(self, extent: Extent) -> Conditioning:
        """One embedding of zeros for each video, or for each frame of a pack."""
        each = (extent.videos, extent.grid[0]) if extent.packed else (extent.videos,)
        return Conditioning(tokens={NAME: Tokens.real(torch.zeros(*each, 1, self.vector))})


def frames_of_clips(examples: Examples) -> Tensor:
    """How many frames of each video are of a clip, (b,) int64, none of a pack; images may be appended to them."""
    frames = examples.x.shape[2]
    packed = [False] * len(examples.x) if examples.packed is None else examples.packed.tolist()
    counts = [
        0 if pack else frames if len(samples) < 2 else sum(one is samples[0] for one in samples)
        for pack, samples in zip(packed, examples.samples, strict=True)
    ]
    return torch.tensor(counts)


def _told_of(examples: Examples) -> Tensor:
    """Which frame of its video each frame is told the embedding of, (b, F) int64: in a clip one of the clip's."""
    own = torch.arange(examples.x.shape[2]).expand(len(examples.x), -1).clone()
    for row, (clip, draw) in enumerate(
        zip(frames_of_clips(examples).tolist(), examples.uniform().tolist(), strict=True)
    ):
        own[row, :clip] = int(draw * clip)
    return own


def picture_told(value: Any) -> Tensor:
    """The picture (1, 3, H, W) in [-1, 1] that a request names. Raises ValueError for anything else, as a video."""
    if isinstance(value, str | os.PathLike):
        if (count := probe(value).frames) > 1:
            one = "give one of them as a file, such as .png"
            raise ValueError(f"{NAME}={os.fspath(value)}: expected one picture, got {count} frames; {one}")
        value = read(value, frames=1)
    frames = value.frames if isinstance(value, Video) else np.asarray(value)
    frames = frames[None] if frames.ndim == 3 else frames
    if frames.dtype != np.uint8 or frames.ndim != 4 or len(frames) != 1 or frames.shape[-1] != 3 or 0 in frames.shape:
        got = f"{frames.shape} {frames.dtype}"
        raise ValueError(f"{NAME}: expected one picture (H, W, 3) uint8, a Video of one frame or a file, got {got}")
    return Video(frames, 1).to_tensor()[None, :, 0]
