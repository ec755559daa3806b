"""Videos and values that are made once and kept, so that an interrupted script goes on."""

import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from _machine import place
from _scores import weights_of, write_whole

from zoetrope.cascade.spec import StageSpec
from zoetrope.models.beside import beside
from zoetrope.models.opening import OpenModel

Frames = NDArray[np.uint8]


def kept(folder: Path, asked: Any, make: Callable[[], Frames]) -> Frames:
    """The frames that `make` makes, or that it made before for the same `asked`, any JSON value.

    They are those of a video, (F, H, W, 3), or of several that are made together, (B, F, H, W, 3).
    """
    file = folder / f"{digest(asked)}.npz"
    if not file.exists():
        frames = make()
        folder.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f".{file.stem}.partial.npz")
        np.savez_compressed(partial, frames=frames)
        os.replace(partial, file)
    with np.load(file) as stored:
        return np.asarray(stored["frames"])


def kept_value(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A value from its file; if there is none, it is made and written, so that an interruption loses one at most."""
    if not path.exists():
        write_json(path, make())
    return json.loads(path.read_text())


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, whole or not at all."""
    write_whole(path, json.dumps(value, indent=1) + "\n")


def digest(asked: Any) -> str:
    """16 letters that identify a JSON value."""
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]


def settings_of(model: OpenModel, stages: tuple[StageSpec, ...]) -> list[Any]:
    """What decides what stages make of a request: their settings and weights, text, noise, and where they run."""
    here, text = place(None, None), model.spec.text
    about = [None if text is None else text.to_json(), model.spec.noise, str(here.device), str(here.dtype)]
    more = beside(model.spec, stages, model.codec)
    return [*about, *([stage.to_json(), weights_of(model, stage)] for stage in stages), *([more] if more else [])]
