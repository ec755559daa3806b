"""Ensembles: several videos of one request, which differ by chance alone, and files with an axis of members."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np

from zoetrope.channels import RGB, Channel, difference, place_of
from zoetrope.fields.value import Fields
from zoetrope.fields.writing import holds_values, write
from zoetrope.video import Video


@dataclass(frozen=True)
class Ensemble(Sequence[Video]):
    """Videos of one shape and rate, and of the same channels.

        ensemble = cascade.generate(members=16, given={"kappa": 0.1})
        ensemble["rain"].mean(0)     # of (members, F, H, W), in units
        ensemble[0].save("first.nc")
        ensemble.save("all.nc")      # or .npz, .zarr; of .mp4 and others one file for each member

    Attributes:
        members: at least one; `zoetrope.fields.Fields` where the channels are not red, green and blue.
    """

    members: tuple[Video, ...]

    def __post_init__(self) -> None:
        """Raises ValueError for none, and for members that differ in shape, rate or channels."""
        if not self.members:
            raise ValueError("Ensemble: expected at least one member, got none")
        first, *others = (_told(one) for one in self.members)
        if wrong := [one for one in others if one != first]:
            raise ValueError(f"Ensemble: expected members alike, {first}, got {wrong[0]}")
        for one in self.members[1:]:
            if isinstance(one, Fields) and (other := difference(self.channels, one.channels)) is not None:
                raise ValueError(f"Ensemble: {other}, of another member")

    def __len__(self) -> int:
        return len(self.members)

    @overload
    def __getitem__(self, item: int) -> Video: ...
    @overload
    def __getitem__(self, item: slice) -> tuple[Video, ...]: ...
    @overload
    def __getitem__(self, item: str) -> np.ndarray: ...

    def __getitem__(self, item: int | slice | str) -> Video | tuple[Video, ...] | np.ndarray:
        """A member by number; of a channel by name the values (M, F, H, W) of all members, in its unit.

        Raises ValueError, with the nearest name, for an unknown channel.
        """
        if not isinstance(item, str):
            return self.members[item]
        place = place_of(self.channels, item)
        return np.stack([_values(one)[place] for one in self.members])

    def __iter__(self) -> Iterator[Video]:
        return iter(self.members)

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Names, units and scales."""
        first = self.members[0]
        return first.channels if isinstance(first, Fields) else RGB

    def save(self, path: str | os.PathLike[str], *, tags: Mapping[str, str] | None = None) -> list[str]:
        """Write all members to a .npz, .zarr or .nc file, along its axis "member", or pictures, a file for each.

        The latter are numbered, name-001.mp4. Returns the paths. Raises ValueError as `Fields.save` does.
        """
        if holds_values(path):
            values = {channel: self[channel.name] for channel in self.channels}
            write(path, values, self.members[0].fps, tags or {})
            return [os.fspath(path)]
        own = Path(path)
        paths = [str(own.with_name(f"{own.stem}-{number:03d}{own.suffix}")) for number in range(1, len(self) + 1)]
        for one, name in zip(self.members, paths, strict=True):
            one.save(name, tags=tags)
        return paths


def _values(video: Video) -> np.ndarray:
    """The values (C, F, H, W) of a video in units."""
    return video.values if isinstance(video, Fields) else np.moveaxis(video.frames, -1, 0).astype(np.float32)


def _told(video: Video) -> str:
    names = [channel.name for channel in video.channels] if isinstance(video, Fields) else ["pictures"]
    return f"{', '.join(names)} of {video.frames.shape[:3]} at {video.fps:g} fps"
