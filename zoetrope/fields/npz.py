"""Values in .npz files: an array for each channel, "time", and a JSON text "about" with units and tags.

The arrays are (F, H, W), or (M, F, H, W) of M members.
"""

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from zoetrope.channels import Channel
from zoetrope.config.strict_json import LONGEST, parse_json
from zoetrope.files.zipped import DAMAGED

ABOUT = "about.json"
_ARRAYS, _OURS = "expected an .npz file of arrays", "expected a file of values that zoetrope wrote"


def write_npz(path: Path, values: Mapping[Channel, np.ndarray], times: np.ndarray, tags: str) -> None:
    """Write values (F, H, W) or (M, F, H, W) by channel, and the times of frames in seconds."""
    about = {"channels": [channel.to_json() for channel in values], "time": "s", "tags": json.loads(tags)}
    arrays = {**{channel.name: array for channel, array in values.items()}, "time": times}
    write_arrays(path, arrays, {ABOUT: json.dumps(about)})


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], texts: Mapping[str, str] = MappingProxyType({})) -> None:
    """Write arrays of any names, which numpy's own function confuses with its arguments, and texts beside them."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, array in arrays.items():
            with file.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
        for name, text in texts.items():
            file.writestr(name, text)


def read_npz(path: Path, names: Sequence[str]) -> dict[str, tuple[np.ndarray, str | None]]:
    """The arrays of these names that the file has, each with its unit, None where the file does not say it.

    Raises ValueError for another file.
    """
    about = _about(path, _ARRAYS) or {"channels": []}
    try:
        units = {channel["name"]: channel["unit"] for channel in about["channels"]}
        with np.load(path, allow_pickle=False) as file:
            return {name: (file[name], units.get(name)) for name in names if name in file.files}
    except (*DAMAGED, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: {_ARRAYS}") from error


def read_npz_tags(path: Path) -> str:
    """The JSON of the tags of such a file. Raises ValueError for another file, and for a text that is too long."""
    about = _about(path, _OURS)
    try:
        return json.dumps(about["tags"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: {_OURS}") from error


def _about(path: Path, expected: str) -> Any:
    """The JSON beside the arrays, None without it; no more of it is unpacked than is read.

    Raises ValueError that says what was `expected` for a damaged file, and what is wrong with the JSON.
    """
    try:
        with zipfile.ZipFile(path) as file:
            if ABOUT not in file.namelist():
                return None
            with file.open(ABOUT) as content:
                text = content.read(LONGEST + 1)
    except DAMAGED as error:
        raise ValueError(f"{path}: {expected}") from error
    try:
        return parse_json(text)
    except ValueError as error:
        raise ValueError(f"{path}: {ABOUT}: {error}") from None
