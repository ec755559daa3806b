"""Arrays that belong to the frames of recordings: actions, maps, and videos of a lower resolution."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from zoetrope.channels import MOST
from zoetrope.config import Config, unknown
from zoetrope.data.arrays.axes import CHANNEL, COLUMN, ROW, TIME, Axes
from zoetrope.data.arrays.reading import Reader, called, expect_numbers
from zoetrope.video.resample import resize_present
from zoetrope.wording import counted

USUAL = {"action": "t,c", "map": "y,x", "video": "t,y,x"}


class BesideArray(Config):
    """An array that examples have beside their videos.

    Attributes:
        kind: an "action" is a vector for each frame; a "map" is aligned with the videos' pixels, static or for each
            frame. One of another resolution is resized. A "video" has the videos' channels and scales at a lower
            resolution, see `zoetrope.inputs.low_res.LowRes.told`.
        array: its name in the file; of a video whose channels are arrays of their own, their names, in order.
        column: the column of the index that names its file, relative to the index; None: the file of the video.
        axes: of it, in order: "t" is time, "c" the entries of vectors or the channels of maps, and axes along which
            recordings lie apart have the names that they have in `axes` of the source. None: "t,c" of actions, "y,x" of
            maps, "t,y,x" of videos.
        fill: stored values that stand for no value, beside those that the files name. None: of a video those of the
            source, of others none.
    """

    kind: Literal["action", "map", "video"]
    array: str | Annotated[tuple[str, ...], Field(min_length=1, max_length=MOST)] = ""
    column: str | None = None
    axes: Annotated[str | None, Field(max_length=200)] = None
    fill: tuple[float, ...] | None = None

    @model_validator(mode="after")
    def _readable(self) -> Self:
        names = self.parsed.names
        if self.kind == "action" and (TIME not in names or {ROW, COLUMN} & {*names}):
            raise ValueError(f"axes: expected those of vectors in time, such as 't,c', got {self.axes!r}")
        if self.kind == "video" and TIME not in names:
            raise ValueError(f"axes: expected those of a video, such as 't,y,x', got {self.axes!r}")
        if not isinstance(self.array, str) and (self.kind != "video" or CHANNEL in names):
            raise ValueError("array: expected one name; several are the channels of a video, each without the axis 'c'")
        return self

    @property
    def arrays(self) -> tuple[str, ...]:
        """The names of its arrays."""
        return (self.array,) if isinstance(self.array, str) else self.array

    @property
    def parsed(self) -> Axes:
        """The axes."""
        wanted = () if self.kind == "action" else (ROW, COLUMN)
        return Axes.parsed(self.axes or USUAL[self.kind], wanted)


def expect_beside(reader: Reader, one: BesideArray, frames: int, apart: Mapping[str, int], channels: int) -> None:
    """Raise ValueError that names file and array unless it is there and fits recordings of so many frames.

    Videos must have as many `channels`, too.
    """
    for name in one.arrays:
        _expect_array(reader, name, one.parsed, frames, apart)
    if one.kind == "video":
        first = reader.fields[one.arrays[0]].shape
        axes = one.parsed
        got = len(one.arrays) if CHANNEL not in axes.names else axes.size(first, CHANNEL)
        if got != channels:
            wanted = counted(channels, "channel")
            raise ValueError(f"{called(reader.path, one.arrays[0])}: expected {wanted}, as the videos have, got {got}")
        for name in one.arrays[1:]:
            if (shape := reader.fields[name].shape) != first:
                raise ValueError(f"{called(reader.path, name)}: expected the shape {first}, got {shape}")


def _expect_array(reader: Reader, name: str, axes: Axes, frames: int, apart: Mapping[str, int]) -> None:
    if name not in reader.fields:
        raise ValueError(f"{reader.path}: {unknown('array', name, reader.fields)}")
    where, field = called(reader.path, name), reader.fields[name]
    expect_numbers(reader.path, name, field)
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


def read_beside(
    reader: Reader, one: BesideArray, entry: Mapping[str, int], frames: Sequence[int], fill: Sequence[float] = ()
) -> Tensor:
    """An array of these frames of a recording, float32: vectors (F, K), or maps (C', F or 1, H', W').

    Frames after the end of the recording are not among them. NaN where there is no value: `fill` says which values
    videos have there, unless the array says it itself.
    """
    if one.fill is not None or one.kind != "video":
        fill = one.fill or ()
    found = [_read(reader, one, name, entry, frames, fill) for name in one.arrays]
    return found[0] if len(found) == 1 else torch.cat(found)


def _read(
    reader: Reader,
    one: BesideArray,
    array: str,
    entry: Mapping[str, int],
    frames: Sequence[int],
    fill: Sequence[float],
) -> Tensor:
    field, axes = reader.fields[array], one.parsed
    first, last = min(frames, default=0), max(frames, default=0)
    parts = {name: slice(0, axes.size(field.shape, name), 1) for name in axes.names}
    parts |= {name: slice(entry[name], entry[name] + 1, 1) for name in axes.apart}
    if TIME in axes.names:
        parts[TIME] = slice(first, last + 1, 1)
    values = reader.read(array, axes.box(parts), fill).transpose(axes.order())
    values = values.reshape(values.shape[len(axes.apart) :])
    if TIME in axes.names:
        values = values[[frame - first for frame in frames]]
    elif one.kind == "map":
        values = values[None]
    if CHANNEL not in axes.names:
        values = values[:, None]
    found = torch.from_numpy(np.ascontiguousarray(values)).float()
    return found if one.kind == "action" else found.movedim(1, 0)


def beside_clip(value: Tensor, one: BesideArray, frames: int, grid: tuple[int, int], part: tuple[Any, Any]) -> Tensor:
    """What `read_beside` read, for a clip: as many frames, NaN after the end; of maps on a grid a part of it.

    `grid` is (height, width) of the whole map, `part` the rows and columns of it. Of a video it is what lies there, at
    its own resolution. Raises ValueError for a part that begins or ends within one of its pixels.
    """
    if one.kind == "video":
        down, across = (_within(*each) for each in zip(value.shape[2:], grid, part, strict=True))
        value = value[..., down, across]
    if one.kind == "map":
        rows, columns = part
        value = resize_present(value, *grid)[..., rows.start : rows.stop, columns.start : columns.stop]
        if TIME not in one.parsed.names:
            return value.expand(-1, frames, -1, -1)
    axis = 0 if one.kind == "action" else 1
    lacking = frames - value.shape[axis]
    if not lacking:
        return value
    shape = [lacking if place == axis else size for place, size in enumerate(value.shape)]
    return torch.cat([value, value.new_full(shape, torch.nan)], axis)


def _within(size: int, grid: int, part: range) -> slice:
    """Where a part of a grid lies on an axis of another size."""
    if part.start * size % grid or part.stop * size % grid:
        raise ValueError(f"expected a size of which {part.start} to {part.stop} of {grid} are whole pixels, got {size}")
    return slice(part.start * size // grid, part.stop * size // grid)
