"""Attributes of arrays as the Climate and Forecast conventions name them: units, packing, and missing values.

Conventions: https://cfconventions.org, Sec. 2.5.1 and 8.1.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from zoetrope.config.errors import reason
from zoetrope.data.arrays.reading import NUMBERS, Field
from zoetrope.fields.packing import Packing


def described(shape: tuple[int, ...], dtype: Any, attributes: Mapping[str, Any], dims: tuple[str, ...] = ()) -> Field:
    """The field of an array with these attributes. Those that are unfit are its fault: other arrays may be wanted."""
    kind = np.dtype(dtype)
    try:
        unit = _text(attributes.get("units"))
        packing = Packing.of(attributes) if kind.kind in NUMBERS else Packing()
    except ValueError as error:
        return Field(shape, kind, None, dims, fault=str(error))
    except Exception as error:  # whatever a format's library raises for an attribute that it cannot read
        return Field(shape, kind, None, dims, fault=f"its attributes cannot be read ({reason(error)})")
    return Field(shape, kind, unit, dims, *packing)


def attribute_text(value: object) -> str | None:
    """An attribute that is text, as such; None: it is none."""
    return _text(value)


def _text(value: object) -> str | None:
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return str(value) if isinstance(value, str) else None
