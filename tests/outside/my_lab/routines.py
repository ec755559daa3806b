"""A routine that makes a video, gives half of the noise back and makes it anew [Xu et al. 2023, arXiv:2306.14878]."""

from collections.abc import Iterator

from zoetrope.diffusion.process import diffuse
from zoetrope.routines import Ready, Routine
from zoetrope.samplers import Step


class Restart(Routine):
    """The sampler from the first level to the last, then `times` times from the middle one on."""

    times: int = 1

    def length(self, steps: int) -> int:
        return steps + self.times * (steps - steps // 2)

    def __call__(self, ready: Ready) -> Iterator[Step]:
        middle = (len(ready.levels) - 1) // 2
        z, begin = ready.noise("start"), 0
        for turn in range(self.times + 1):
            levels, noises = ready.levels[begin:], f"turn {turn} step"
            for step in ready.sampler(ready.denoise, z, levels, noise=lambda n, to=noises: ready.noise(f"{to} {n}")):
                yield step
            begin, x_hat = middle, step.x_hat
            if turn < self.times:
                z = diffuse(x_hat, ready.noise(f"turn {turn}"), ready.levels[middle])
