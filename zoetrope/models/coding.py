"""Between a stage's z and its videos: what is known of the videos is encoded, and z is decoded."""

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


@dataclass(frozen=True, eq=False, kw_only=True)
class Coding:
    """A stage's codec, and what is known of its videos.

    Attributes:
        codec: on the device; None: z is videos.
        known: frames of the videos that are given, in pixels, on the device; None: none are.
    """

    stage: StageSpec
    codec: CodecNetwork | None
    known: Known | None

    @classmethod
    def of(
        cls, stage: StageSpec, load: Callable[[], CodecNetwork] | None, known: Known | None, device: torch.device
    ) -> Self:
        """That of a stage, whose codec `load` loads where it has one."""
        codec = load().to(device) if stage.codec.encodes and load is not None else None
        return cls(stage=stage, codec=codec, known=None if known is None else known.to(device, torch.float32))

    @cached_property
    def known_z(self) -> Known | None:
        """What is known of z. A latent is known where all its pixels, and those around them, are."""
        if self.codec is None or self.known is None:
            return self.known
        values = encoded(self.codec, self.known.values[:1]).expand(len(self.known.video), -1, -1, -1, -1)
        mask = None if self.known.mask is None else mask_at(self.known.mask, self.stage.shape)
        return replace(self.known, video=values, mask=mask)

    def source(self, video: Tensor | None, z: Tensor | None) -> Tensor | None:
        """What the stage reads of another's `video`, of which `z` are the latents, if that one made some."""
        if video is None or self.codec is None:
            return video
        return encoded(self.codec, video) if z is None else z

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
