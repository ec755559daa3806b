"""Reconstruction guidance [Ho et al. 2022, arXiv:2204.03458, Sec. 3.1]: known frames through the network's gradient."""

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from zoetrope.diffusion.denoise import Denoise
from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.process import by_frames
from zoetrope.diffusion.tensors import expand_like
from zoetrope.known import Method, Task
from zoetrope.known.replacement import with_noised_frames


class Reconstruction(Method):
    """x_hat is moved against the gradient of how far its known frames are from the frames themselves.

    x~ = x_hat - (w alpha / 2) grad_z (|x_known - x_hat_known|^2 + |low_res - D x_hat|^2), where D reduces a video as
    `Task.reduced` does, and z of the known frames is replaced as in `zoetrope.known.replacement.Replacement`
    [Ho et al. 2022, arXiv:2204.03458, Eq. 7].

    For networks that have not learnt known frames. A step takes more than twice as long, and the memory of a training
    step: whole videos, never tiles. w = 1 follows from treating the error of x_hat as independent noise of variance
    sigma^2 / alpha^2. Larger weights come closer to the known frames, with too little variance; far too large ones
    diverge.

    Attributes:
        weight: w. Published are 2 and 5 for longer videos, and up to 50 for small ones.
    """

    differentiates: ClassVar[bool] = True
    in_space: ClassVar[bool] = True
    in_part: ClassVar[bool] = True

    weight: Annotated[float, Field(ge=0, le=1e30)] = 2.0

    def denoiser(self, denoise: Denoise, task: Task) -> Denoise:
        """The denoiser, moved against its own gradient; without gradients itself."""

        def run(z: Tensor, level: NoiseLevel) -> Tensor:
            if task.known.places:
                z = with_noised_frames(z, level, task)
            with torch.enable_grad():
                z = z.detach().requires_grad_()
                x_hat = denoise(z, level)
                error = _distance(x_hat, task)
                [gradient] = torch.autograd.grad(error, z)
            x_hat, step = x_hat.detach(), task.step(level)
            ours = step > 0 or bool(x_hat.isfinite().all())
            moved = by_frames(_moved, x_hat, gradient, shares=[self.weight / 2 * level.alpha], into=x_hat)
            if ours:  # otherwise it is the network's own
                self._expect_finite(moved, task.stage, step)
            return moved

        return run

    def _expect_finite(self, x_hat: Tensor, stage: str, step: int) -> None:
        """Raise ValueError that names stage, step and weight if the weight made x_hat infinite or NaN."""
        if not x_hat.isfinite().all():
            raise ValueError(
                f"stage {stage!r}: step {step + 1}: x_hat is not finite: reconstruction guidance of weight "
                f"{self.weight:g} is too strong; published are 2 to 50"
            )


def _distance(x_hat: Tensor, task: Task) -> Tensor:
    """The squared distances of x_hat from the known frames, and from the known video of lower resolution."""
    known = task.known
    error = known.differences(x_hat).square().sum()
    if known.low_res is None or task.reduced is None:
        return error
    return error + (known.low_res.to(x_hat) - task.reduced(x_hat)).square().sum()


def _moved(x_hat: Tensor, gradient: Tensor, share: Tensor) -> Tensor:
    return x_hat - expand_like(share, x_hat) * gradient
