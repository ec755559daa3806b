"""Known frames of a network that has learnt them: frames at the level of clean data among noisy ones."""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from zoetrope.diffusion.denoise import Denoise, extrapolated
from zoetrope.diffusion.level import LogSNR, NoiseLevel
from zoetrope.diffusion.process import diffuse
from zoetrope.known import Known, Method, Task

MOST_WEIGHT = 10_000


class Learnt(Method):
    """The network is given the known frames as they are, at the level of clean data, at every step.

    For a network that was trained with a noise level per frame: samplers then converge to the law of the other frames
    given the known ones, and evaluate it as often as without known frames.

    Attributes:
        history: weight w of history guidance, x_none + (1 + w) (x_known - x_none), where x_none is the estimate with
            known frames at pure noise [Song et al. 2025, arXiv:2502.06764]; 0 is none. It takes twice the time.
        without: what known frames are in x_none: "noise", or "noised", as noisy as the others. That is what a network
            has seen that learnt clips with known frames and clips without any, by the known frames `mixture` of
            `prefix` and `none`: it is then the context guidance of Video LDM, whose s is 1 + w [Blattmann et al. 2023,
            arXiv:2304.08818, Sec. 3.2].
        level: logsnr at which the network is told that the known frames are, though no noise is added: it then relies
            less on the details of frames that were made before [Chen et al. 2024, arXiv:2407.01392]; None: clean.
    """

    holds: ClassVar[bool] = True

    history: Annotated[float, Field(ge=0, le=MOST_WEIGHT)] = 0.0
    without: Literal["noise", "noised"] = "noise"
    level: LogSNR | None = None

    def denoiser(self, denoise: Denoise, task: Task) -> Denoise:
        """The denoiser itself, told the level and guided."""
        known, levels = task.known, task.levels
        with_frames = denoise if self.level is None else _told(denoise, known, self.level)
        if self.history == 0:
            return with_frames
        lost = task.noise("start", known.places)

        def run(z: Tensor, level: NoiseLevel) -> Tensor:
            rest = levels[0] if self.without == "noise" else _noisiest(level, ~known.frames)
            frames = lost if self.without == "noise" else diffuse(known.values.to(z), lost.to(z), rest)
            without = denoise(known.put_into(z.clone(), frames), known.level(rest, level))
            return extrapolated(without, with_frames(z, level), self.history)

        return run


def _noisiest(level: NoiseLevel, frames: Tensor) -> NoiseLevel:
    """The level (B,) of the noisiest of some frames, (F,) bool, at a level per frame."""
    some = [value[:, frames] for value in level]
    row = some[2].argmin(1, keepdim=True)
    return NoiseLevel(*(value.gather(1, row)[:, 0] for value in some))


def _told(denoise: Denoise, known: Known, logsnr: float) -> Denoise:
    """A denoiser that is told another level of the known frames than the clean one of z."""

    def run(z: Tensor, level: NoiseLevel) -> Tensor:
        told = NoiseLevel.variance_preserving(torch.full_like(level.logsnr[:, 0], logsnr))
        return denoise(z, known.level(told, level))

    return run
