"""What super-resolution can answer without having learnt anything: that the video is as it was given.

The literature lets networks find this out for themselves; here it is where an `anchored` one begins.
"""

import torch
from torch import Tensor

from zoetrope.diffusion.level import NoiseLevel
from zoetrope.shapes import blend

USUAL = 5.0  # standard deviations: what is taken for noise and is beyond them is something else
SEEN = 0.1  # of v: a departure from the anchor that is much smaller is the network's own noise


def anchor(z: Tensor, low_res: Tensor, logsnr: Tensor, low_res_logsnr: Tensor) -> Tensor:
    """The v of the clean video that z and low_res, both noisy, agree on best if they show the same: (B, C, F, H, W).

    The estimate is the mean of z / alpha and low_res / alpha' weighted by their signal-to-noise ratios. Where they
    show different things, v is larger than noise can be, and is left out.
    """
    level = NoiseLevel.variance_preserving(logsnr)
    given = NoiseLevel.variance_preserving(low_res_logsnr).expand_as(level)
    share = torch.sigmoid(given.logsnr - level.logsnr)
    # v of the mean x_hat, with what z and low_res have in it put together
    norm = (level.alpha**2 + level.sigma**2) / level.sigma
    v = blend(level.alpha / level.sigma - norm * (1 - share) / level.alpha, z, -norm * share / given.alpha, low_res)
    usual = torch.addcmul(v.new_full((), USUAL**2 / 2), v, v, value=-0.5).sigmoid_()
    return v * usual  # as the density of noise falls below that of anything else


def departure(delta: Tensor) -> Tensor:
    """How far an answer departs from its anchor where the network says `delta`: little of what is little.

    It grows with delta everywhere, so that every departure can be learnt, from delta / 10 at zero to delta far beyond
    SEEN: the small errors that a network makes everywhere do not show as grain where the anchor is right.
    """
    return torch.addcdiv(delta, delta, torch.addcmul(delta.new_full((), SEEN**2), delta, delta), value=-0.9 * SEEN**2)
