"""Values in .npz files: an array for each channel, "time", and a JSON text "about" with units and tags.

The arrays are (F, H, W), or (M, F, H, W) of M members.
"""

import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoetrope.channels import Channel
from zoetrope.config.strict_json import LONGEST, parse_json

ABOUT = "about.json"
_DAMAGED = (zipfile.BadZipFile, EOFError, zlib.error, RuntimeError, OverflowError)
"""What zipfile and NumPy raise, beside ValueError, for files that are damaged, or packed or encrypted in other ways."""


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
            about = _about(path) if ABOUT in file.files else {"channels": []}
            units = {channel["name"]: channel["unit"] for channel in about["channels"]}
            return {name: (file[name], units.get(name)) for name in names if name in file.files}
    except (*_DAMAGED, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: expected an .npz file of arrays") from error


def read_npz_tags(path: Path) -> str:
    """The JSON of the tags of such a file. Raises ValueError for another file, and for a text that is too long."""
    try:
        return json.dumps(_about(path)["tags"])
    except (*_DAMAGED, KeyError, TypeError) as error:
        raise ValueError(f"{path}: expected a file of values that zoetrope wrote") from error


def _about(path: Path) -> Any:
    """The JSON beside the arrays, of which no more is unpacked than is read."""
    with zipfile.ZipFile(path) as file, file.open(ABOUT) as content:
        text = content.read(LONGEST + 1)
    try:
        return parse_json(text)
    except ValueError as error:
        raise ValueError(f"{path}: {ABOUT}: {error}") from None
