"""Power laws fitted to measurements, and the correction of a plan's predictions by measurements on a device.

A prediction sums operations, each at the speed that it has alone. The real time differs by a factor that changes slowly
with the size of the work, so measured over predicted is close to a power law.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from zoetrope.config.errors import reason
from zoetrope.files.plain import read_json

What = Literal["sampling", "training"]
Quantity = Literal["seconds", "bytes"]


class PowerLaw(NamedTuple):
    """y = factor x^exponent.

    Attributes:
        low, high: the smallest and largest x that it was fitted to.
        spread: the largest ratio, at least 1, between a point and the law.
    """

    factor: float
    exponent: float
    low: float
    high: float
    spread: float

    def at(self, x: float) -> float:
        """y by the law."""
        return self.factor * x**self.exponent

    def correct(self, predicted: float) -> float:
        """The expected value for a prediction, if x are predictions and y measurements of the same.

        Beyond the measured range the correction is the factor at its nearest end.
        """
        near = min(max(predicted, self.low), self.high)
        return self.at(near) * predicted / near


def fit(xs: Sequence[float], ys: Sequence[float]) -> PowerLaw:
    """The law whose logarithm has the least squared distance from the points'.

    Raises ValueError for fewer than two different x, and for values that are not positive.
    """
    if len(xs) != len(ys) or len(set(xs)) < 2:
        raise ValueError(f"fit: expected as many x as y, two of them different, got {list(xs)} and {list(ys)}")
    if min(*xs, *ys) <= 0:
        raise ValueError(f"fit: expected positive values, got {list(xs)} and {list(ys)}")
    a, b = ([math.log(value) for value in values] for values in (xs, ys))
    middle, height = sum(a) / len(a), sum(b) / len(b)
    slope = sum((x - middle) * (y - height) for x, y in zip(a, b, strict=True)) / sum((x - middle) ** 2 for x in a)
    start = height - slope * middle
    off = max(abs(y - start - slope * x) for x, y in zip(a, b, strict=True))
    return PowerLaw(math.exp(start), slope, min(xs), max(xs), math.exp(off))


class Measured(NamedTuple):
    """Laws from predicted to measured seconds and bytes on one device; see `benchmarks/scaling_laws.py`.

    Attributes:
        source: the file that they come from.
        device, dtype, threads: what they were measured on and in; threads of a CPU.
        laws: of sampling, for one denoising step of one video, and of training, for one batch.
    """

    source: str
    device: str
    dtype: str
    threads: int
    laws: Mapping[tuple[What, Quantity], PowerLaw]

    def check(self, device: str, dtype: str, threads: int) -> None:
        """Raise ValueError unless the plan is for what was measured."""
        wanted, had = (device, dtype), (self.device, self.dtype)
        if wanted != had:
            raise ValueError(f"{self.source}: expected measurements on {' in '.join(wanted)}, got {' in '.join(had)}")
        if device == "cpu" and threads != self.threads:
            raise ValueError(f"{self.source}: expected measurements with {threads} threads, got {self.threads}")

    def correct(self, what: What, quantity: Quantity, predicted: float) -> float:
        """The expected value for a prediction; the prediction itself if this was not measured."""
        law = self.laws.get((what, quantity))
        return predicted if law is None else law.correct(predicted)


def read_measured(path: Path) -> Measured:
    """The laws in a file. Raises ValueError that names it if it is not there or holds something else."""
    try:
        value: dict[str, Any] = read_json(path)
        laws: dict[tuple[What, Quantity], PowerLaw] = {}
        for what in ("sampling", "training"):
            for quantity in ("seconds", "bytes"):
                if (law := value["plan"].get(what, {}).get(quantity)) is not None:
                    laws[what, quantity] = _law(law)
        device, dtype = value["device"], value["dtype"]
        if not (isinstance(device, str) and isinstance(dtype, str)):
            raise TypeError
        return Measured(str(path), device, dtype, int(value["threads"]), laws)
    except OSError as error:
        raise ValueError(f"--measured {path}: cannot be read ({reason(error)})") from None
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        message = f"--measured {path}: expected what benchmarks/scaling_laws.py writes, got something else"
        raise ValueError(f"{message} ({reason(error, path)})") from None


def _law(fields: Mapping[str, Any]) -> PowerLaw:
    """A law from its fields in a file. Raises ValueError for one that no measurements give."""
    law = PowerLaw(**{name: float(number) for name, number in fields.items()})
    if not 0 < law.low <= law.high or not all(0 < law.at(x) < math.inf for x in (law.low, law.high)):
        raise ValueError(f"expected a law that is positive where it was measured, got {law}")
    return law
