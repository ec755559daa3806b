"""Arrays that are asked for: as they are, or in files."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from zoetrope.files.plain import read_plain

LARGEST = 2**32  # bytes of a file
ENDINGS = (".csv", ".npy", ".npz")


def array_of(name: str, value: Any) -> np.ndarray:
    """The numbers of a request, float64: an array, lists, or a file .npy, .csv, or .npz with that name in it.

    Raises ValueError that names the input, and the file, for anything else.
    """
    is_file = isinstance(value, str | os.PathLike)
    where = f"{name}={os.fspath(value)}" if is_file else name
    try:
        if is_file:
            return _read(Path(os.path.expanduser(value)), name)
        found = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
        return np.asarray(found, dtype=np.float64)
    except OSError as error:
        raise ValueError(f"{where}: cannot be read ({error.strerror or error})") from None
    except MemoryError:
        raise
    except Exception as error:  # whatever NumPy raises for a file that is damaged
        raise ValueError(f"{where}: expected numbers ({error})") from None


def _read(path: Path, name: str) -> np.ndarray:
    """The numbers of a file, float64."""
    kind = path.suffix.lower()
    if kind not in ENDINGS:
        raise ValueError(f"of a file {', '.join(ENDINGS)}, got {path.suffix or 'no ending'}")
    content = io.BytesIO(read_plain(path, LARGEST))
    if kind == ".csv":
        return np.loadtxt(content, delimiter=",", ndmin=2, dtype=np.float64)
    found = np.load(content, allow_pickle=False)
    if kind == ".npz":
        if name not in found:
            raise ValueError(f"an array {name!r} in it, got {', '.join(sorted(found)) or 'none'}")
        found = found[name]
    return np.asarray(found, dtype=np.float64)
