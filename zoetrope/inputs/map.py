"""Maps that are aligned with the videos: land and sea, a mask, a forecast; static or of each frame, of any resolution.

They are concatenated to z, with a channel more that says where they are known.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from zoetrope.conditioning import Conditioning
from zoetrope.config.errors import shown
from zoetrope.fields import holds_values, read_maps
from zoetrope.inputs import Asked, Examples, Extent, Input
from zoetrope.inputs._files import array_of
from zoetrope.inputs._told import ToldName, frames_beside, on_scale
from zoetrope.scales import Scale
from zoetrope.shapes import VideoShape
from zoetrope.video.resample import proportioned, resize_present
from zoetrope.wording import counted


class Map(Input):
    """A map of some quantities, by its name in the data.

    Pixels where it is NaN are unknown; those of other resolutions are resized to the grid of z.

    Attributes:
        told: its name, in the data and in requests.
        channels: how many quantities it has.
        scale: how values become the numbers that networks see, about -1 to 1; None: they are such.
        dropout: share of training examples in which all of it is unknown, for guidance and for requests without it.
    """

    told: ToldName
    channels: Annotated[int, Field(ge=1, le=64)] = 1
    scale: Scale | None = None
    dropout: Annotated[float, Field(ge=0, le=1)] = 0.1

    @property
    def name(self) -> str:
        """The name in the data."""
        return self.told

    @property
    def asked(self) -> Asked:
        """See `Input`."""
        return Asked("map", size=self.channels)

    @property
    def description(self) -> str:
        """See `Input`."""
        return f"{self.told} (a map of {counted(self.channels, 'channel')})"

    @property
    def tells(self) -> dict[str, str]:
        """See `Input`."""
        return {self.told: "map"}

    @property
    def size(self) -> int:
        """The channels."""
        return self.channels

    def of_examples(self, shape: VideoShape, examples: Examples) -> Conditioning:
        """The map of each video, unknown in some. Raises ValueError that names a clip whose map does not fit."""
        sizes = examples.x.shape[2:]
        given = self._given(torch.stack([self._of_samples(samples, sizes) for samples in examples.samples]))
        return given.without(self.told, examples.uniform() < self.dropout)

    def of_told(self, samples: Sequence[Any]) -> Conditioning:
        """The map of each sample."""
        return self._given(torch.stack([self._of_samples([one], one.video.shape[1:]) for one in samples]))

    def fitted(self, value: Any, shape: VideoShape) -> Tensor:
        """The map (C', F, H, W) of a request on the grid of a stage.

        It is an array (H, W), (F, H, W), (C', H, W) or (C', F, H, W) of any resolution, or a file .npy; or .npz, .nc
        or .zarr with an array of its name. One map holds for all frames.

        Raises ValueError for another number of frames or channels, and for other proportions.
        """
        path = os.path.expanduser(value) if isinstance(value, str | os.PathLike) else None
        if path is not None and holds_values(path):
            given = torch.from_numpy(read_maps(path, self.told))
        else:
            given = torch.from_numpy(array_of(self.told, value))
        where = self.told if path is None else f"{self.told}={Path(path)}"
        return self._on_grid(where, given, shape)

    def of_request(self, value: Any, count: int) -> Conditioning:
        """A map (C', F, H, W) on the stage's grid for all videos. Raises ValueError for anything else."""
        if not isinstance(value, Tensor) or value.ndim != 4:
            raise ValueError(f"{self.told}: expected a map, got {shown(value)}")
        return self._given(value.expand(count, -1, -1, -1, -1))

    def unknown(self, extent: Extent) -> Conditioning:
        """All of it is unknown."""
        return self.blank(extent)

    def blank(self, extent: Extent) -> Conditioning:
        """Zeros."""
        return Conditioning(maps={self.told: torch.zeros(extent.videos, self.channels + 1, *extent.grid)})

    def _on_grid(self, where: str, given: Tensor, shape: VideoShape) -> Tensor:
        frames = (1, shape.frames)
        wanted = f"({shape.height}, {shape.width}) or ({shape.frames}, {shape.height}, {shape.width})"
        if self.channels > 1:
            wanted = f"({self.channels}, {shape.height}, {shape.width}) or {(self.channels, *shape.sizes)}"
        legal = f"{where}: expected the axes {wanted}, or others of these proportions"
        whole = given
        if given.ndim in (2, 3):
            whole = (
                given[None] if given.ndim == 3 and self.channels == 1 else given[(None,) * (3 - given.ndim)][:, None]
            )
        if whole.ndim != 4 or len(whole) != self.channels or whole.shape[1] not in frames or 0 in whole.shape:
            raise ValueError(f"{legal}, got {tuple(given.shape)}")
        if not proportioned((whole.shape[2], whole.shape[3]), (shape.height, shape.width)):
            raise ValueError(f"{legal}, got {tuple(given.shape)}")
        if bool(whole.isinf().any()):
            raise ValueError(f"{where}: expected finite numbers, or NaN where there are none, got infinity")
        if not bool(whole.isfinite().any()):
            raise ValueError(f"{where}: expected numbers, got NaN everywhere; leave it out where it is unknown")
        return resize_present(whole, shape.height, shape.width).expand(-1, shape.frames, -1, -1)

    def _of_samples(self, samples: Sequence[Any], sizes: Sequence[int]) -> Tensor:
        """The map of a video of these frames, rows and columns, NaN where unknown."""
        frames, height, width = sizes
        value = frames_beside(self.told, samples, frames, 1)
        if value is None:
            return torch.full((self.channels, frames, height, width), torch.nan)
        if value.ndim != 4 or len(value) != self.channels:
            wanted, got = counted(self.channels, "channel"), tuple(value.shape)
            raise ValueError(f"{samples[0].name}: {self.told}: expected a map of {wanted}, got the shape {got}")
        return resize_present(value, height, width)

    def _given(self, values: Tensor) -> Conditioning:
        """The conditioning of maps (B, C', F, H, W), unknown where any quantity is NaN."""
        seen = on_scale(self.told, values.double(), self.scale)
        known = seen.isfinite().all(1, keepdim=True)
        whole = torch.cat([torch.where(known, seen, 0), known.to(seen.dtype)], 1)
        return Conditioning(maps={self.told: whole.float()})
