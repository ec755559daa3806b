"""The output of super-resolution that needs no learning: the video equals its low_res input.

In the literature networks have to learn this; here an `anchored` network starts from it.
"""

import torch
from torch import Tensor

from zoetrope.diffusion.level import NoiseLevel
from zoetrope.diffusion.tensors import blend

USUAL = 5.0  # standard deviations: larger values are not noise
SEEN = 0.1  # of v: much smaller departures from the anchor are the network's own noise


def anchor(z: Tensor, low_res: Tensor, logsnr: Tensor, low_res_logsnr: Tensor) -> Tensor:
    """The v of the best estimate of the clean video if z and low_res, both noisy, show the same: (B, C, F, H, W).

    The estimate is the mean of z / alpha and low_res / alpha', weighted by their signal-to-noise ratios. Where they
    show different things, v exceeds what noise can explain, and is suppressed.
    """
    level = NoiseLevel.variance_preserving(logsnr)
    given = NoiseLevel.variance_preserving(low_res_logsnr).expand_as(level)
    share = torch.sigmoid(given.logsnr - level.logsnr)
    # v of the mean x_hat, with the coefficients of z and low_res combined
    norm = (level.alpha**2 + level.sigma**2) / level.sigma
    v = blend(level.alpha / level.sigma - norm * (1 - share) / level.alpha, z, -norm * share / given.alpha, low_res)
    usual = torch.addcmul(v.new_full((), USUAL**2 / 2), v, v, value=-0.5).sigmoid_()
    return v * usual  # falls to 0 where the density of noise falls below that of real differences


def departure(delta: Tensor) -> Tensor:
    """The departure of an output from its anchor for a network's `delta`; small deltas shrink.

    It increases with delta everywhere, so that every departure can be learnt: from delta / 10 near zero to delta far
    beyond SEEN. So the small errors that a network makes everywhere do not show as grain where the anchor is right.
    """
    return torch.addcdiv(delta, delta, torch.addcmul(delta.new_full((), SEEN**2), delta, delta), value=-0.9 * SEEN**2)
