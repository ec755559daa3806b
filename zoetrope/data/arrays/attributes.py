"""Attributes of arrays as the Climate and Forecast conventions name them: units, packing, and missing values.

Conventions: https://cfconventions.org, Sec. 2.5.1 and 8.1.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zoetrope.data.arrays.reading import Field, called

_GAPS = ("_FillValue", "missing_value")


def described(
    path: Path, name: str, shape: tuple[int, ...], dtype: Any, attributes: Mapping[str, Any], dims: tuple[str, ...] = ()
) -> Field:
    """The field of an array with these attributes. Raises ValueError for those that are no numbers."""
    missing: list[float] = []
    for key in _GAPS:
        for value in _numbers(path, name, key, attributes.get(key)):
            if not np.isnan(value) and value not in missing:
                missing.append(value)
    factor, offset = (
        _one(path, name, key, attributes.get(key), usual) for key, usual in (("scale_factor", 1.0), ("add_offset", 0.0))
    )
    unit = _text(attributes.get("units"))
    return Field(shape, np.dtype(dtype), unit, dims, tuple(missing), factor, offset)


def attribute_text(value: object) -> str | None:
    """An attribute that is text, as such; None: it is none."""
    return _text(value)


def _text(value: object) -> str | None:
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return str(value) if isinstance(value, str) else None


def _numbers(path: Path, name: str, key: str, value: object) -> list[float]:
    if value is None:
        return []
    if isinstance(value, str) and value in ("NaN", "nan"):
        return [float("nan")]
    try:
        return [float(each) for each in np.asarray(value).reshape(-1)]
    except (TypeError, ValueError):
        raise ValueError(f"{called(path, name)}: its attribute {key}: expected a number, got {value!r}") from None


def _one(path: Path, name: str, key: str, value: object, usual: float) -> float:
    found = _numbers(path, name, key, value)
    if len(found) > 1 or not np.isfinite(found).all():
        raise ValueError(f"{called(path, name)}: its attribute {key}: expected a finite number, got {value!r}")
    return found[0] if found else usual
