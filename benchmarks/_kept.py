"""Videos that are made once and kept, so that an interrupted script goes on."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _machine import place
from _scores import weights_of
from numpy.typing import NDArray

from zoetrope.cascade.spec import StageSpec
from zoetrope.models.beside import beside
from zoetrope.models.opening import OpenModel

Frames = NDArray[np.uint8]


def kept(folder: Path, asked: Any, make: Callable[[], Frames]) -> Frames:
    """The frames (F, H, W, 3) that `make` makes, or that it made before for the same `asked`, any JSON value."""
    file = folder / f"{digest(asked)}.npz"
    if not file.exists():
        frames = make()
        folder.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f".{file.stem}.partial.npz")
        np.savez_compressed(partial, frames=frames)
        os.replace(partial, file)
    with np.load(file) as stored:
        return np.asarray(stored["frames"])


def digest(asked: Any) -> str:
    """16 letters that identify a JSON value."""
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]


def settings_of(model: OpenModel, stages: tuple[StageSpec, ...]) -> list[Any]:
    """What decides what stages make of a request: their settings and weights, text, noise, and where they run."""
    here, text = place(None, None), model.spec.text
    about = [None if text is None else text.to_json(), model.spec.noise, str(here.device), str(here.dtype)]
    more = beside(model.spec, stages, model.codec)
    return [*about, *([stage.to_json(), weights_of(model, stage)] for stage in stages), *([more] if more else [])]
