"""The learning rate falls along half a cosine [Loshchilov & Hutter 2017, arXiv:1608.03983, Sec. 3], once."""

import math
from typing import Annotated

from pydantic import Field

from zoetrope.training.rates import Rate


class CosineDecay(Rate):
    """From the peak at the first example to `least` of it at the last.

    Attributes:
        least: share of the peak that is left at the end, in (0, 1].
    """

    least: Annotated[float, Field(gt=0, le=1)] = 0.01

    def share(self, examples: int, total: int) -> float:
        way = min(1.0, examples / total)
        return self.least + (1 - self.least) * (1 + math.cos(math.pi * way)) / 2
