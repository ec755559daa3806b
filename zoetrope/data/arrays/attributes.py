"""Attributes of arrays as the Climate and Forecast conventions name them: units, packing, and missing values.

Conventions: https://cfconventions.org, Sec. 2.5.1 and 8.1.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zoetrope.data.arrays.reading import Field, called
from zoetrope.fields.packing import Packing


def described(
    path: Path, name: str, shape: tuple[int, ...], dtype: Any, attributes: Mapping[str, Any], dims: tuple[str, ...] = ()
) -> Field:
    """The field of an array with these attributes. Raises ValueError for those that are no numbers."""
    packing = Packing.of(called(path, name), attributes)
    unit = _text(attributes.get("units"))
    return Field(shape, np.dtype(dtype), unit, dims, *packing)


def attribute_text(value: object) -> str | None:
    """An attribute that is text, as such; None: it is none."""
    return _text(value)


def _text(value: object) -> str | None:
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return str(value) if isinstance(value, str) else None
