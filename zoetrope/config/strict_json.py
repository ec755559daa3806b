"""JSON from untrusted files: bounded in length, depth and the size of numbers, which must be finite."""

import json
import math
from typing import Any

LONGEST = 1 << 24  # characters or bytes of a text; the largest recipe has some 10^5
DEEPEST = 64  # lists and objects within each other; the deepest config has about ten
DIGITS = 300  # of a number, as many as a float can hold
TOO_DEEP = f"expected JSON that is nested at most {DEEPEST} deep, got more"


def parse_json(text: str | bytes, *, longest: int = LONGEST) -> Any:
    """The value of a JSON text (bytes are UTF-8) of at most `longest` characters.

    Raises ValueError, one line without the text itself, for what is not JSON, and for what is nested more than DEEPEST
    deep or has NaN, infinities, or numbers of more than DIGITS digits.
    """
    if len(text) > longest:
        raise ValueError(f"expected JSON of at most {longest:,} characters, got {len(text):,}")
    try:
        value = json.loads(
            text.decode("utf-8") if isinstance(text, bytes) else text,
            parse_int=_whole,
            parse_float=_fraction,
            parse_constant=_refuse,
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"expected JSON, got something else: {error}") from None
    except UnicodeDecodeError as error:
        raise ValueError(
            f"expected JSON in UTF-8, got byte {error.object[error.start]:#04x} at {error.start}"
        ) from None
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    if is_deep(value):
        raise ValueError(TOO_DEEP)
    return value


def _whole(digits: str) -> int:
    if len(digits) > DIGITS:
        raise ValueError(f"expected numbers of at most {DIGITS} digits, got one of {len(digits):,}")
    return int(digits)


def _fraction(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"expected numbers below 1e308, got {digits[:20]}")
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"expected finite numbers, got {constant}")


def is_deep(value: Any) -> bool:
    """Whether lists and objects are nested more than DEEPEST deep; what `json` gives up on differs among Pythons."""
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True
