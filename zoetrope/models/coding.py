"""Between a stage's z and its videos: what is known of the videos is encoded, and z is decoded."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from zoetrope.cascade.spec import StageSpec
from zoetrope.codecs import CodecNetwork, decoded, encoded
from zoetrope.known import Known
from zoetrope.models.known import mask_at

log = logging.getLogger(__name__)
UNFOLLOWED = (
    "stage %r: no latent of %dx%d pixels is known whole, with its neighbours: what is known is put into the videos, "
    "and they do not follow it"
)
UNSEEN = "stage %r: no pixel of %dx%d is known whole, with its neighbours: its videos do not follow what is known"


@dataclass(frozen=True, eq=False, kw_only=True)
class Coding:
    """A stage's codec, what is known of its videos, and what it reads.

    Attributes:
        codec: on the device; None: z is videos.
        known: frames of the videos that are given, in pixels, on the device; None: none are.
        seen: the video of another stage that this one reads, in pixels; None: it reads none.
        latents: of `seen`, if that stage made some.
    """

    stage: StageSpec
    codec: CodecNetwork | None
    known: Known | None
    seen: Tensor | None = None
    latents: Tensor | None = None

    @classmethod
    def of(
        cls,
        stage: StageSpec,
        load: Callable[[], CodecNetwork] | None,
        known: Known | None,
        read: tuple[Tensor | None, Tensor | None],
        device: torch.device,
    ) -> Self:
        """That of a stage, whose codec `load` loads where it has one; `read` are `seen` and its latents."""
        codec = load().to(device) if stage.codec.encodes and load is not None else None
        given = None if known is None else known.to(device, torch.float32)
        return cls(stage=stage, codec=codec, known=given, seen=read[0], latents=read[1])

    @cached_property
    def known_z(self) -> Known | None:
        """What is known of z. A latent is known where all its pixels, and those around them, are.

        Where nothing is, of a stage that is smaller than the mask, a warning says so.
        """
        if self.codec is None or self.known is None:
            if self.known is not None and self.known.mask is not None and not self.known.mask.any():
                log.warning(UNSEEN, self.stage.name, self.stage.shape.height, self.stage.shape.width)
            return self.known
        pixels = self.known.values
        alike = bool((pixels == pixels[:1]).all())  # mostly: the same frames for all videos
        values = encoded(self.codec, pixels[:1] if alike else pixels).expand(len(pixels), -1, -1, -1, -1)
        mask = None if self.known.mask is None else mask_at(self.known.mask, self.stage.shape)
        if mask is not None and not mask.any():
            side = self.codec.codec.factor
            log.warning(UNFOLLOWED, self.stage.name, side, side)
        return replace(self.known, video=values, mask=mask)

    @cached_property
    def source(self) -> Tensor | None:
        """What the stage is given of `seen`: the latents where it makes latents."""
        if self.seen is None or self.codec is None:
            return self.seen
        return encoded(self.codec, self.seen) if self.latents is None else self.latents

    def video(self, z: Tensor) -> Tensor:
        """The videos of z, in which known frames are exactly as they were given."""
        if self.codec is None:
            return z
        made = decoded(self.codec, z)
        return made if self.known is None else self.known.put_into(made)

    @property
    def decode(self) -> Callable[[Tensor], Tensor] | None:
        """What makes videos of z; None: they are the same."""
        return None if self.codec is None else self.video
