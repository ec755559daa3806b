"""Arrays that belong to the frames of recordings: actions, a vector for each frame, and maps, static or for each."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from zoetrope.config import Config, unknown
from zoetrope.data.arrays.axes import CHANNEL, COLUMN, ROW, TIME, Axes
from zoetrope.data.arrays.reading import Reader, called, expect_numbers
from zoetrope.video.resample import resize_present

USUAL = {"action": "t,c", "map": "y,x"}


class BesideArray(Config):
    """An array that examples have beside their videos.

    Attributes:
        kind: an "action" is a vector for each frame; a "map" is aligned with the videos' pixels, static or for each
            frame. One of another resolution is resized.
        array: its name in the file.
        column: the column of the index that names its file, relative to the index; None: the file of the video.
        axes: of it, in order: "t" is time, "c" the entries of vectors or the channels of maps, and axes along which
            recordings lie apart have the names that they have in `axes` of the source. None: "t,c" of actions, "y,x" of
            maps.
    """

    kind: Literal["action", "map"]
    array: str = ""
    column: str | None = None
    axes: Annotated[str | None, Field(max_length=200)] = None

    @model_validator(mode="after")
    def _readable(self) -> Self:
        names = self.parsed.names
        if self.kind == "action" and (TIME not in names or {ROW, COLUMN} & {*names}):
            raise ValueError(f"axes: expected those of vectors in time, such as 't,c', got {self.axes!r}")
        return self

    @property
    def parsed(self) -> Axes:
        """The axes."""
        wanted = () if self.kind == "action" else (ROW, COLUMN)
        return Axes.parsed(self.axes or USUAL[self.kind], wanted)


def expect_beside(reader: Reader, one: BesideArray, frames: int, apart: Mapping[str, int]) -> None:
    """Raise ValueError that names file and array unless it is there and fits recordings of so many frames."""
    if one.array not in reader.fields:
        raise ValueError(f"{reader.path}: {unknown('array', one.array, reader.fields)}")
    where, field, axes = called(reader.path, one.array), reader.fields[one.array], one.parsed
    expect_numbers(reader.path, one.array, field)
    if len(field.shape) != len(axes.names):
        raise ValueError(f"{where}: expected the axes {','.join(axes.names)!r}, got the shape {field.shape}")
    for name in axes.apart:
        if name not in apart:
            raise ValueError(f"{where}: expected axes of the videos, {sorted(apart)}, t, c, y and x, got {name!r}")
    wanted = {**apart, **({TIME: frames} if TIME in axes.names else {})}
    for name, size in wanted.items():
        if name in axes.names and (got := axes.size(field.shape, name)) != size:
            what = "frames" if name == TIME else f"entries along {name!r}"
            raise ValueError(f"{where}: expected {size} {what}, as the videos have, got {got}")


def read_beside(reader: Reader, one: BesideArray, entry: Mapping[str, int], frames: Sequence[int]) -> Tensor:
    """An array of these frames of a recording, float32: vectors (F, K), or maps (C', F or 1, H', W').

    Frames after the end of the recording are not among them. NaN where there is no value.
    """
    field, axes = reader.fields[one.array], one.parsed
    first, last = min(frames, default=0), max(frames, default=0)
    parts = {name: slice(0, axes.size(field.shape, name), 1) for name in axes.names}
    parts |= {name: slice(entry[name], entry[name] + 1, 1) for name in axes.apart}
    if TIME in axes.names:
        parts[TIME] = slice(first, last + 1, 1)
    values = reader.read(one.array, axes.box(parts)).transpose(axes.order())
    values = values.reshape(values.shape[len(axes.apart) :])
    if TIME in axes.names:
        values = values[[frame - first for frame in frames]]
    elif one.kind == "map":
        values = values[None]
    if CHANNEL not in axes.names:
        values = values[:, None]
    found = torch.from_numpy(np.ascontiguousarray(values)).float()
    return found if one.kind == "action" else found.movedim(1, 0)


def beside_clip(value: Tensor, kind: str, frames: int, grid: tuple[int, int], part: tuple[Any, Any]) -> Tensor:
    """What `read_beside` read, for a clip: as many frames, NaN after the end; of maps on a grid a part of it.

    `grid` is (height, width) of the whole map, `part` the rows and columns of it.
    """
    if kind == "map":
        rows, columns = part
        value = resize_present(value, *grid)[..., rows.start : rows.stop, columns.start : columns.stop]
        if value.shape[1] == 1:
            return value.expand(-1, frames, -1, -1)
    axis = 0 if kind == "action" else 1
    lacking = frames - value.shape[axis]
    if not lacking:
        return value
    shape = [lacking if place == axis else size for place, size in enumerate(value.shape)]
    return torch.cat([value, value.new_full(shape, torch.nan)], axis)
