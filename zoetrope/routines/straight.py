"""From noise to the video in one go."""

from collections.abc import Iterator

from zoetrope.routines import Ready, Routine
from zoetrope.samplers import Step


class Straight(Routine):
    """The sampler, from noise at the first level to the last level."""

    def __call__(self, ready: Ready) -> Iterator[Step]:
        """One step for each pair of neighbouring levels."""
        return ready.sampler(
            ready.denoise, ready.noise("start"), ready.levels, noise=lambda n: ready.noise(f"step {n}")
        )
