"""The replacement method: known frames are put into x_hat, and as noised frames into z."""

from typing import ClassVar

from torch import Tensor

from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.process import diffuse
from zoetrope.known import Method, Task


class Replacement(Method):
    """x_hat of known frames is replaced by the frames, and their z by a sample of q(z | x), at every step.

    For networks that have not learnt known frames. It does not lead to the law of the other frames given the known
    ones, whatever the number of steps: the network sees known frames only through their noise
    [Ho et al. 2022, arXiv:2204.03458, Sec. 3.1]. That is enough where the stage also gets a video of lower resolution
    that agrees with them.

    Attributes:
        redraw: whether z of the known frames gets new noise at every step; if not, it keeps that of the start where the
            sampler adds none.
    """

    in_part: ClassVar[bool] = True

    redraw: bool = True

    def denoiser(self, denoise: Denoise, task: Task) -> Denoise:
        """The denoiser at a z whose known frames are replaced."""
        if not self.redraw:
            return denoise
        return lambda z, level: denoise(with_noised_frames(z, level, task), level)


def with_noised_frames(z: Tensor, level: NoiseLevel, task: Task) -> Tensor:
    """A copy of z with the known frames noised to its level, by the noise of the step."""
    known = task.known
    if level.per_frame:
        level = NoiseLevel(*(value[:, known.places] for value in level))
    noise = task.noise(f"known {task.step(level)}", known.places)
    return known.put_into(z.clone(), diffuse(known.values.to(z), noise.to(z), level))
