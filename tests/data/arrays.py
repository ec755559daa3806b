"""Files of arrays in every format, made on the spot, and a source that reads them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import tifffile
import xarray
import zarr

from zoetrope.channels import Channel
from zoetrope.data.arrays import Arrays
from zoetrope.scales.deviation import Deviation
from zoetrope.shapes import VideoShape

HOURLY = "hours since 2000-01-01"
SCALE = Deviation(mean=0.25, deviation=2.0)
CLIP = VideoShape(frames=3, height=4, width=6, fps=1)


def channels(*names: str) -> dict[str, Channel]:
    """Channels of these names, in metres a second."""
    return {name: Channel(name=name.rpartition("/")[2], unit="m s-1", scale=SCALE) for name in names}


def source(path: Path, *names: str, **fields: Any) -> Arrays:
    """The arrays of a file, of variables u and v if no others are named, one frame a second."""
    return Arrays(path=str(path), variables=channels(*(names or ("u", "v"))), **{"rate": 1.0} | fields)


def waves(frames: int = 7, height: int = 4, width: int = 6, variables: int = 2) -> np.ndarray:
    """Values (T, C, H, W) float32, all different."""
    return np.random.default_rng(3).normal(size=(frames, variables, height, width)).astype(np.float32)


def dataset(
    values: Mapping[str, np.ndarray], time: np.ndarray | None = None, calendar: str = "standard", unit: str = HOURLY
) -> xarray.Dataset:
    """Variables (T, H, W) in metres a second, hourly unless times are given."""
    count = len(next(iter(values.values())))
    hours = np.arange(float(count)) if time is None else time
    arrays = {name: (("time", "lat", "lon"), each, {"units": "m s-1"}) for name, each in values.items()}
    return xarray.Dataset(arrays, coords={"time": ("time", hours, {"units": unit, "calendar": calendar})})


def every_format(folder: Path, values: np.ndarray) -> dict[str, tuple[Path, str]]:
    """The same values (T, 2, H, W), u and v, in a file of each format: its path, and its axes."""
    u, v = values[:, 0], values[:, 1]
    np.save(folder / "one.npy", values)
    np.save(folder / "turned.npy", np.asfortranarray(values.transpose(1, 3, 2, 0)))
    np.savez(folder / "plain.npz", u=u, v=v)
    np.savez_compressed(folder / "packed.npz", u=u, v=np.asfortranarray(v))
    with h5py.File(folder / "one.h5", "w") as file:
        file["u"] = u
        file.create_dataset("v", data=v, chunks=(2, 3, 2), compression="gzip")
    for kind in (2, 3):
        group = zarr.open_group(str(folder / f"two{kind}.zarr"), mode="w", zarr_format=kind)
        for name, each in (("u", u), ("v", v)):
            group.create_array(name, shape=each.shape, chunks=(2, 3, 4), dtype="f4")[:] = each
    dataset({"u": u, "v": v}).to_netcdf(folder / "one.nc")
    tifffile.imwrite(folder / "one.tif", values, photometric="minisblack", metadata={"axes": "TCYX"})
    tifffile.imwrite(folder / "packed.tif", values, photometric="minisblack", compression="zlib")
    nibabel.save(nibabel.Nifti1Image(values.transpose(3, 2, 1, 0), np.eye(4)), folder / "one.nii.gz")
    axes = {"one.npy": "tcyx", "turned.npy": "c,x,y,t", "one.tif": "t,c,y,x", "packed.tif": "tcyx"}
    axes |= {"one.nii.gz": "x,y,c,t"}
    names = ["plain.npz", "packed.npz", "one.h5", "two2.zarr", "two3.zarr", "one.nc", *axes]
    return {name: (folder / name, axes.get(name, "time,y,x")) for name in names}
