"""Values in .npz files: an array for each channel, "time", and a JSON text "about" with units and tags.

The arrays are (F, H, W), or (M, F, H, W) of M members.
"""

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from zoetrope.channels import Channel
from zoetrope.files.zipped import DAMAGED

ABOUT = "about.json"


def write_npz(path: Path, values: Mapping[Channel, np.ndarray], times: np.ndarray, tags: str) -> None:
    """Write values (F, H, W) or (M, F, H, W) by channel, and the times of frames in seconds."""
    about = {"channels": [channel.to_json() for channel in values], "time": "s", "tags": json.loads(tags)}
    arrays = {**{channel.name: array for channel, array in values.items()}, "time": times}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, array in arrays.items():
            with file.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
        file.writestr(ABOUT, json.dumps(about))


def read_npz(path: Path, names: Sequence[str]) -> dict[str, tuple[np.ndarray, str | None]]:
    """The arrays of these names that the file has, each with its unit, None where the file does not say it.

    Raises ValueError for another file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(file[ABOUT]) if ABOUT in file.files else {"channels": []}
            units = {channel["name"]: channel["unit"] for channel in about["channels"]}
            return {name: (file[name], units.get(name)) for name in names if name in file.files}
    except (*DAMAGED, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: expected an .npz file of arrays") from error


def read_npz_tags(path: Path) -> str:
    """The JSON of the tags of such a file. Raises ValueError for another file."""
    try:
        with zipfile.ZipFile(path) as file:
            return json.dumps(json.loads(file.read(ABOUT))["tags"])
    except (*DAMAGED, KeyError, TypeError) as error:
        raise ValueError(f"{path}: expected a file of values that zoetrope wrote") from error
