"""From noise to the video in a single pass of the sampler."""

from collections.abc import Iterator
from typing import ClassVar

from zoetrope.routines import Ready, Routine
from zoetrope.samplers import Step


class Straight(Routine):
    """Run the sampler from noise at the first level to the last level."""

    even: ClassVar[bool] = True

    def __call__(self, ready: Ready) -> Iterator[Step]:
        """One step for each pair of neighbouring levels."""
        return ready.steps(ready.denoise, ready.start())
