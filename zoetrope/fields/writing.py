"""Files of values: .npz of NumPy, .zarr folders and .nc files of netCDF, read, and written whole or not at all.

They hold one array (time, y, x) for each channel, under its name, with its unit, and the frames' times in seconds.
Those of ensembles hold arrays (member, time, y, x).
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from importlib import util
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zoetrope.channels import Channel
from zoetrope.config.strict_json import parse_json
from zoetrope.fields.netcdf import read_netcdf, read_netcdf_tags, write_netcdf
from zoetrope.fields.npz import read_npz, read_npz_tags, write_npz
from zoetrope.fields.zarr import read_zarr, read_zarr_tags, write_zarr
from zoetrope.files import whole, whole_folder
from zoetrope.video.tags import read_tags
from zoetrope.video.writing import check_output

AXES = ("member", "time", "y", "x")


class Format(NamedTuple):
    """A format of files.

    Attributes:
        write: (path, values by channel, times, JSON of tags) writes a new file.
        read: (path, names) -> the arrays of these names that are there, each with its unit; None: it is not said.
        tags: path -> the JSON of its tags.
        needs: the library that it takes, and its extra; None: none.
    """

    write: Callable[[Path, Mapping[Channel, np.ndarray], np.ndarray, str], None]
    read: Callable[[Path, Sequence[str]], dict[str, tuple[np.ndarray, str | None]]]
    tags: Callable[[Path], str]
    needs: tuple[str, str] | None = None


FORMATS = {
    ".nc": Format(write_netcdf, read_netcdf, read_netcdf_tags, ("netCDF4", "netcdf")),
    ".npz": Format(write_npz, read_npz, read_npz_tags),
    ".zarr": Format(write_zarr, read_zarr, read_zarr_tags, ("zarr", "zarr")),
}


def holds_values(path: str | os.PathLike[str]) -> bool:
    """Whether a file of that name holds values, and not pictures."""
    return Path(path).suffix.lower() in FORMATS


def check_file(path: str | os.PathLike[str], frames: int | None = None, fps: float | None = None) -> None:
    """Raise ValueError, with one line that says why, if such a video cannot be written to `path`.

    It has so many frames and frames a second, as far as these are known.

    A file of values is replaced, a folder .zarr never is. See `zoetrope.video.check_output` for files of pictures.
    """
    if not holds_values(path):
        check_output(path, frames, fps)
        return
    target = Path(path)
    _expect_library(path)
    if target.is_dir():
        raise ValueError(f"{path}: expected a new name, got a folder")
    check_output(target.with_name("values.mp4"))  # whether its folder can be written


def _expect_library(path: str | os.PathLike[str]) -> None:
    suffix = Path(path).suffix.lower()
    needs = FORMATS[suffix].needs
    if needs is not None and util.find_spec(needs[0]) is None:
        raise ValueError(f'{path}: {suffix} files need {needs[0]}: pip install "zoetrope[{needs[1]}]"; .npz needs none')


def read_values(path: str | os.PathLike[str], channels: Sequence[Channel]) -> np.ndarray:
    """The values (C, F, H, W) float32, in units, of a file with an array (F, H, W) or (H, W) for each channel.

    Raises ValueError that names the channel for one that is missing, holds no numbers, has another unit or another
    shape than the others.
    """
    if not holds_values(path):
        raise ValueError(f"{path}: expected a file of values, {', '.join(sorted(FORMATS))}")
    found = _arrays(path, [channel.name for channel in channels])
    made = list[np.ndarray]()
    for channel in channels:
        values, unit = found[channel.name]
        if unit is not None and unit != (channel.unit or unit) and (unit, channel.unit) != ("1", ""):
            raise ValueError(f"{path}: {channel.name}: expected the unit {channel.unit!r}, got {unit!r}")
        values = values[None] if values.ndim == 2 else values
        if values.ndim == 4 and len(values) > 1:
            raise ValueError(f"{path}: {channel.name}: expected one video, got an ensemble of {len(values)} members")
        values = values[0] if values.ndim == 4 else values
        if values.ndim != 3 or (made and values.shape != made[0].shape):
            wanted = made[0].shape if made else "(frames, rows, columns)"
            raise ValueError(f"{path}: {channel.name}: expected the shape {wanted}, got {values.shape}")
        made.append(values.astype(np.float32))
    return np.stack(made)


def read_maps(path: str | os.PathLike[str], name: str) -> np.ndarray:
    """The array of that name in a file of values, float64. Raises ValueError if there is none, or none of numbers."""
    return np.asarray(_arrays(path, [name])[name][0], dtype=np.float64)


def _arrays(path: str | os.PathLike[str], names: Sequence[str]) -> dict[str, tuple[np.ndarray, str | None]]:
    """The arrays of these names, real numbers, each with its unit. Raises ValueError that names one that is not so."""
    _expect_library(path)
    if not Path(path).exists():
        raise ValueError(f"{path}: no such file")
    found = FORMATS[Path(path).suffix.lower()].read(Path(path), names)
    for name in names:
        if name not in found:
            raise ValueError(f"{path}: expected an array {name!r}, got none")
        if found[name][0].dtype.kind not in "fiub":
            raise ValueError(f"{path}: {name}: expected numbers, got {found[name][0].dtype}")
    return found


def expect_names(path: str | os.PathLike[str], channels: Mapping[Channel, np.ndarray]) -> None:
    """Raise ValueError for a channel called like an axis."""
    if taken := [channel.name for channel in channels if channel.name in AXES]:
        raise ValueError(
            f"{path}: expected channels of other names than member, time, y and x, its axes, got {taken[0]!r}"
        )


def write(
    path: str | os.PathLike[str], values: Mapping[Channel, np.ndarray], fps: float, tags: Mapping[str, str]
) -> None:
    """Write values (F, H, W), or (M, F, H, W) of M members, of each channel, in units.

    Raises ValueError for what `check_file` refuses.
    """
    check_file(path)
    expect_names(path, values)
    target, how = Path(path), FORMATS[Path(path).suffix.lower()]
    times = np.arange(next(iter(values.values())).shape[-3]) / fps
    if target.suffix.lower() == ".zarr":
        with whole_folder(target) as folder:
            how.write(folder, values, times, json.dumps(dict(tags)))
        return
    with whole(target) as partial:
        how.write(partial, values, times, json.dumps(dict(tags)))


def tags_in(path: str) -> dict[str, str]:
    """The tags of a file of values or of pictures. Raises ValueError for another file, OSError for none."""
    if not holds_values(path):
        return read_tags(path)
    how, target = FORMATS[Path(path).suffix.lower()], Path(path)
    _expect_library(path)
    if not target.exists():
        raise FileNotFoundError(2, "No such file or directory", path)
    text = how.tags(target)
    try:
        found = parse_json(text)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path}: expected tags, got other JSON")
    return {str(name): str(text) for name, text in found.items()}
