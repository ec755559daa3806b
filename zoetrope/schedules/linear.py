"""The straight schedule of flow matching and rectified flow.

[Lipman et al. 2023, arXiv:2210.02747, Sec. 4.1; Liu et al. 2023, arXiv:2209.03003, Sec. 2.1].
"""

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from zoetrope.diffusion.level import CLEANEST, LogSNR, NoiseLevel
from zoetrope.schedules import Schedule

FARTHEST = 20.0
"""logsnr at both ends before the shift: alpha or sigma is 4.5e-5 there, and each prediction gives the others."""


class RectifiedFlow(Schedule):
    """alpha = 1 - t and sigma = t: z goes straight from data to noise, and alpha + sigma = 1.

    The levels do not preserve variance. Their signal-to-noise ratio is that of the variance-preserving level with the
    same logsnr, and z is that level's z divided by alpha + sigma of it. The straight line is cut at both ends where
    logsnr is 20 and -20.

    A step of DDIM is a step of Euler's method here. Along the schedule dz/dt = eps - x, the target of the prediction
    "flow"; with the x_hat and eps_hat of a network's output, z_s = alpha_s x_hat + sigma_s eps_hat
    = z_t - (t - s) (eps_hat - x_hat).

    Attributes:
        shift: added to logsnr. Negative values spend more of t at high noise; -2 ln m moves time t to
            m t / (1 + (m - 1) t), as Esser et al. do for larger pictures [2024, arXiv:2403.03206, Sec. 5.3.2].
    """

    preserves_variance: ClassVar[bool] = False

    shift: Annotated[LogSNR, Field(ge=FARTHEST - CLEANEST, le=CLEANEST - FARTHEST)] = 0.0

    def __call__(self, t: Tensor) -> NoiseLevel:
        low, high = self._ends()
        straight = low + t.double() * (high - low)
        logsnr = 2 * (torch.log1p(-straight) - torch.log(straight)) + self.shift
        return NoiseLevel(torch.sigmoid(logsnr / 2), torch.sigmoid(-logsnr / 2), logsnr)

    def time(self, logsnr: Tensor) -> Tensor:
        low, high = self._ends()
        return (torch.sigmoid((self.shift - logsnr.double()) / 2) - low) / (high - low)

    def _ends(self) -> tuple[float, float]:
        """sigma at t = 0 and t = 1, before the shift."""
        low, high = (float(torch.sigmoid(torch.tensor(x / 2, dtype=torch.float64))) for x in (-FARTHEST, FARTHEST))
        return low, high
