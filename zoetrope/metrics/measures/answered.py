"""Whether a number that was asked for, such as an ejection fraction, comes out."""

from collections.abc import Sequence
from typing import ClassVar

import torch

from zoetrope.metrics.clips import Clips, Material
from zoetrope.metrics.measures import Better, Measure, OpenedExtractor, Result
from zoetrope.metrics.reading import LEAST, Regressor, features


class NumberAnswered(Measure):
    """How far the number that a regressor reads in videos is from the one asked for: the root of the mean square.

    Each video is asked for the number of its real clip. The regressor is that of `zoetrope.metrics.reading`, fitted to
    the real clips; its own error, by leaving out each of them, is the measure of real clips. It sees the frames that
    were not given. Details have the numbers asked for and read, and their correlation.

    Attributes:
        number: its name; None: the only number that the data tell.
    """

    title: ClassVar[str] = "Error of the number asked for"
    better: ClassVar[Better] = "lower"
    takes = "any"
    only_new = True
    needs = frozenset({"real"})
    least: ClassVar[int] = 1
    number: str | None = None

    def measure(self, material: Material, network: OpenedExtractor | None) -> Result:
        """See `Measure`."""
        assert material.real is not None
        made, real = (material.new(clips) for clips in (material.made, material.real))
        name = self._named(real)
        told = [number for number in range(len(real)) if name in real.told(number)]
        numbers = [float(real.told(number)[name]) for number in told]
        if len(told) < LEAST:
            raise ValueError(f"{self.name}: expected {LEAST} real clips of which {name!r} is told, got {len(told)}")
        regressor = Regressor.fitted([features(real.read(number)) for number in told], numbers)
        asked, read, cases = list[float](), list[float](), list[str]()
        for number in range(len(material.made)):
            case = number // material.members
            if name in real.told(case):
                asked.append(float(real.told(case)[name]))
                read.append(regressor.read(features(made.read(number))))
                cases.append(str(case))
        if not asked:
            raise ValueError(f"{self.name}: expected cases of which {name!r} is told, got none")
        away = torch.tensor(asked, dtype=torch.float64) - torch.tensor(read, dtype=torch.float64)
        own = regressor.left_out - torch.tensor(numbers, dtype=torch.float64)
        details = {
            "number": name,
            "deviation": float(torch.tensor(numbers, dtype=torch.float64).std()),
            "correlation": _correlation(asked, read),
            "asked": asked,
            "read": read,
        }
        return self.result(
            material, None, float(away.square().mean().sqrt()),
            reference=float(own.square().mean().sqrt()), samples=len(set(cases)), details=details,
        )  # fmt: skip

    def _named(self, real: Clips) -> str:
        every = (real.told(number) for number in range(len(real)))
        names = sorted({name for told in every for name, value in told.items() if isinstance(value, int | float)})
        if self.number is not None:
            return self.number
        if len(names) != 1:
            got = ", ".join(names) or "none"
            raise ValueError(f"{self.name}: expected data that tell one number of each clip, got {got}")
        return names[0]


def _correlation(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Pearson's; None of equal numbers."""
    both = torch.tensor([list(one), list(other)], dtype=torch.float64)
    if both.shape[1] < 2 or not bool((both.std(1) > 0).all()):
        return None
    return float(torch.corrcoef(both)[0, 1])
