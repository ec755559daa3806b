"""How arrays in files are packed, as their attributes say: a factor, an offset, and stored values that stand for none.

The Climate and Forecast conventions name these attributes: https://cfconventions.org, Sec. 2.5.1 and 8.1.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

_GAPS = ("_FillValue", "missing_value")


class Packing(NamedTuple):
    """A value is factor * stored + offset.

    Attributes:
        missing: stored values that stand for no value, beside NaN.
        factor, offset: see above.
    """

    missing: tuple[float, ...] = ()
    factor: float = 1.0
    offset: float = 0.0

    @classmethod
    def of(cls, attributes: Mapping[str, Any]) -> "Packing":
        """That of an array with these attributes. Raises ValueError, which names the attribute, for no numbers."""
        missing: list[float] = []
        for key in _GAPS:
            for value in _numbers(key, attributes.get(key)):
                if not np.isnan(value) and value not in missing:
                    missing.append(value)
        factor, offset = (
            _one(key, attributes.get(key), usual) for key, usual in (("scale_factor", 1.0), ("add_offset", 0.0))
        )
        return cls(tuple(missing), factor, offset)

    def unpacked(self, stored: np.ndarray, absent: np.ndarray | None = None) -> np.ndarray:
        """The values, float64, of stored ones; NaN where they are missing, and where `absent` is True."""
        gaps = np.zeros(stored.shape, dtype=bool) if absent is None else absent
        for gap in self.missing:
            gaps = gaps | (stored == gap)
        values = np.where(gaps, np.nan, stored.astype(np.float64))
        if self.factor != 1:
            values *= self.factor
        if self.offset:
            values += self.offset
        return values


def _numbers(key: str, value: object) -> list[float]:
    if value is None:
        return []
    if isinstance(value, str) and value in ("NaN", "nan"):
        return [float("nan")]
    try:
        return [float(each) for each in np.asarray(value).reshape(-1)]
    except (TypeError, ValueError):
        raise ValueError(f"its attribute {key}: expected a number, got {value!r}") from None


def _one(key: str, value: object, usual: float) -> float:
    found = _numbers(key, value)
    if len(found) > 1 or not np.isfinite(found).all():
        raise ValueError(f"its attribute {key}: expected a finite number, got {value!r}")
    return found[0] if found else usual
