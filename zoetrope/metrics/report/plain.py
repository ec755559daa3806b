"""Numbers as people read them."""

import math

from zoetrope.metrics.measures import Protocol, Result

FEW = 30


def number(result: Result) -> str:
    """The value with its interval and unit, to as many places as mean something: "51.3 ± 2.4 %", "50 % (9 to 91)".

    Of few videos their number is told.
    """
    low, high = result.interval or (None, None)
    half = result.error if low is None or high is None else (high - low) / 2
    digits = places(result.value, half)
    text = f"{result.value:.{digits}f}"
    if result.error is not None:
        text += f" ± {result.error:.{digits}f}"
    text = f"{text} {result.unit}".rstrip()
    about = [] if low is None or result.error is not None else [f"{low:.{digits}f} to {high:.{digits}f}"]
    if half is not None and result.samples is not None and result.samples < FEW:
        about.append(f"{result.samples} videos")
    return f"{text} ({', '.join(about)})" if about else text


def places(value: float, error: float | None = None) -> int:
    """How many decimals to show: two digits of the error, or four of the value."""
    if error is not None and error > 0:
        return max(0, min(6, 1 - math.floor(math.log10(error))))
    size = math.floor(math.log10(abs(value))) if value else 3
    return max(0, min(6, 3 - size))


def brief(protocol: Protocol) -> str:
    """A protocol in one line."""
    parts = []
    if protocol.extractor is not None and protocol.sha256 is not None:
        parts.append(f"{protocol.extractor} {protocol.sha256[:10]}")
    parts.append(f"{protocol.frames} frames" + (f" (every {_ordinal(protocol.stride)})" if protocol.stride > 1 else ""))
    if protocol.known:
        parts.append(f"{len(protocol.known)} given")
    parts.append(f"{protocol.made} videos" if protocol.real is None else f"{protocol.made} against {protocol.real}")
    return " · ".join([*parts, f"seed {protocol.seed}"])


def _ordinal(value: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(value % 10, "th")
    return f"{value}{'th' if value % 100 in (11, 12, 13) else ending}"
